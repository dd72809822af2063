"""Runs errands on the ledger: each at least once, each idempotent, however often we are killed.

A worker asks the engine what is due, does it on the ledger, and tells the engine; a kill between
doing and telling means doing it again, and the ledger answers with the first transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.rows import ActionRow, Errand, JobRow, Stamp
from gensyn_lightning.chain.ledger import EscrowState, Ledger, Signer, Transaction
from gensyn_lightning.errors import GensynError, ProtocolError
from gensyn_lightning.protocol.canonical import struct_hash


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an errand: done with a stamp or without, or to be tried again."""

    done: bool
    stamp: Stamp | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LedgerWorker:
    """Does errands with the operator's account."""

    ledger: Ledger
    account: Signer

    def run(self, action: ActionRow, job: JobRow) -> Outcome:
        """Do one errand; never raises for what a ledger may answer."""
        try:
            match action.errand:
                case Errand.CONFIRM:
                    return self._confirm(job)
                case Errand.ANCHOR:
                    return _done(self.ledger.anchor(self.account, job.id, action.subject))
                case Errand.SETTLE:
                    return self._settle(job)
                case Errand.REFUND:
                    return self._refund(job)
        except GensynError as error:
            return Outcome(False, reason=str(error))

    def _confirm(self, job: JobRow) -> Outcome:
        """See whether the budget lies in escrow under exactly this job."""
        held = self.ledger.escrow(job.id)
        if held is None:
            return Outcome(False)
        fits = held.amount >= job.record.budget and held.job_digest == struct_hash(job.record)
        if held.state is not EscrowState.OPEN or not fits:
            return Outcome(False, reason="what lies in escrow is not this job's budget")
        block = self.ledger.block()
        return Outcome(True, Stamp(block.digest, block.number, block.digest, block.timestamp_s))

    def _settle(self, job: JobRow) -> Outcome:
        """Anchor the accepted commitments under one root, then pay everyone."""
        if job.settlement is None or job.receipt is None:
            raise ProtocolError("a settlement was asked for before it was computed")
        self.ledger.anchor(self.account, job.id, job.receipt.commitments_root)
        return _done(self.ledger.settle(self.account, job.id, job.settlement, job.receipt))

    def _refund(self, job: JobRow) -> Outcome:
        """Return what was not earned; without an escrow there is nothing to return."""
        held = self.ledger.escrow(job.id)
        if held is None or job.settlement is None:
            return Outcome(True)
        if held.state is not EscrowState.OPEN and (before := self.ledger.closed(job.id)):
            return _done(before)  # by us before a kill, or reclaimed by the submitter
        return _done(self.ledger.refund(self.account, job.id, job.settlement))


def _done(transaction: Transaction) -> Outcome:
    block = transaction.block
    return Outcome(True, Stamp(transaction.digest, block.number, block.digest, block.timestamp_s))
