"""What a chain says about a job, read and checked without any chain library.

Nothing read here is believed before `check_contracts`: an address is only a number until the
code behind it is ours. What it does not establish: that the chain itself is the right one, or
final; that is for whoever chose its URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from gensyn_lightning.chain import abi, artifact
from gensyn_lightning.chain.ledger import Block, Escrow, EscrowState, Transaction
from gensyn_lightning.chain.rpc_client import Refused, RpcClient
from gensyn_lightning.errors import LedgerError, Malformed, TransactionReverted
from gensyn_lightning.protocol.canonical import Domain, struct_hash
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, keccak
from gensyn_lightning.protocol.receipt import Receipt

RECEIPTS_PER_MODEL_MAX = 256
_DEPOSIT = (
    "(address,uint8,uint64,uint64,uint64,uint64,uint256,bytes32,bytes32,bytes32,bytes32,bytes32)"
)
_RECEIPT = abi.type_of(Receipt)
_DEPOSITED = keccak(b"Deposited(bytes32,address,uint256,bytes32)")
_ANCHORED = keccak(b"Anchored(bytes32,bytes32,uint64)")
_CLOSED = keccak(b"Closed(bytes32,uint8,bytes32,uint256,uint256)")


class ChainReader:
    """The reading half of a ledger, over JSON-RPC."""

    def __init__(self, url: str, escrow: Address, *, patience_s: float = 0.0) -> None:
        self._rpc = RpcClient(url, patience_s=patience_s)
        self._escrow = escrow

    def check_contracts(self) -> None:
        """Raise `LedgerError` unless the contracts are the published ones and know each other."""
        self._check_code("Escrow", self._escrow)
        receipts = self.receipts_address()
        self._check_code("Receipts", receipts)
        (owner,) = self._view(receipts, "ESCROW", (), (), ("address",))
        if owner != self._escrow:
            raise LedgerError("the receipts belong to another escrow")

    def domain(self) -> Domain:
        """Return what every signature of this network is bound to."""
        return Domain(self._chain_id, self._escrow)

    def receipts_address(self) -> Address:
        """Return where the receipts are kept."""
        return self._receipts

    def block(self) -> Block:
        """Return the newest block."""
        return self._block("latest")

    def genesis(self) -> Digest:
        """Return the digest of the chain's first block, which tells it from every other."""
        return self._block("0x0").digest

    def balance(self, account: Address) -> Money:
        """Return what the account can spend."""
        return Money(to_number(self._rpc.ask("eth_getBalance", _hex(account), "latest")))

    def escrow(self, job: Digest) -> Escrow | None:
        """Return the job's escrow, or None when nothing was ever deposited for it."""
        found = self._deposit(job)
        if not found[1]:
            return None
        try:
            state = EscrowState(found[1])
        except ValueError:
            raise Malformed(f"no state of an escrow: {found[1]}") from None
        return Escrow(
            job=job,
            submitter=Address(found[0]),
            amount=Money(found[6]),
            state=state,
            job_digest=Digest(found[7]),
            program=Digest(found[8]),
            parameters=Digest(found[9]),
            deadline_s=found[2],
            anchors=found[5],
            settle_root=Digest(found[11]),
        )

    def receipt(self, job: Digest) -> Receipt | None:
        """Return the job's receipt, or None before it is settled; it hashes to what is kept."""
        digest = self.receipt_digest(job)
        if digest is None:
            return None
        (values,) = self._view(self._receipts, "receiptOf", ("bytes32",), (job,), (_RECEIPT,))
        receipt = abi.from_values(Receipt, values)
        if struct_hash(receipt) != digest:
            raise LedgerError("the receipt on the chain does not hash to its own digest")
        return receipt

    def receipt_digest(self, job: Digest) -> Digest | None:
        """Return the canonical digest of the job's receipt, or None before it is settled."""
        (digest,) = self._view(self._receipts, "digestOf", ("bytes32",), (job,), ("bytes32",))
        return None if digest == ZERO else Digest(digest)

    def receipts_of(self, model: Digest, *, limit: int = 16) -> Sequence[Receipt]:
        """Return the receipts of jobs that gave this model, oldest first."""
        (count,) = self._view(self._receipts, "countOf", ("bytes32",), (model,), ("uint256",))
        found = []
        for index in range(min(count, limit, RECEIPTS_PER_MODEL_MAX)):
            kinds, values = ("bytes32", "uint256"), (model, index)
            (job,) = self._view(self._receipts, "jobOf", kinds, values, ("bytes32",))
            receipt = self.receipt(Digest(job))
            if receipt is not None:
                found.append(receipt)
        return found

    def deposited(self, job: Digest) -> Transaction | None:
        """Return the transaction that deposited the job's budget, if any."""
        return self._event(self._deposit(job)[3], [_DEPOSITED, job])

    def anchored(self, job: Digest, root: Digest) -> Transaction | None:
        """Return the transaction that anchored `root` for the job, if any."""
        kinds = ("bytes32", "bytes32")
        (number,) = self._view(self._escrow, "anchoredBlock", kinds, (job, root), ("uint64",))
        return self._event(number, [_ANCHORED, job, root])

    def closed(self, job: Digest) -> Transaction | None:
        """Return the transaction that settled, refunded or reclaimed the job's budget, if any."""
        return self._event(self._deposit(job)[4], [_CLOSED, job])

    @cached_property
    def _chain_id(self) -> int:
        return to_number(self._rpc.ask("eth_chainId"))

    @cached_property
    def _receipts(self) -> Address:
        (address,) = self._view(self._escrow, "RECEIPTS", (), (), ("address",))
        return Address(address)

    def _check_code(self, name: str, address: Address) -> None:
        code = _bytes(self._rpc.ask("eth_getCode", _hex(address), "latest"))
        if not artifact.load(name).is_code(code):
            raise LedgerError(f"the code at 0x{address.hex()} is not the published {name}")

    def _deposit(self, job: Digest) -> tuple[Any, ...]:
        (values,) = self._view(self._escrow, "depositOf", ("bytes32",), (job,), (_DEPOSIT,))
        return tuple(values)

    def _event(self, number: int, topics: list[Digest]) -> Transaction | None:
        """Return the transaction in block `number` that left this event; blocks count from 1."""
        if not number:
            return None
        wanted = {
            "fromBlock": hex(number),
            "toBlock": hex(number),
            "address": _hex(self._escrow),
            "topics": [_hex(each) for each in topics],
        }
        logs = self._rpc.ask("eth_getLogs", wanted)
        if not isinstance(logs, list) or not logs:
            raise LedgerError("the chain has lost what it says it holds")
        return Transaction(_digest(logs[0], "transactionHash"), self._block(hex(number)))

    def _block(self, name: str) -> Block:
        found = self._rpc.ask("eth_getBlockByNumber", name, False)
        if not isinstance(found, dict):
            raise Malformed("no such block")
        number, timestamp = to_number(found.get("number")), to_number(found.get("timestamp"))
        return Block(number, _digest(found, "hash"), timestamp)

    def _view(
        self,
        contract: Address,
        function: str,
        kinds: Sequence[str],
        values: Sequence[Any],
        answers: Sequence[str],
    ) -> tuple[Any, ...]:
        data = abi.selector(function, kinds) + abi.encode(kinds, values)
        call = {"to": _hex(contract), "data": _hex(data)}
        try:
            return abi.decode(answers, _bytes(self._rpc.ask("eth_call", call, "latest")))
        except Refused as error:
            if not error.reverted:
                raise
            raise TransactionReverted(f"{function} was refused") from error


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise Malformed("not bytes")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise Malformed("not bytes") from None


def _digest(holder: Any, member: str) -> Digest:
    data = _bytes(holder.get(member) if isinstance(holder, dict) else None)
    if len(data) != 32:
        raise Malformed(f"{member} is no digest")
    return Digest(data)


def to_number(value: Any) -> int:
    """Read a number from a chain's answer; raise `Malformed` if it is none."""
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
        raise Malformed("not a number")
    try:
        return int(value, 16)
    except ValueError:
        raise Malformed("not a number") from None
