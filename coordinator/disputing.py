"""What happens when a replay contradicts a commitment: the port, and its adapter of a third key.

The adapter asks one more node, whose owner has no part in the attempt, to replay the segment; two
of three decide (`protocol.verdict.arbitrate`). It does not establish who is right when two owners
collude, nor when a program is not reproducible: then it says INCONCLUSIVE.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from coordinator import checking
from coordinator.limits import ARBITRATIONS_PER_ATTEMPT_MAX
from coordinator.page import Page
from coordinator.roster import Roster
from coordinator.rows import AttemptRow, AuditRow, Ruling
from gensyn_lightning.protocol import audit
from gensyn_lightning.protocol.audit import Purpose
from gensyn_lightning.protocol.verdict import Arbitration, Verdict, arbitrate


class Arbiter(Protocol):
    """Decides a contradiction; asked again after every event until it has decided."""

    def decide(self, page: Page, row: AttemptRow, roster: Roster) -> Arbitration | None:
        """Return what was found, or None while it is still being found out.

        MUST NOT decide before every audit of the attempt is over, and MUST note its rulings on
        the page. INCONCLUSIVE is final.
        """


class ThirdKey:
    """Settles a contradiction by a fresh replay under a third key."""

    def decide(self, page: Page, row: AttemptRow, roster: Roster) -> Arbitration | None:
        """Draw a third node, wait for its replay, and count two of three."""
        if _busy(page, row):
            return None
        thirds = [each for each in _reports(page, row) if each.purpose is Purpose.ARBITRATION]
        if len(thirds) > len(row.rulings):
            outcome = _rule(page, row, thirds[-1])
            if outcome is not Arbitration.INCONCLUSIVE:
                return outcome
            row = page.attempts[row.fence]
        parameters = page.job.record.parameters
        bound = min(parameters.redraws_max, ARBITRATIONS_PER_ATTEMPT_MAX - 1)
        unmanned = row.waiting_ms and page.now_ms - row.waiting_ms >= parameters.queue_to_start_ms
        if unmanned or row.rounds > bound:
            if unmanned or not row.rulings:
                first = accusers(page, row)[0]
                _note_ruling(page, row, Arbitration.INCONCLUSIVE, first, None)
            return Arbitration.INCONCLUSIVE
        present = roster.present(page.job.record, page.now_ms)
        able = [each for each in present if each.arbitrates]
        checking.draw_nodes(page, row, Purpose.ARBITRATION, able, 1)
        return None


def accusers(page: Page, row: AttemptRow) -> list[AuditRow]:
    """Return the checks that contradict the attempt, oldest first."""
    return [
        each
        for each in _reports(page, row)
        if each.purpose is Purpose.CHECK and each.verdict is Verdict.NO_MATCH
    ]


def mark_wrong(page: Page, row: AttemptRow, verdict: Verdict) -> None:
    """Mark every report that said `verdict` as proven wrong: it is not paid."""
    for each in _reports(page, row):
        if each.verdict is verdict:
            page.put(replace(each, wrong=True))


def _rule(page: Page, row: AttemptRow, third: AuditRow) -> Arbitration:
    """Two of three: the commitment, the third key's replay, and any one accuser's."""
    assert row.handover is not None
    assert row.salt is not None
    commitment = row.handover.commitment
    for accuser in accusers(page, row):
        assert accuser.replay is not None
        outcome = arbitrate(commitment, row.salt, accuser.replay, third.replay)
        if outcome is not Arbitration.INCONCLUSIVE:
            _note_ruling(page, row, outcome, accuser, third)
            return outcome
    first = accusers(page, row)[0]
    _note_ruling(page, row, Arbitration.INCONCLUSIVE, first, third)
    judged = page.attempts[row.fence]
    page.put(replace(judged, rounds=judged.rounds + 1))
    return Arbitration.INCONCLUSIVE


def _note_ruling(
    page: Page, row: AttemptRow, outcome: Arbitration, accuser: AuditRow, third: AuditRow | None
) -> None:
    named = third.verifier if third else None
    ruling = Ruling(len(row.rulings), outcome, accuser.verifier, named)
    page.put(replace(row, rulings=(*row.rulings, ruling)))
    page.note(
        "arbitrated",
        index=row.task.index,
        fence=row.fence,
        outcome=outcome.name,
        accuser=accuser.verifier.hex(),
        third=named.hex() if named else None,
        reason="" if third else "no third node could be found",
    )


def _busy(page: Page, row: AttemptRow) -> bool:
    return any(audit.TRANSITIONS[each.state] for each in page.audits_of(row))


def _reports(page: Page, row: AttemptRow) -> list[AuditRow]:
    return [each for each in page.audits_of(row) if each.state is audit.State.REPORTED]
