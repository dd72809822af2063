"""What the replays say about the commitments: promises opened, verdicts and rulings recomputed."""

from __future__ import annotations

from gensyn_lightning.protocol import attempt as attempts
from gensyn_lightning.protocol import audit as audits
from gensyn_lightning.protocol.audit import Purpose
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.verdict import (
    Arbitration,
    Replay,
    Verdict,
    arbitrate,
    check_opening,
    verdict,
)
from gensyn_lightning.report.case import Attempt, Audit, Case, Ruling
from gensyn_lightning.report.finding import Findings, Level, must

Attempts = attempts.State


def check(findings: Findings, case: Case) -> None:
    """Recompute every verdict, and what follows from the verdicts for each attempt."""
    findings.run(Level.RECORDS, "replays are what was promised blind", lambda: _promises(case))
    findings.run(Level.RECORDS, "verdicts follow from the roots", lambda: _verdicts(case))
    findings.run(Level.RECORDS, "contradictions were ruled on", lambda: _rulings(case))
    findings.run(Level.RECORDS, "what stands was not contradicted", lambda: _standing(case))


def matches(attempt: Attempt) -> list[Audit]:
    """Return the replays that found the same as the attempt."""
    return [each for each in attempt.audits if each.verdict is Verdict.MATCH]


def _promises(case: Case) -> str:
    count = 0
    for attempt in _all(case):
        for audit in attempt.audits:
            where = f"segment {attempt.task.index}, replay {audit.fence}"
            reported = audit.state is audits.State.REPORTED
            must(reported == (audit.replay is not None), f"{where}: state and replay do not fit")
            if audit.promise is None or attempt.commitment is None:
                must(audit.replay is None, f"{where}: a replay nobody promised")
                continue
            about = struct_hash(attempt.commitment)
            must(audit.promise.commitment == about, f"{where}: a promise about something else")
            if audit.replay is not None:
                check_opening(audit.promise, audit.replay)
                must(
                    audit.replay.draw == struct_hash(audit.draw), f"{where}: another draw's replay"
                )
                count += 1
    return f"{count} promises opened"


def _verdicts(case: Case) -> str:
    counts = {Verdict.MATCH: 0, Verdict.NO_MATCH: 0}
    for attempt in _all(case):
        for audit in attempt.audits:
            where = f"segment {attempt.task.index}, replay {audit.fence}"
            if audit.replay is None:
                said = audit.verdict in {Verdict.MATCH, Verdict.NO_MATCH}
                must(not said, f"{where}: a verdict without a replay")
                must(not audit.wrong, f"{where}: wrong without having said anything")
                continue
            if attempt.commitment is None or attempt.salt is None:
                waiting = attempt.state is Attempts.COMMITTED and attempt.commitment is not None
                must(waiting, f"{where}: the salt was never opened")
                continue
            found = verdict(attempt.commitment, attempt.salt, audit.replay)
            must(found is audit.verdict, f"{where}: the roots say {found.name}")
            counts[found] += 1
    return f"{counts[Verdict.MATCH]} match, {counts[Verdict.NO_MATCH]} do not"


def _rulings(case: Case) -> str:
    count = 0
    for attempt in _all(case):
        for index, ruling in enumerate(attempt.rulings):
            where = f"segment {attempt.task.index}, ruling {index}"
            must(ruling.round == index, f"{where}: out of order")
            must(ruling.outcome is _ruled(attempt, ruling, where), f"{where}: the replays say else")
            last = index == len(attempt.rulings) - 1
            must(
                last or ruling.outcome is Arbitration.INCONCLUSIVE,
                f"{where}: ruled on again after it was decided",
            )
            count += 1
        _outcome(attempt)
    return f"{count} rulings" if count else "there were none"


def _ruled(attempt: Attempt, ruling: Ruling, where: str) -> Arbitration:
    accuser = _replay_by(attempt, Purpose.CHECK, ruling.accuser)
    third = _replay_by(attempt, Purpose.ARBITRATION, ruling.third) if ruling.third else None
    must(accuser is not None, f"{where}: the accuser made no replay")
    must(ruling.third is None or third is not None, f"{where}: the third node made no replay")
    if accuser is None or attempt.commitment is None or attempt.salt is None:
        return Arbitration.INCONCLUSIVE
    contradicts = verdict(attempt.commitment, attempt.salt, accuser) is Verdict.NO_MATCH
    must(contradicts, f"{where}: the accuser accuses nobody")
    return arbitrate(attempt.commitment, attempt.salt, accuser, third)


def _outcome(attempt: Attempt) -> None:
    """Check that the attempt's state and the wrong reports are what the last ruling makes them."""
    where = f"segment {attempt.task.index}, attempt {attempt.fence}"
    ruled = attempt.rulings[-1].outcome if attempt.rulings else None
    must(
        (attempt.state is Attempts.REFUTED) == (ruled is Arbitration.REFUTED),
        f"{where}: refuted without a ruling, or standing against one",
    )
    proven_wrong = {Arbitration.UPHELD: Verdict.NO_MATCH, Arbitration.REFUTED: Verdict.MATCH}
    wrong = proven_wrong.get(ruled) if ruled is not None else None
    for audit in attempt.audits:
        must(
            audit.wrong == (wrong is not None and audit.verdict is wrong),
            f"{where}: replay {audit.fence} is held wrong, or right, without a ruling",
        )


def _standing(case: Case) -> str:
    wanted = case.job.parameters.verifiers_per_segment
    for attempt, _ in case.standing:
        where = f"segment {attempt.task.index}"
        against = any(each.verdict is Verdict.NO_MATCH for each in attempt.audits)
        upheld = attempt.rulings and attempt.rulings[-1].outcome is Arbitration.UPHELD
        must(bool(upheld) or not against, f"{where} stands although a replay contradicts it")
        must(
            attempt.sampled is not None, f"{where} stands before it was drawn whether to replay it"
        )
        checks = [each for each in matches(attempt) if each.purpose is Purpose.CHECK]
        enough = len(checks) >= wanted or bool(upheld)
        must(enough or not attempt.sampled, f"{where} was to be replayed and was not")
    return f"{len(case.standing)} segments"


def _replay_by(attempt: Attempt, purpose: Purpose, account: bytes) -> Replay | None:
    made = [
        each.replay
        for each in attempt.audits
        if each.purpose is purpose and each.verifier == account and each.replay is not None
    ]
    return made[-1] if made else None


def _all(case: Case) -> list[Attempt]:
    return [attempt for segment in case.segments for attempt in segment.attempts]
