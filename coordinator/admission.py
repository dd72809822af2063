"""What is let in: the rules a job, a commitment, a promise and a replay must satisfy.

Each rule is a pure check with the sentence it breaks; whether bytes are there and whether a
signature holds is asked of ports, by the shell.
"""

from __future__ import annotations

from collections.abc import Iterator

from coordinator import limits
from coordinator.rows import AttemptRow, AuditRow
from gensyn_lightning.errors import InvalidProof, LimitExceeded, Malformed
from gensyn_lightning.protocol import task
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import ZERO, Address
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.parameters import EVENTS_PER_TASK_MAX, PPM, Parameters
from gensyn_lightning.protocol.verdict import BlindReport, Replay, check_opening
from gensyn_lightning.wire.nodes import CommitRequest

_DURATIONS = (
    "segment_target_ms",
    "lease_ms",
    "queue_to_start_ms",
    "start_to_finish_ms",
    "salt_window_ms",
    "report_window_ms",
    "job_total_ms",
)
_RATES = ("audit_rate_ppm", "colluding_share_ppm", "verifier_share_ppm")


def check_job(job: Job) -> None:
    """Raise `LimitExceeded` or `Malformed` unless the job asks for something within every bound."""
    given = job.parameters
    for name in _DURATIONS:
        value = getattr(given, name)
        if not limits.DURATION_MS_MIN <= value <= limits.DURATION_MS_MAX:
            least, most = limits.DURATION_MS_MIN, limits.DURATION_MS_MAX
            raise LimitExceeded(f"{name} is {value}, not between {least} and {most}")
    for name in _RATES:
        if getattr(given, name) > PPM:
            raise LimitExceeded(f"{name} is more than {PPM} parts per million")
    if not 1 <= given.verifiers_per_segment <= limits.VERIFIERS_PER_SEGMENT_MAX:
        raise LimitExceeded(f"verifiers_per_segment is not 1 to {limits.VERIFIERS_PER_SEGMENT_MAX}")
    if given.redraws_max > limits.REDRAWS_MAX:
        raise LimitExceeded(f"redraws_max is more than {limits.REDRAWS_MAX}")
    if not job.budget:
        raise Malformed("a job needs a budget", hint="deposit what its batches cost")
    _check_windows(given)


def check_commitment(request: CommitRequest, row: AttemptRow, job: Job, holder: Address) -> None:
    """Raise `Malformed` for the first field in which the commitment is not about this attempt."""
    for rule, holds in _rules(request, row, job, holder):
        if not holds:
            raise Malformed(f"the commitment does not fit its lease: {rule}")


def check_promise(report: BlindReport, row: AuditRow, judged: AttemptRow) -> None:
    """Raise `Malformed` unless the blind report is about this audit."""
    if report.commitment != judged.attempt.commitment or report.verifier != row.verifier:
        raise Malformed("the promise is about another commitment or by another verifier")


def check_replay(replay: Replay, row: AuditRow) -> None:
    """Raise `InvalidProof` unless the replay is the promised one, `Malformed` for another draw."""
    if row.promise is None:
        raise InvalidProof("nothing was promised", hint="promise before the salt opens")
    check_opening(row.promise, replay)
    if replay.draw != struct_hash(row.draw):
        raise Malformed("the replay names another draw")


def _check_windows(given: Parameters) -> None:
    if given.lease_ms > given.start_to_finish_ms:
        raise Malformed("a lease is longer than a segment may take")


def _rules(
    request: CommitRequest, row: AttemptRow, job: Job, holder: Address
) -> Iterator[tuple[str, bool]]:
    claim, asked = request.commitment, row.task
    yield "job", claim.job == asked.job
    yield "task", claim.task == task.task_id(asked)
    yield "task_index", claim.task_index == asked.index
    yield "fence", claim.fence == row.fence
    yield "solver", claim.solver == row.solver
    yield "first_event", claim.first_event == asked.first_event
    yield "start_root", claim.start_root == asked.start_root
    yield "numerics", claim.numerics == job.numerics
    yield "sandbox_tier", claim.sandbox_tier == job.sandbox_tier
    going_on = claim.outcome is Outcome.CONTINUES
    yield "it stops before its target", not going_on or claim.end_event >= asked.target_event
    yield "it ends before it starts", claim.end_event >= claim.first_event
    length = claim.end_event - claim.first_event
    yield "it is too long", length <= 2 * EVENTS_PER_TASK_MAX
    yield "more batches than events", claim.batches <= length
    yield "raised", (claim.raised != ZERO) == (claim.outcome is Outcome.RAISED)
    receipt = request.store_receipt
    yield "store_receipt", claim.store_receipt == struct_hash(receipt)
    yield "the receipt is another store's", receipt.holder == holder
    held = {request.state.structure, request.state.tensors}
    yield "the receipt does not cover the end state", held <= set(receipt.artifacts)
