"""How a job ends: acceptance by prefix, refutation, settlement, refund.

Decisions only: each function reads a page, writes new rows on it, and calls nothing outside.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator import disputing, solving
from coordinator.page import Page
from coordinator.rows import AttemptRow, Errand, Stamp
from gensyn_lightning.protocol import attempt, audit, job, merkle, settlement, task
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import Address, Money
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.verdict import Arbitration, DisputeClass, Verdict


def accept(page: Page, row: AttemptRow, event: attempt.Event) -> None:
    """Accept the next segment: everything before it is accepted already."""
    assert row.handover is not None
    claim = row.handover.commitment
    page.put(replace(row, attempt=attempt.apply(row.attempt, event)))
    held = page.tasks[row.task.index]
    page.put(replace(held, state=task.apply(held.state, task.AttemptAccepted())))
    cost = settlement.price(claim.batches, page.job.record.parameters)
    page.put(replace(page.job, accepted=page.job.accepted + 1, spent=page.job.spent + cost))
    page.note(
        "accepted",
        index=row.task.index,
        fence=row.fence,
        end_event=claim.end_event,
        batches=claim.batches,
        replayed=replayed(page, row),
        outputs=row.handover.outputs.hex(),
    )
    if claim.outcome is not Outcome.CONTINUES:
        finish(page, row)


def affordable(page: Page, row: AttemptRow) -> bool:
    """Whether the budget covers the segment beside everything accepted before it."""
    assert row.handover is not None
    cost = settlement.price(row.handover.commitment.batches, page.job.record.parameters)
    return page.job.spent + cost <= page.job.record.budget


def refute(page: Page, row: AttemptRow) -> None:
    """Take a segment back: someone else trains it, and everything after it, again."""
    if row.owner not in page.job.excluded:
        page.put(replace(page.job, excluded=(*page.job.excluded, row.owner)))
    disputing.mark_wrong(page, row, Verdict.MATCH)
    solving.lose(page, row, attempt.Refuted(), "two of three replays disagree with it")


def uphold(page: Page, row: AttemptRow) -> None:
    """Accept a segment that was accused without ground."""
    disputing.mark_wrong(page, row, Verdict.NO_MATCH)
    accept(page, row, attempt.Upheld())


def finish(page: Page, last: AttemptRow) -> None:
    """Every segment up to the end of the fit is accepted: ask for the settlement."""
    assert last.handover is not None
    page.put(replace(page.job, state=job.apply(page.job.state, job.PrefixAccepted())))
    shares = _shares(page)
    receipt = _receipt(page, last, shares)
    page.put(replace(page.job, settlement=shares, receipt=receipt))
    page.drop_errands()
    page.ask(Errand.SETTLE)
    refs = last.handover.refs
    page.note(
        "settling",
        segments=receipt.segments,
        replayed=receipt.replayed,
        outcome=last.handover.commitment.outcome.name,
        end_root=receipt.end_root.hex(),
        structure=refs.structure.hex(),
        tensors=refs.tensors.hex(),
        paid=str(receipt.paid),
    )


def stop(page: Page, reason: job.Reason, why: str) -> None:
    """End the job early: what was accepted is paid, the rest goes back."""
    state = job.apply(page.job.state, job.Stopped(reason))
    for index in range(page.job.accepted, page.job.tail):
        solving.close(page, page.tasks[index], attempt.JobStopped())
    page.put(replace(page.job, state=state, reason=reason, settlement=_shares(page)))
    page.drop_errands()
    page.ask(Errand.REFUND)
    page.note("stopped", reason=reason.name, why=why, accepted=page.job.accepted)


def settled(page: Page, stamp: Stamp) -> None:
    """Take note that the chain paid everyone and wrote the receipt."""
    if page.job.state is job.State.SETTLED:
        return
    page.put(replace(page.job, state=job.apply(page.job.state, job.Settled()), closed=stamp))
    page.note("settled", tx=stamp.tx.hex(), block=stamp.number)


def refunded(page: Page, stamp: Stamp | None) -> None:
    """Take note that the chain returned what was not earned, if there was anything to return."""
    if page.job.state is job.State.REFUNDING:
        page.put(replace(page.job, state=job.apply(page.job.state, job.Refunded())))
    elif page.job.closed is not None:
        return
    page.put(replace(page.job, closed=stamp))
    page.note("refunded", tx=stamp.tx.hex() if stamp else None)


def replayed(page: Page, row: AttemptRow) -> int:
    """Return how many replays of the attempt found the same."""
    return sum(1 for each in page.audits_of(row) if each.verdict is Verdict.MATCH)


def _shares(page: Page) -> settlement.Settlement:
    work = []
    for row in page.accepted():
        assert row.handover is not None
        reports = [
            each
            for held in page.attempts_at(row.task.index)
            for each in page.audits_of(held)
            if each.state is audit.State.REPORTED and not each.wrong
        ]
        work.append(
            settlement.Work(
                row.solver, row.handover.commitment.batches, tuple(e.verifier for e in reports)
            )
        )
    record = page.job.record
    return settlement.settle(record.budget, record.parameters, work)


def _receipt(page: Page, last: AttemptRow, shares: settlement.Settlement) -> Receipt:
    assert last.handover is not None
    rows = page.accepted()
    disputed = any(each.rulings for each in page.attempts.values())
    commitments = [struct_hash(each.handover.commitment) for each in rows if each.handover]
    record = page.job.record
    return Receipt(
        job=page.job.id,
        program=record.program,
        submitter=record.submitter,
        model=last.handover.model,
        end_root=last.handover.commitment.end_root,
        segments=len(rows),
        replayed=sum(1 for each in rows if replayed(page, each)),
        owners=len(_owners(page, rows)),
        numerics=record.numerics,
        sandbox_tier=record.sandbox_tier,
        dispute_class=DisputeClass.CONTROL if disputed else DisputeClass.NONE,
        single_operator=page.job.single_operator,
        commitments_root=merkle.root(commitments),
        settle_root=settlement.settle_root(shares),
        paid=Money(sum(each.amount for each in shares.payments)),
    )


def _owners(page: Page, rows: list[AttemptRow]) -> set[Address]:
    return {
        each.owner for row in rows for each in page.audits_of(row) if each.verdict is Verdict.MATCH
    }


RULINGS = {Arbitration.UPHELD: uphold, Arbitration.REFUTED: refute}
