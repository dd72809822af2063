"""What follows of itself: run on a page after every event, until nothing more follows.

Each rule looks at the rows alone, so that a coordinator that was killed anywhere goes on from
what it finds. `overdue` is what the clock does; `due_ms` says when it will next do something.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator import checking, closing, disputing, limits, solving
from coordinator.page import Page
from coordinator.roster import Roster
from coordinator.rows import AttemptRow, AuditRow, Errand, Sample, TaskRow
from gensyn_lightning.protocol import attempt, audit, job, task
from gensyn_lightning.protocol.job import Reason
from gensyn_lightning.protocol.verdict import Arbitration

NEVER_MS = 1 << 62
_TIMED = {job.State.SUBMITTED, job.State.TRAINING}


def sweep(page: Page, roster: Roster, arbiter: disputing.Arbiter) -> None:
    """Do everything that is due because of what has happened."""
    if page.job.state is job.State.SUBMITTED:
        page.ask(Errand.CONFIRM)
    if not page.is_open():
        return
    checking.anchor(page)
    for row in list(page.live()):
        held = page.attempt_of(row)
        if held is not None and held.sample is Sample.SAMPLED:
            _check(page, held, roster)
    while page.is_open() and _advance(page, roster, arbiter):
        continue
    if page.is_open() and (why := solving.exhausted(page)):
        closing.stop(page, Reason.EXHAUSTED, why)
    solving.extend(page)


def overdue(page: Page, roster: Roster) -> None:
    """End whatever has run out of time."""
    if page.job.state in _TIMED and page.now_ms >= _total_ms(page):
        closing.stop(page, Reason.TIMED_OUT, "the job's time is up")
    for row in list(page.live()) if page.is_open() else ():
        if page.is_open() and page.tasks[row.record.index] is row:  # not voided on the way
            _overdue_task(page, row, roster)


def due_ms(page: Page) -> int:
    """Return when the clock next has something to do for this job."""
    if page.job.state not in _TIMED:
        return NEVER_MS
    times = [_total_ms(page)]
    for row in page.live():
        held = page.attempt_of(row)
        if held is None:
            times.append(row.opened_ms + page.job.record.parameters.queue_to_start_ms)
        else:
            times.extend(_times(page, held))
    return min(times)


def _check(page: Page, row: AttemptRow, roster: Roster) -> None:
    """Move the checks of a sampled segment on."""
    if row.state is attempt.State.COMMITTED:
        checking.draw(page, row, roster)
        checking.ask_salt(page, page.attempts[row.fence])


def _advance(page: Page, roster: Roster, arbiter: disputing.Arbiter) -> bool:
    """Settle the earliest segment that is not accepted, if all is known; say whether it was."""
    held = (
        page.attempt_of(page.tasks[page.job.accepted])
        if page.job.accepted < page.job.tail
        else None
    )
    if held is None or held.handover is None:
        return False
    if held.state is attempt.State.COMMITTED and checking.settled(page, held):
        _accept(page, held)
        return True
    if held.state is not attempt.State.DISPUTED:
        return False
    outcome = arbiter.decide(page, held, roster)
    if outcome is None:
        return False
    if outcome is Arbitration.INCONCLUSIVE:
        _give_up(page, held)
    elif outcome is Arbitration.UPHELD and not closing.affordable(page, held):
        closing.stop(page, Reason.EXHAUSTED, "the budget is spent")
    else:
        closing.RULINGS[outcome](page, page.attempts[held.fence])
    return True


def _give_up(page: Page, row: AttemptRow) -> None:
    """End a job in which nobody could say who is right, or every replay found something else."""
    disagreed = any(each.third for each in page.attempts[row.fence].rulings)
    reason = Reason.NOT_REPRODUCIBLE if disagreed else Reason.INCONCLUSIVE
    why = "no two replays agree on" if disagreed else "no third node could be found for"
    closing.stop(page, reason, f"{why} segment {row.task.index}")


def _accept(page: Page, row: AttemptRow) -> None:
    if closing.affordable(page, row):
        closing.accept(page, row, attempt.PrefixAccepted())
    else:
        closing.stop(page, Reason.EXHAUSTED, "the budget is spent")


def _overdue_task(page: Page, row: TaskRow, roster: Roster) -> None:
    held = page.attempt_of(row)
    if held is None:
        _overdue_queue(page, row)
    elif held.state is attempt.State.LEASED:
        limit_ms = held.started_ms + page.job.record.parameters.start_to_finish_ms
        if page.now_ms >= min(held.attempt.lease_until_ms, limit_ms):
            why = "too slow" if page.now_ms >= limit_ms else "silent"
            solving.lose(page, held, attempt.LeaseExpired(), why)
    elif held.salt is None and 0 < held.salt_due_ms <= page.now_ms:
        solving.lose(page, held, attempt.SaltWithheld(), "the salt was not opened")
    else:
        _overdue_checks(page, held, roster)


def _overdue_queue(page: Page, row: TaskRow) -> None:
    """Offer a task nobody takes again, up to the bound on redraws."""
    parameters = page.job.record.parameters
    if (
        row.state is not task.State.OPEN
        or not solving.founded(page, row)
        or page.now_ms < row.opened_ms + parameters.queue_to_start_ms
    ):
        return
    if row.rounds >= parameters.redraws_max:
        closing.stop(page, Reason.TIMED_OUT, "no solver took the work")
        return
    page.put(replace(row, rounds=row.rounds + 1, opened_ms=page.now_ms, preferred=None))
    page.note("unmanned", index=row.record.index, purpose="SOLVE")


def _overdue_checks(page: Page, row: AttemptRow, roster: Roster) -> None:
    """Audits that ran out of time are drawn again, up to the bound on redraws."""
    parameters = page.job.record.parameters
    for each in page.audits_of(row):
        if audit.TRANSITIONS[each.state] and page.now_ms >= _audit_due_ms(page, each):
            _expire(page, each, roster)
    judged = page.attempts[row.fence]
    if judged.state is not attempt.State.COMMITTED:
        return
    if judged.waiting_ms and page.now_ms >= judged.waiting_ms + parameters.queue_to_start_ms:
        judged = replace(judged, rounds=judged.rounds + 1, waiting_ms=page.now_ms)
        page.put(judged)
    if judged.rounds > parameters.redraws_max:
        why = f"segment {row.task.index} could not be checked"
        closing.stop(page, Reason.INCONCLUSIVE, why)


def _expire(page: Page, row: AuditRow, roster: Roster) -> None:
    """End an audit, unless its node is still at other work and simply has not come to it."""
    if row.state is audit.State.DRAWN and roster.busy(row.verifier):
        until_ms = page.now_ms + page.job.record.parameters.queue_to_start_ms
        page.put(replace(row, audit=replace(row.audit, lease_until_ms=until_ms)))
        return
    reasons = {
        audit.State.DRAWN: "never taken",
        audit.State.LEASED: "silent or too slow",
        audit.State.PROMISED: "promised and never shown",
    }
    checking.expire(page, row, reasons[row.state])


def _audit_due_ms(page: Page, row: AuditRow) -> int:
    until_ms = row.audit.lease_until_ms
    if row.state is not audit.State.LEASED:
        return until_ms
    return min(until_ms, row.leased_ms + page.job.record.parameters.start_to_finish_ms)


def _times(page: Page, row: AttemptRow) -> list[int]:
    """Return when the clock next matters to an attempt."""
    parameters = page.job.record.parameters
    if row.state is attempt.State.LEASED:
        return [min(row.attempt.lease_until_ms, row.started_ms + parameters.start_to_finish_ms)]
    times = [
        _audit_due_ms(page, each) for each in page.audits_of(row) if audit.TRANSITIONS[each.state]
    ]
    if row.salt_due_ms and row.salt is None:
        times.append(row.salt_due_ms)
    if row.waiting_ms:
        times.append(page.now_ms + limits.REDRAW_MS)
    return times


def _total_ms(page: Page) -> int:
    parameters = page.job.record.parameters
    submitted = page.job.state is job.State.SUBMITTED
    limit_ms = parameters.queue_to_start_ms if submitted else parameters.job_total_ms
    return page.job.submitted_ms + limit_ms
