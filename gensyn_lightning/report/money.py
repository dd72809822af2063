"""Whether everyone was paid by the rules and the receipt says what happened: both recomputed."""

from __future__ import annotations

from gensyn_lightning.protocol import audit as audits
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Digest, Money
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Settlement, Work, settle, settle_root
from gensyn_lightning.protocol.verdict import DisputeClass
from gensyn_lightning.report.case import Case
from gensyn_lightning.report.draws import owner
from gensyn_lightning.report.finding import Findings, Left, Level, must
from gensyn_lightning.report.verdicts import matches


def check(findings: Findings, case: Case, model: Digest | None) -> None:
    """Recompute payments and receipt; `model` is the digest that opens from the end root."""
    findings.run(Level.RECORDS, "payments follow from the work", lambda: _payments(case))
    findings.run(Level.RECORDS, "the receipt says what happened", lambda: _receipt(case, model))


def expected_settlement(case: Case) -> Settlement:
    """Return what the rules pay for the segments that stand."""
    work = []
    for segment, (attempt, claim) in zip(case.segments, case.standing, strict=False):
        reports = [
            audit.verifier
            for each in segment.attempts
            for audit in each.audits
            if audit.state is audits.State.REPORTED and not audit.wrong
        ]
        work.append(Work(attempt.solver, claim.batches, tuple(reports)))
    return settle(case.job.budget, case.job.parameters, work)


def expected_receipt(case: Case, model: Digest) -> Receipt:
    """Return the receipt that the records justify."""
    standing = case.standing
    matched = [matches(attempt) for attempt, _ in standing]
    disputed = any(each.rulings for segment in case.segments for each in segment.attempts)
    shares = expected_settlement(case)
    return Receipt(
        job=case.job_id,
        program=case.job.program,
        submitter=case.job.submitter,
        model=model,
        end_root=standing[-1][1].end_root,
        segments=len(standing),
        replayed=sum(1 for each in matched if each),
        owners=len({owner(case, audit.verifier) for each in matched for audit in each}),
        numerics=case.job.numerics,
        sandbox_tier=case.job.sandbox_tier,
        dispute_class=DisputeClass.CONTROL if disputed else DisputeClass.NONE,
        single_operator=case.single_operator,
        commitments_root=merkle.root([struct_hash(claim) for _, claim in standing]),
        settle_root=settle_root(shares),
        paid=Money(sum(each.amount for each in shares.payments)),
    )


def _payments(case: Case) -> str | Left:
    if case.closing is None:
        return Left("the job is not settled yet")
    shares = expected_settlement(case)
    must(case.closing.settlement == shares, "the payments are not those the rules give")
    must(case.closing.settle_root == settle_root(shares), "the settle root is over other payments")
    paid = sum(each.amount for each in shares.payments)
    return f"{paid} paid, {shares.refund} returned"


def _receipt(case: Case, model: Digest | None) -> str | Left:
    closing = case.closing
    if closing is None or closing.kind != "SETTLE":
        must(closing is None or closing.receipt is None, "a receipt for a job that was refunded")
        return Left("the job has none")
    if closing.receipt is None or model is None or not case.standing:
        must(False, "the job is settled and the receipt, or the model it names, is missing")
        return Left("the job has none")
    expected = expected_receipt(case, model)
    for name in Receipt.__dataclass_fields__:
        claimed, found = getattr(closing.receipt, name), getattr(expected, name)
        must(claimed == found, f"the receipt's {name} is not what the records give")
    return f"receipt {struct_hash(closing.receipt).hex()[:16]}"
