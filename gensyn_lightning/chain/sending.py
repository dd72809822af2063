"""Calls to the escrow, each made once however often it is asked for."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from gensyn_lightning.chain.ledger import Signer, Transaction
from gensyn_lightning.chain.reading import to_number
from gensyn_lightning.chain.rpc_client import Refused, RpcClient
from gensyn_lightning.chain.transacting import WAIT_S, Transactor
from gensyn_lightning.errors import LedgerError, TransactionReverted
from gensyn_lightning.protocol.digest import Address

TRIES_MAX = 8
# What chains say when another call of the same account was quicker, or when this very one is there.
_LOST_RACE = ("nonce too low", "nonce", "already known", "underpriced", "already imported")


class Sender:
    """Sends calls to the escrow, one at a time for each account."""

    def __init__(self, rpc: RpcClient, escrow: Address, *, wait_s: float = WAIT_S) -> None:
        self._transactor = Transactor(rpc, wait_s=wait_s)
        self._escrow = escrow
        self._making = threading.Lock()
        self._locks: defaultdict[bytes, threading.Lock] = defaultdict(threading.Lock)
        self._made: Any = None

    def prepare(self) -> None:
        """Import and set up what sending needs."""
        self._contract()

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
        called = getattr(self._contract().functions, function)(*values)
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
            receipt = self._transactor.send(self._transactor.sign(account, called, amount))
        except Refused as error:
            if any(each in error.args[0] for each in _LOST_RACE):
                return
            raise LedgerError(f"the chain refused: {error.args[0]}") from None
        except TransactionReverted:
            # Another process may have done it between our look and our try.
            if done() is None:
                raise
            return
        if to_number(receipt.get("status")) == 0 and done() is None:
            raise TransactionReverted("the contract refused the call in its block")

    def _lock_of(self, account: Signer) -> threading.Lock:
        with self._making:
            return self._locks[bytes(account.address)]

    def _contract(self) -> Any:
        with self._making:
            if self._made is None:
                self._made = self._transactor.contract("Escrow", self._escrow)
            return self._made
