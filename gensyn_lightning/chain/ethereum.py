"""A ledger on any Ethereum chain: the embedded one, a test chain, a rollup."""

from __future__ import annotations

from gensyn_lightning.chain.abi import to_values
from gensyn_lightning.chain.ledger import EscrowState, Signer, Transaction
from gensyn_lightning.chain.reading import ChainReader
from gensyn_lightning.chain.sending import Sender
from gensyn_lightning.chain.transacting import WAIT_S
from gensyn_lightning.errors import TransactionReverted
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.job import Job, job_id
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Settlement, settle_root

PATIENCE_S = 15.0


class EthereumLedger(ChainReader):
    """The `Ledger` port over JSON-RPC; see there for what every call promises.

    A chain that does not answer is asked again for `patience_s`; a transaction that stands in no
    block is waited for `wait_s`. The first call that writes imports web3.py, which takes a second
    unless `prepare` was called before.
    """

    def __init__(
        self,
        url: str,
        escrow: Address,
        *,
        patience_s: float = PATIENCE_S,
        wait_s: float = WAIT_S,
    ) -> None:
        super().__init__(url, escrow, patience_s=patience_s)
        self._sender = Sender(self._rpc, escrow, wait_s=wait_s)

    def prepare(self) -> None:
        """Do now, best in a thread of its own, what would make the first writing call slow."""
        self._sender.prepare()

    def deposit(self, account: Signer, job: Job) -> Transaction:
        """Put `job.budget` into escrow under `job_id(job)`; `account` MUST be the submitter."""
        name, digest = job_id(job), struct_hash(job)

        def done() -> Transaction | None:
            held = self.escrow(name)
            if held is None:
                return None
            _check(held.job_digest == digest, "deposited otherwise before")
            return self.deposited(name)

        found = done()
        if found is not None:
            return found
        # Asked here too, so that a stranger without money hears this and not a price.
        _check(account.address == job.submitter, "only the submitter deposits")
        values = [to_values(job)]
        return self._sender.send(account, "deposit", values, done, amount=job.budget)

    def anchor(self, account: Signer, job: Digest, root: Digest) -> Transaction:
        """Fix a batch of commitments in time; `account` MUST be an operator, the escrow OPEN."""
        return self._sender.send(account, "anchor", [job, root], lambda: self.anchored(job, root))

    def settle(
        self, account: Signer, job: Digest, settlement: Settlement, receipt: Receipt
    ) -> Transaction:
        """Pay everyone, return the rest to the submitter and write the receipt, in one step."""
        digest = struct_hash(receipt)

        def done() -> Transaction | None:
            if self.receipt_digest(job) != digest:
                return None
            return self._closed_alike(job, settlement)

        values = [job, _payments(settlement), settlement.refund, to_values(receipt)]
        return self._sender.send(account, "settle", values, done)

    def refund(self, account: Signer, job: Digest, settlement: Settlement) -> Transaction:
        """Pay what was earned and return the rest, without a receipt; rules as for `settle`."""

        def done() -> Transaction | None:
            if not self._is(job, EscrowState.REFUNDED):
                return None
            return self._closed_alike(job, settlement)

        values = [job, _payments(settlement), settlement.refund]
        return self._sender.send(account, "refund", values, done)

    def reclaim(self, account: Signer, job: Digest) -> Transaction:
        """Return the whole budget to the submitter; for anyone, from the escrow's deadline on."""

        def done() -> Transaction | None:
            return self.closed(job) if self._is(job, EscrowState.RECLAIMED) else None

        return self._sender.send(account, "reclaim", [job], done)

    def _is(self, job: Digest, state: EscrowState) -> bool:
        held = self.escrow(job)
        return held is not None and held.state is state

    def _closed_alike(self, job: Digest, settlement: Settlement) -> Transaction | None:
        held = self.escrow(job)
        same = held is not None and held.settle_root == settle_root(settlement)
        _check(same, "closed otherwise before")
        return self.closed(job)


def _payments(settlement: Settlement) -> list[tuple[Address, int]]:
    return [(each.to, each.amount) for each in settlement.payments]


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TransactionReverted(otherwise)
