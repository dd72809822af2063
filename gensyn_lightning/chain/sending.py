"""Calls that change a chain: numbered, priced, signed, sent, and waited for.

web3.py builds and prices them; the key stays with its account, which only sees a digest to sign.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from gensyn_lightning.chain import artifact, refusal
from gensyn_lightning.chain.ledger import Signer, Transaction
from gensyn_lightning.chain.rpc_client import Refused, RpcClient
from gensyn_lightning.errors import InsufficientBalance, LedgerError, TransactionReverted
from gensyn_lightning.protocol.digest import Address, Digest

WAIT_S = 120.0
TRIES_MAX = 8
_PAUSE_FIRST_S = 0.005
_PAUSE_LAST_S = 1.0
# What chains say when another call of the same account was quicker, or when this very one is there.
_LOST_RACE = ("nonce too low", "nonce", "already known", "underpriced", "already imported")


class Sender:
    """Sends calls to the escrow, one at a time for each account."""

    def __init__(self, rpc: RpcClient, escrow: Address, *, wait_s: float = WAIT_S) -> None:
        self._rpc = rpc
        self._escrow = escrow
        self._wait_s = wait_s
        self._making = threading.Lock()
        self._locks: defaultdict[bytes, threading.Lock] = defaultdict(threading.Lock)
        self._contract: Any = None

    def prepare(self) -> None:
        """Import and set up what sending needs."""
        self._web3_contract()

    def send(
        self,
        account: Signer,
        function: str,
        values: Sequence[Any],
        done: Callable[[], Transaction | None],
        *,
        amount: int = 0,
    ) -> Transaction:
        """Call `function` unless it is `done`; return the transaction that did it, whoever sent it.

        `done` looks at the chain. It is asked before every try, so that a call whose answer was
        lost, or that another process made, is found and not repeated.
        """
        called = getattr(self._web3_contract().functions, function)(*values)
        with self._lock_of(account):
            for _ in range(TRIES_MAX):
                found = done()
                if found is not None:
                    return found
                self._try(account, called, amount, done)
            found = done()
        if found is None:
            raise LedgerError(f"{function} lost {TRIES_MAX} races for its place in the chain")
        return found

    def _try(self, account: Signer, called: Any, amount: int, done: Callable[[], object]) -> None:
        try:
            name = self._rpc.ask("eth_sendRawTransaction", self._signed(account, called, amount))
        except Refused as error:
            if any(each in error.args[0] for each in _LOST_RACE):
                return
            raise LedgerError(f"the chain refused: {error.args[0]}") from None
        except TransactionReverted:
            # Another process may have done it between our look and our try.
            if done() is None:
                raise
            return
        receipt = self._await(name)
        if int(receipt["status"], 16) == 0 and done() is None:
            raise TransactionReverted("the contract refused the call in its block")

    def _signed(self, account: Signer, called: Any, amount: int) -> str:
        from eth_account.typed_transactions.typed_transaction import TypedTransaction
        from web3 import Web3
        from web3.exceptions import ContractLogicError

        who = Web3.to_checksum_address(account.address)
        held = int(self._rpc.ask("eth_getBalance", who, "latest"), 16)
        if held < amount:
            raise _too_little(held, amount)
        nonce = int(self._rpc.ask("eth_getTransactionCount", who, "pending"), 16)
        try:
            unsigned = called.build_transaction({"from": who, "value": amount, "nonce": nonce})
        except ContractLogicError as error:
            raise refusal.explain(_said(error)) from None
        cost = amount + unsigned["gas"] * unsigned["maxFeePerGas"]
        if held < cost:
            raise _too_little(held, cost)
        fields = {key: value for key, value in unsigned.items() if key != "from"}
        fields.setdefault("accessList", [])
        digest = TypedTransaction.from_dict(fields).hash()
        signature = account.sign_digest(Digest(digest))
        fields |= {
            "r": int.from_bytes(signature[:32], "big"),
            "s": int.from_bytes(signature[32:64], "big"),
            "v": signature[64] - 27,
        }
        return "0x" + TypedTransaction.from_dict(fields).encode().hex()

    def _await(self, name: str) -> Any:
        """Wait until the transaction stands in a block, for a bounded time."""
        until, pause = time.monotonic() + self._wait_s, _PAUSE_FIRST_S
        while True:
            receipt = self._rpc.ask("eth_getTransactionReceipt", name)
            if receipt is not None:
                return receipt
            if time.monotonic() > until:
                raise LedgerError(
                    f"{name} stands in no block after {self._wait_s:.0f} s",
                    hint="it may still come; asking again has no second effect",
                )
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE_LAST_S)

    def _lock_of(self, account: Signer) -> threading.Lock:
        with self._making:
            return self._locks[bytes(account.address)]

    def _web3_contract(self) -> Any:
        with self._making:
            if self._contract is None:
                self._contract = _contract(self._rpc, self._escrow)
            return self._contract


def _contract(rpc: RpcClient, escrow: Address) -> Any:
    from web3 import Web3
    from web3.providers.base import JSONBaseProvider

    class Provider(JSONBaseProvider):
        """web3's questions over our own transport, with its bounds and its patience."""

        def make_request(self, method: Any, params: Any) -> Any:
            plain = json.loads(self.encode_rpc_request(method, params))
            try:
                result = rpc.ask(method, *plain["params"])
            except Refused as error:
                said = {"code": error.code, "message": error.args[0]}
                if error.data:
                    said["data"] = "0x" + error.data.hex()
                return {"jsonrpc": "2.0", "id": plain["id"], "error": said}
            return {"jsonrpc": "2.0", "id": plain["id"], "result": result}

    web3 = Web3(Provider())
    where = Web3.to_checksum_address(escrow)
    return web3.eth.contract(address=where, abi=artifact.load("Escrow").abi)


def _said(error: Any) -> bytes:
    data = error.data
    return bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""


def _too_little(held: int, needed: int) -> InsufficientBalance:
    return InsufficientBalance(
        f"the balance is {held}, the price {needed}",
        hint="lower the price (max_epochs, limit_train_batches) or add to the balance",
    )
