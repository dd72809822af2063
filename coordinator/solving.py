"""Segments and whoever trains them: opening, leasing, committing, losing.

Decisions only: each function reads a page, writes new rows on it, and calls nothing outside.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator import limits, sizing
from coordinator.page import Page
from coordinator.roster import Roster, candidate, prefer
from coordinator.rows import AttemptRow, Handover, NodeRow, TaskRow
from gensyn_lightning.protocol import assignment, attempt, audit, job, task
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.parameters import (
    ATTEMPTS_PER_TASK_MAX,
    TASKS_PER_JOB_MAX,
)


def extend(page: Page) -> None:
    """Open the next segment once the last one is committed, unless too many wait to be accepted."""
    row = page.job
    ahead = row.tail - row.accepted
    if not page.is_open() or ahead >= limits.FRONTIER_MAX or row.tail >= TASKS_PER_JOB_MAX:
        return
    if row.tail == 0:
        _open(
            page,
            task.Task(row.id, 0, 0, limits.FIRST_SEGMENT_EVENTS, row.record.initial_root),
        )
        return
    last = page.attempt_of(page.tasks[row.tail - 1])
    if last is None or last.handover is None or attempt.State.LEASED is last.state:
        return
    claim = last.handover.commitment
    if claim.outcome is not Outcome.CONTINUES:
        return
    target = claim.end_event + row.segment_events
    following = task.Task(row.id, row.tail, claim.end_event, target, claim.end_root)
    _open(page, following, last)


def preferred(
    page: Page, row: TaskRow, node: NodeRow, roster: Roster
) -> tuple[assignment.Draw | None, Digest | None] | None:
    """Return the draw that gives an open task to `node` now, or None when it is somebody else's.

    The solver of the segment before goes on without a draw. After `FIRST_CHOICE_MS` the task
    goes to whoever asks: a node that is first but does not come is not waited for.
    """
    patient = page.now_ms - row.opened_ms < limits.FIRST_CHOICE_MS
    if row.preferred == node.account:
        return None, None
    if row.preferred is not None and patient:
        return None
    present = roster.present(page.job.record, page.now_ms)
    excluded = frozenset(page.job.excluded)
    able = [each for each in present if each.solves and each.owner not in excluded]
    free = [each for each in able if each == node or not roster.busy(each.account)]
    members = prefer(free, row.avoided)
    seed = assignment.Seed(task.task_id(row.record), page.job.id, page.job.beacon)
    draw = assignment.Draw(struct_hash(seed), seed.task, "solve", row.attempts)
    candidates = [candidate(each, page.job.record) for each in members]
    order = assignment.draw_solvers(draw, candidates, excluded)
    if node.account not in order or (patient and order[0] != node.account):
        return None
    return draw, page.roster(members)


def lease(
    page: Page, row: TaskRow, node: NodeRow, drawn: tuple[assignment.Draw | None, Digest | None]
) -> AttemptRow:
    """Give an open task to a node."""
    fence = page.next_fence()
    until_ms = page.now_ms + page.job.record.parameters.lease_ms
    made = AttemptRow(
        task=row.record,
        generation=row.generation,
        solver=node.account,
        owner=node.owner,
        started_ms=page.now_ms,
        attempt=attempt.Attempt(attempt.State.LEASED, fence, until_ms),
        draw=drawn[0],
        roster=drawn[1],
    )
    state = task.apply(row.state, task.AttemptStarted())
    page.put(replace(row, state=state, fence=fence, attempts=row.attempts + 1))
    page.put(made)
    page.enlist(node)
    page.note("leased", index=row.record.index, fence=fence, solver=node.account.hex())
    return made


def commit(page: Page, row: AttemptRow, handover: Handover, spent_ms: int) -> None:
    """Take a commitment that has been checked, and size the next segment by it."""
    claim = handover.commitment
    event = attempt.Committed(struct_hash(claim))
    page.put(replace(row, attempt=attempt.apply(row.attempt, event), handover=handover))
    held = page.tasks[row.task.index]
    page.put(replace(held, state=task.apply(held.state, task.AttemptCommitted())))
    elapsed_ms = page.now_ms - row.started_ms
    events = claim.end_event - claim.first_event
    target_ms = page.job.record.parameters.segment_target_ms
    spent_ms = min(spent_ms or elapsed_ms, elapsed_ms)
    pace = sizing.learn(page.job.pace, events, spent_ms, target_ms)
    size = sizing.next_events(pace, page.job.segment_events, claim.end_event, target_ms)
    page.put(replace(page.job, segment_events=size, pace=pace))
    page.note(
        "committed",
        index=row.task.index,
        fence=row.fence,
        solver=row.solver.hex(),
        first_event=claim.first_event,
        end_event=claim.end_event,
        batches=claim.batches,
        outcome=claim.outcome.name,
        end_root=claim.end_root.hex(),
    )


def lose(page: Page, row: AttemptRow, event: attempt.Event, reason: str) -> None:
    """End an attempt without acceptance: its task opens anew, and what was built on it is void."""
    page.put(replace(row, attempt=attempt.apply(row.attempt, event)))
    drop_audits(page, row)
    held = page.tasks[row.task.index]
    avoided = (*held.avoided, *({row.owner} - set(held.avoided)))
    state = task.apply(held.state, task.AttemptLost())
    page.put(
        replace(held, state=state, fence=0, opened_ms=page.now_ms, avoided=avoided, preferred=None)
    )
    page.note(
        type(event).__name__.lower(),
        index=row.task.index,
        fence=row.fence,
        solver=row.solver.hex(),
        reason=reason,
    )
    void_after(page, row.task.index)


def void_after(page: Page, index: int) -> None:
    """Close every segment after `index`: the state it started from no longer stands."""
    first, last = index + 1, page.job.tail
    if first >= last:
        return
    for each in range(first, last):
        close(page, page.tasks[each], attempt.PredecessorRefuted())
    page.put(replace(page.job, tail=first, generation=page.job.generation + 1))
    page.note("voided", first_index=first, end_index=last)


def close(page: Page, row: TaskRow, event: attempt.Event) -> None:
    """Abandon a task, and end its attempt and the attempt's audits with it."""
    held = page.attempt_of(row)
    if held is not None:
        page.put(replace(held, attempt=attempt.apply(held.attempt, event)))
        drop_audits(page, held)
    page.put(replace(row, state=task.apply(row.state, task.Abandoned())))


def drop_audits(page: Page, row: AttemptRow) -> None:
    """End what is still being replayed of an attempt that is no longer in question."""
    for each in page.audits_of(row):
        if audit.TRANSITIONS[each.state]:
            page.put(replace(each, audit=audit.apply(each.audit, audit.Dropped())))


def exhausted(page: Page) -> str:
    """Return which bound the job has run into, or nothing."""
    held = waiting(page)
    if held is not None and held.attempts >= ATTEMPTS_PER_TASK_MAX:
        return f"segment {held.record.index} was tried {held.attempts} times"
    if page.job.tail >= TASKS_PER_JOB_MAX and page.job.accepted == page.job.tail:
        return f"the job has {TASKS_PER_JOB_MAX} segments and has not ended"
    return ""


def waiting(page: Page) -> TaskRow | None:
    """Return the task nobody holds and somebody may, earliest first."""
    if page.job.state is not job.State.TRAINING:
        return None
    open_ = (each for each in page.live() if each.state is task.State.OPEN)
    return next((each for each in open_ if founded(page, each)), None)


def founded(page: Page, row: TaskRow) -> bool:
    """Whether a task may be tried now: one that keeps failing waits for its start to be accepted.

    A cheat can hand over a state nobody can start from; without this, what follows would use up
    the job's attempts before a verifier has had the time to say so.
    """
    return row.attempts < limits.UNFOUNDED_ATTEMPTS_MAX or row.record.index <= page.job.accepted


def _open(page: Page, record: task.Task, after: AttemptRow | None = None) -> None:
    chosen = after.solver if after else None
    page.put(TaskRow(record, page.job.generation, page.now_ms, preferred=chosen))
    size = page.job.segment_events or record.target_event
    page.put(replace(page.job, tail=record.index + 1, segment_events=size))
