"""Whether the segments that stand form one fit: each starts where the one before it ended."""

from __future__ import annotations

from gensyn_lightning.protocol import job as jobs
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment, Outcome
from gensyn_lightning.protocol.digest import ZERO
from gensyn_lightning.protocol.task import Task, task_id
from gensyn_lightning.report.case import Attempt, Case
from gensyn_lightning.report.finding import Findings, Level, must

_STATES = {
    "SETTLE": {jobs.State.SETTLED},
    "REFUND": {jobs.State.REFUNDED},
    None: set(jobs.State) - {jobs.State.SETTLED},
}


def check(findings: Findings, case: Case) -> None:
    """Check the job's name, every commitment's place, and the chain of segments."""
    findings.run(Level.RECORDS, "the job is named after its program", lambda: _job(case))
    findings.run(Level.RECORDS, "commitments are about their tasks", lambda: _places(case))
    findings.run(Level.RECORDS, "every segment starts where the last ended", lambda: _chain(case))


def _job(case: Case) -> str:
    must(jobs.job_id(case.job) == case.job_id, "the job has another name than its record gives it")
    kind = case.closing.kind if case.closing else None
    must(case.state in _STATES[kind], "the job's state does not fit how it was closed")
    stopped = case.state in {jobs.State.REFUNDING, jobs.State.REFUNDED}
    must(stopped or case.reason is None, "a job that was not stopped gives a reason for it")
    return jobs.display_id(case.job_id)


def _places(case: Case) -> str:
    """Check every claim, also of attempts that do not stand, against the task it answers."""
    fences = set()
    count = 0
    for index, segment in enumerate(case.segments):
        for attempt in segment.attempts:
            must(attempt.fence not in fences, f"fence {attempt.fence} was given twice")
            fences.add(attempt.fence)
            _task(case, attempt.task, index)
            for other, _ in attempt.equivocations:
                _equivocation(attempt, other)
            if attempt.commitment is not None:
                _claim(case, attempt, attempt.commitment)
                count += 1
    return f"{count} commitments"


def _task(case: Case, task: Task, index: int) -> None:
    must(task.job == case.job_id, f"segment {index} belongs to another job")
    must(task.index == index, f"segment {index} is called {task.index}")
    must(task.target_event > task.first_event, f"segment {index} asks for nothing")


def _claim(case: Case, attempt: Attempt, claim: Commitment) -> None:
    task, where = attempt.task, f"segment {attempt.task.index}, attempt {attempt.fence}"
    same = (
        (claim.job, case.job_id, "job"),
        (claim.task, task_id(task), "task"),
        (claim.task_index, task.index, "segment"),
        (claim.fence, attempt.fence, "attempt"),
        (claim.solver, attempt.solver, "solver"),
        (claim.first_event, task.first_event, "first event"),
        (claim.start_root, task.start_root, "start state"),
        (claim.numerics, case.job.numerics, "version of arithmetic"),
        (claim.sandbox_tier, case.job.sandbox_tier, "sandbox"),
    )
    for left, right, noun in same:
        must(left == right, f"{where}: the commitment is about another {noun}")
    going_on = claim.outcome is Outcome.CONTINUES
    must(claim.end_event >= claim.first_event, f"{where}: the segment ends before it starts")
    must(claim.end_event > claim.first_event or not going_on, f"{where}: the segment is empty")
    reached = claim.end_event >= task.target_event or not going_on
    must(reached, f"{where}: the segment ends before its target")
    raised = claim.outcome is Outcome.RAISED
    must(raised == (claim.raised != ZERO), f"{where}: outcome and exception do not fit")
    kept = attempt.store_receipt
    held = kept is not None and struct_hash(kept) == claim.store_receipt
    must(held, f"{where}: nobody signed for storing the end state")


def _equivocation(attempt: Attempt, other: Commitment) -> None:
    """Check that a second claim is about the same attempt, and another one.

    It was refused, so whatever else it says its author may have made up.
    """
    where = f"segment {attempt.task.index}, attempt {attempt.fence}"
    same = other.task == task_id(attempt.task) and other.fence == attempt.fence
    must(same, f"{where}: a second claim is about something else")
    must(other != attempt.commitment, f"{where}: a claim is held against itself")


def _chain(case: Case) -> str:
    root, event = case.job.initial_root, 0
    standing = case.standing
    for attempt, claim in standing:
        index = attempt.task.index
        must(claim.start_root == root, f"segment {index} starts from another state")
        must(claim.first_event == event, f"segment {index} starts at another event")
        root, event = claim.end_root, claim.end_event
        last = index == len(standing) - 1
        must(last or claim.outcome is Outcome.CONTINUES, f"the fit goes on after segment {index}")
    settled = case.closing is not None and case.closing.kind == "SETTLE"
    ended = bool(standing) and standing[-1][1].outcome is not Outcome.CONTINUES
    must(ended or not settled, "the job is settled but its fit has no end")
    for segment in case.segments[len(standing) :]:
        must(segment.accepted is None, f"segment {segment.index} stands on nothing")
    return f"{len(standing)} segments, {event} events"
