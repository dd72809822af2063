"""A whole chain on this machine: py-evm on one SQLite file, a block per transaction, no fees.

The file survives `kill -9`: a block is written whole or not at all. The contracts are deployed
with the first block's file, by a key that is made for it and thrown away.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth.abc import BlockAPI, BlockHeaderAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI
from eth.chains.base import MiningChain
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound, Revert, TransactionNotFound
from eth.vm.forks.cancun import CancunVM
from eth.vm.spoof import SpoofTransaction
from eth_keys.datatypes import PrivateKey
from eth_typing import Address as EthAddress
from eth_typing import BlockNumber, Hash32
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from gensyn_lightning.chain import artifact
from gensyn_lightning.chain.store import SqliteStore
from gensyn_lightning.errors import (
    LedgerError,
    LimitExceeded,
    Malformed,
    NotFound,
    TransactionReverted,
)
from gensyn_lightning.protocol.digest import Address, keccak

CHAIN_ID = 68_568_500
GAS_LIMIT = 30_000_000
# Half a block: with no block above its gas target the base fee stays at nothing for ever.
TRANSACTION_GAS_MAX = GAS_LIMIT // 2
TRANSACTION_BYTES_MAX = 128 * 1024
# py-evm raises Python's limit to 100,000, at which deep JSON overflows the stack instead of
# raising. This is deep enough for any call that TRANSACTION_GAS_MAX can pay for.
RECURSION_MAX = 10_000
sys.setrecursionlimit(RECURSION_MAX)
_CONTRACTS = b"gensyn:contracts"
_NAMES = ("escrow", "receipts")
_LATEST = frozenset(("latest", "pending", "safe", "finalized"))


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a new chain starts with: who may settle, and who holds how much."""

    operator: Address
    balances: Mapping[Address, int]


@dataclass(frozen=True, slots=True)
class Contracts:
    """Where the contracts are."""

    escrow: Address
    receipts: Address


@dataclass(frozen=True, slots=True)
class Call:
    """A message to a contract, for asking rather than sending.

    `access_gas` is what its access list will cost as a transaction; nothing else depends on it.
    """

    sender: bytes
    to: bytes
    value: int
    data: bytes
    gas: int = TRANSACTION_GAS_MAX
    access_gas: int = 0


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction, what it left behind, and the block it stands in."""

    transaction: SignedTransactionAPI
    receipt: ReceiptAPI
    header: BlockHeaderAPI
    index: int


class Reverted(TransactionReverted):
    """A call that the contract refused; `data` is what it said."""

    def __init__(self, data: bytes) -> None:
        super().__init__("execution reverted")
        self.data = data


class EmbeddedChain:
    """The chain itself; safe from several threads, one process at a time."""

    def __init__(self, path: Path, genesis: Genesis | None, clock: Callable[[], int]) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._store = SqliteStore(path)
        self._db = AtomicDB(self._store)
        if _CONTRACTS not in self._store:
            if genesis is None:
                raise LedgerError("a new chain needs a genesis", hint="pass --genesis FILE")
            with self._store.block():
                self._begin(genesis)
        self._chain = _Chain(self._db)
        known = json.loads(self._store[_CONTRACTS])
        self.contracts = Contracts(*(Address(bytes.fromhex(known[each])) for each in _NAMES))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._store.close()

    def send(self, raw: bytes) -> bytes:
        """Put a signed transaction into a block of its own and return its hash, once it is kept.

        Raises `Malformed`, `LimitExceeded`, or `LedgerError` when the chain would not take it;
        one that the contract refuses is taken, and its receipt says so.
        """
        if len(raw) > TRANSACTION_BYTES_MAX:
            raise LimitExceeded(f"a transaction of {len(raw)} bytes")
        transaction = _decode(raw)
        with self._lock:
            if self._find(transaction.hash):
                raise LedgerError("already known")
            try:
                with self._store.block():
                    self._mine(transaction)
            except ValidationError as error:
                raise LedgerError(_first_line(error)) from None
        return bytes(transaction.hash)

    def ask(self, call: Call, block: int | str = "latest") -> bytes:
        """Return what a call would answer, without sending it; raise `Reverted` if refused."""
        return bytes(self._execute(call, block).output)

    def estimate(self, call: Call) -> int:
        """Return gas enough for the call as a transaction."""
        computation = self._execute(call, "latest")
        used = computation.get_gas_used()  # what a transaction costs before it runs not counted
        before = self._unsigned(call, 0).intrinsic_gas + call.access_gas
        return int(min(TRANSACTION_GAS_MAX, before + (2 * used + 30_000 if used else 0)))

    def balance(self, account: bytes, block: int | str = "latest") -> int:
        """Return what an account holds."""
        with self._lock:
            return self._chain.get_vm(self._header_for(block)).state.get_balance(_eth(account))

    def nonce(self, account: bytes, block: int | str = "latest") -> int:
        """Return how many transactions an account has sent."""
        with self._lock:
            return self._chain.get_vm(self._header_for(block)).state.get_nonce(_eth(account))

    def code(self, account: bytes, block: int | str = "latest") -> bytes:
        """Return the code at an address."""
        with self._lock:
            return self._chain.get_vm(self._header_for(block)).state.get_code(_eth(account))

    def storage(self, account: bytes, slot: int, block: int | str = "latest") -> bytes:
        """Return the 32 bytes at a place in an account's storage."""
        with self._lock:
            state = self._chain.get_vm(self._header_for(block)).state
            return state.get_storage(_eth(account), slot).to_bytes(32, "big")

    def head(self) -> BlockHeaderAPI:
        """Return the newest block's header."""
        with self._lock:
            return self._chain.get_canonical_head()

    def block(self, name: int | str | bytes) -> BlockAPI:
        """Return a block by number, tag or hash; raise `NotFound`."""
        with self._lock:
            try:
                if isinstance(name, bytes):
                    return self._chain.get_block_by_hash(Hash32(name))
                return self._chain.get_block_by_header(self._header(name))
            except HeaderNotFound:
                raise NotFound("no such block") from None

    def mined(self, transaction_hash: bytes) -> Mined | None:
        """Return a transaction and its receipt, or None while the chain has no such thing."""
        with self._lock:
            place = self._find(transaction_hash)
            if place is None:
                return None
            number, index = place
            return Mined(
                self._chain.get_canonical_transaction_by_index(BlockNumber(number), index),
                self._chain.get_transaction_receipt_by_index(BlockNumber(number), index),
                self._header(number),
                index,
            )

    def receipts(self, header: BlockHeaderAPI) -> tuple[ReceiptAPI, ...]:
        """Return the receipts of a block, in order."""
        with self._lock:
            return tuple(self._chain.get_block_by_header(header).get_receipts(self._chain.chaindb))

    def _begin(self, genesis: Genesis) -> None:
        alloc: dict[EthAddress, Any] = {
            _eth(each): {"balance": amount, "nonce": 0, "code": b"", "storage": {}}
            for each, amount in genesis.balances.items()
        }
        parameters: dict[str, Any] = {
            "base_fee_per_gas": 0,
            "coinbase": EthAddress(bytes(20)),
            "difficulty": 0,
            "extra_data": b"",
            "gas_limit": GAS_LIMIT,
            "mix_hash": Hash32(bytes(32)),
            "nonce": bytes(8),
            "timestamp": self._clock(),
        }
        _Chain.from_genesis(self._db, parameters, alloc)
        self._chain = _Chain(self._db)
        contracts = self._deploy(genesis.operator)
        places = (contracts.escrow.hex(), contracts.receipts.hex())
        self._store[_CONTRACTS] = json.dumps(dict(zip(_NAMES, places, strict=True))).encode()

    def _deploy(self, operator: Address) -> Contracts:
        words = operator.rjust(32, b"\0") * 2
        key = PrivateKey(secrets.token_bytes(32))
        unsigned = self._chain.create_unsigned_transaction(
            nonce=0,
            gas_price=0,
            gas=TRANSACTION_GAS_MAX,
            to=CREATE_CONTRACT_ADDRESS,
            value=0,
            data=artifact.load("Escrow").bytecode + words,
        )
        computation = self._mine(unsigned.as_signed_transaction(key, chain_id=CHAIN_ID))
        computation.raise_if_error()
        escrow = computation.msg.storage_address
        # The escrow makes the receipts contract in its constructor; its own first creation.
        answer = self.ask(Call(bytes(20), escrow, 0, keccak(b"RECEIPTS()")[:4]))
        return Contracts(Address(bytes(escrow)), Address(answer[12:]))

    def _mine(self, transaction: SignedTransactionAPI) -> ComputationAPI:
        if transaction.gas > TRANSACTION_GAS_MAX:
            raise LimitExceeded(f"{transaction.gas} gas exceed {TRANSACTION_GAS_MAX}")
        head = self._chain.get_canonical_head()
        self._chain.timestamp = max(self._clock(), head.timestamp + 1)
        return self._chain.mine_all([transaction], parent_header=head)[2][0]

    def _execute(self, call: Call, block: int | str) -> ComputationAPI:
        with self._lock:
            vm = self._chain.get_vm(self._header_for(block))
            unsigned = self._unsigned(call, vm.state.get_nonce(_eth(call.sender)))
            spoofed: Any = SpoofTransaction(unsigned, from_=_eth(call.sender))
            try:
                computation = vm.state.apply_transaction(spoofed)
            except ValidationError as error:
                raise LedgerError(_first_line(error)) from None
        if computation.is_error:
            said = computation.output if isinstance(computation.error, Revert) else b""
            raise Reverted(bytes(said))
        return computation

    def _unsigned(self, call: Call, nonce: int) -> Any:
        return self._chain.create_unsigned_transaction(
            nonce=nonce,
            gas_price=0,
            gas=min(call.gas, TRANSACTION_GAS_MAX),
            to=_eth(call.to),
            value=call.value,
            data=call.data,
        )

    def _header(self, name: int | str) -> BlockHeaderAPI:
        if name in _LATEST:
            return self._chain.get_canonical_head()
        number = 0 if name == "earliest" else int(name)
        return self._chain.get_canonical_block_header_by_number(BlockNumber(number))

    def _header_for(self, name: int | str) -> BlockHeaderAPI:
        """Return the header to ask under: of the block to come for the newest state."""
        try:
            header = self._header(name)
        except HeaderNotFound:
            raise NotFound("no such block") from None
        if name not in _LATEST:
            return header
        self._chain.timestamp = max(self._clock(), header.timestamp + 1)
        return self._chain.create_header_from_parent(header)

    def _find(self, transaction_hash: bytes) -> tuple[int, int] | None:
        try:
            number, index = self._chain.get_canonical_transaction_index(Hash32(transaction_hash))
        except TransactionNotFound:
            return None
        return int(number), index


class _Chain(MiningChain):
    """py-evm's chain under our name, with the gas limit held and time given from outside."""

    chain_id = CHAIN_ID
    vm_configuration = ((BlockNumber(0), CancunVM),)
    timestamp: int | None = None

    def create_header_from_parent(
        self, parent_header: BlockHeaderAPI, **header_params: Any
    ) -> BlockHeaderAPI:
        header_params.setdefault("gas_limit", parent_header.gas_limit)
        header_params.setdefault("timestamp", self.timestamp or parent_header.timestamp + 1)
        return super().create_header_from_parent(parent_header, **header_params)


def _decode(raw: bytes) -> SignedTransactionAPI:
    try:
        if not raw or not (raw[0] >= 0xC0 or raw[0] in (1, 2)):
            raise Malformed("not a kind of transaction that is taken here")
        transaction = CancunVM.get_transaction_builder().decode(raw)
        transaction.validate()
        if transaction.chain_id != CHAIN_ID:
            raise Malformed(f"a transaction for chain {transaction.chain_id}")
        return transaction
    except (RLPException, ValidationError, ValueError, TypeError) as error:
        raise Malformed(f"not a transaction: {_first_line(error)}") from None


def _eth(address: bytes) -> EthAddress:
    return EthAddress(bytes(address))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]
