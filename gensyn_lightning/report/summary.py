"""What a report says in plain words and numbers; a function of the records and nothing else."""

from __future__ import annotations

from typing import Any

from gensyn_lightning.protocol.job import Reason
from gensyn_lightning.protocol.parameters import PPM
from gensyn_lightning.protocol.receipt import Status
from gensyn_lightning.protocol.verdict import Arbitration
from gensyn_lightning.report.case import Case
from gensyn_lightning.report.draws import owner
from gensyn_lightning.report.verdicts import matches

ALWAYS_UNCHECKED = (
    "Whether the data was good, or the model useful.",
    "Whether owners are different people: an owner is an account.",
)

_REASONS = {
    Reason.CANCELLED: Status.CANCELLED,
    Reason.TIMED_OUT: Status.CANCELLED,
    Reason.INCONCLUSIVE: Status.INCONCLUSIVE,
    Reason.NOT_REPRODUCIBLE: Status.NOT_REPRODUCIBLE,
    Reason.EXHAUSTED: Status.INCONCLUSIVE,
}


def summarise(case: Case) -> dict[str, Any]:
    """Return the summary member of a report."""
    standing = case.standing
    checked = [claim for attempt, claim in standing if matches(attempt)]
    owners = {owner(case, each.verifier) for attempt, _ in standing for each in matches(attempt)}
    receipt = case.closing.receipt if case.closing else None
    numbers = {
        "segments": len(standing),
        "sampled": sum(1 for attempt, _ in standing if attempt.sampled),
        "replayed": len(checked),
        "batches": sum(claim.batches for _, claim in standing),
        "batches_replayed": sum(claim.batches for claim in checked),
        "owners": len(owners),
        "disputes": sum(bool(e.rulings) for s in case.segments for e in s.attempts),
        "refuted": _refuted(case),
        "miss_ppm": miss_ppm(case),
        "colluding_share_ppm": case.job.parameters.colluding_share_ppm,
    }
    verdict = status(case)
    return {
        **numbers,
        "status": verdict.name,
        "statement": _statement(case, verdict, numbers),
        "not_checked": _not_checked(case, numbers),
        "model": receipt.model.hex() if receipt else None,
        "end_root": standing[-1][1].end_root.hex() if standing else None,
        "paid": str(receipt.paid) if receipt else str(_paid(case)),
        "refund": str(case.closing.settlement.refund) if case.closing else None,
    }


def status(case: Case) -> Status:
    """Return the word a job ends with; VERIFIED needs a receipt and a match in every sample."""
    if case.reason is not None:
        return _REASONS[case.reason]
    if case.closing is None or case.closing.receipt is None:
        return Status.INCONCLUSIVE
    upheld = [each for each, _ in case.standing if each.rulings]
    sampled = [each for each, _ in case.standing if each.sampled]
    if any(each.rulings[-1].outcome is not Arbitration.UPHELD for each in upheld):
        return Status.INCONCLUSIVE
    if not all(matches(each) for each in sampled):
        return Status.INCONCLUSIVE
    return Status.VERIFIED if sampled else Status.UNVERIFIED


def miss_ppm(case: Case) -> int:
    """Return the chance, in parts per million, that one bad segment would stand in this report.

    A bad segment is missed when it was not replayed, or when everyone who replayed it colludes
    with its solver, at the colluding share the job assumes; rounded up.
    """
    share = case.job.parameters.colluding_share_ppm
    standing = case.standing
    if not standing:
        return PPM
    missed = 0
    for attempt, _ in standing:
        owners = {owner(case, each.verifier) for each in matches(attempt)}
        missed += share ** len(owners) * PPM // PPM ** len(owners)
    return min(-(-missed // len(standing)), PPM)


def _statement(case: Case, verdict: Status, numbers: dict[str, int]) -> str:
    segments, replayed = numbers["segments"], numbers["replayed"]
    counted = (
        f"{replayed} of {segments} segments were run again by {_owners(numbers['owners'])} and"
        " gave the same bits"
    )
    match verdict:
        case Status.VERIFIED:
            return f"This model results from this program and data: {counted}; no dispute stands."
        case Status.UNVERIFIED:
            return f"None of the {segments} segments was run again: this model is one node's word."
        case Status.NOT_REPRODUCIBLE:
            return "Running the same segment again gave different bits: nothing can be said."
        case Status.CANCELLED:
            return f"The job was stopped before its fit ended; until then {counted}."
    if case.closing is None:
        return f"The job is not settled yet; so far {counted}."
    return f"The check could not be finished; {counted}."


def _not_checked(case: Case, numbers: dict[str, int]) -> list[str]:
    left = numbers["segments"] - numbers["replayed"]
    chance = numbers["miss_ppm"] / 10_000
    share = numbers["colluding_share_ppm"] / 10_000
    notes = []
    if left:
        notes.append(f"{left} of {numbers['segments']} segments were not run again.")
    notes.append(
        f"One bad segment would go unseen with a chance of {chance:.4g} %, if {share:.4g} % of the"
        " verifiers side with its solver."
    )
    if case.single_operator:
        notes.append("One operator runs every node of this network: nobody independent checked.")
    if case.job.sandbox_tier == "none":
        notes.append("The program ran without a sandbox.")
    if case.job.numerics.startswith("native:"):
        notes.append("Bits are compared between machines of one kind only (see numerics).")
    if numbers["disputes"]:
        notes.append("A third replay ruled on contradictions, not a contract's arithmetic.")
    return [*notes, *ALWAYS_UNCHECKED]


def _owners(count: int) -> str:
    return "1 other owner" if count == 1 else f"{count} other owners"


def _refuted(case: Case) -> int:
    return sum(
        bool(each.rulings) and each.rulings[-1].outcome is Arbitration.REFUTED
        for segment in case.segments
        for each in segment.attempts
    )


def _paid(case: Case) -> int:
    return sum(each.amount for each in case.closing.settlement.payments) if case.closing else 0
