"""Checks of committed segments: anchoring, sampling, drawing verifiers, blind reports, salts.

Decisions only: each function reads a page, writes new rows on it, and calls nothing outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from coordinator import limits
from coordinator.page import Page
from coordinator.roster import Roster, candidate, prefer
from coordinator.rows import (
    AnchorRow,
    AttemptRow,
    AuditRow,
    Errand,
    NodeRow,
    Progress,
    Sample,
    Stamp,
)
from gensyn_lightning.protocol import assignment, attempt, audit, merkle, task
from gensyn_lightning.protocol.audit import Purpose
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address, Digest, Nonce
from gensyn_lightning.protocol.verdict import BlindReport, Replay, Verdict, compare


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a draw was for, the draw itself, and whom it could choose from."""

    purpose: Purpose
    lot: assignment.Draw
    roster: Digest


_LABELS = {Purpose.CHECK: "check", Purpose.ARBITRATION: "arbitrate"}


def anchor(page: Page) -> None:
    """Put new commitments under one root and ask for it to be anchored, a batch at a time."""
    if any(each.errand is Errand.ANCHOR for each in page.errands.values()):
        return
    fences = sorted(page.unanchored)[: limits.ANCHOR_BATCH_MAX]
    if not fences:
        return
    rows = [page.attempts[fence] for fence in fences]
    commitments = tuple(each.attempt.commitment or Digest(b"") for each in rows)
    root = merkle.root(commitments)
    page.put(AnchorRow(page.job.id, root, commitments, tuple(fences)))
    for each in rows:
        page.put(replace(each, anchor=root))
    page.ask(Errand.ANCHOR, root)


def anchored(page: Page, root: Digest, stamp: Stamp) -> None:
    """Decide which segments of an anchored batch are replayed; the block makes it unforeseeable."""
    row = page.anchors[root]
    if row.state is Progress.DONE:
        return
    page.put(replace(row, state=Progress.DONE, stamp=stamp))
    page.note("anchored", root=root.hex(), tx=stamp.tx.hex(), segments=len(row.fences))
    for fence in row.fences:
        _sample(page, page.attempts[fence], root, stamp)


def draw(page: Page, row: AttemptRow, roster: Roster) -> None:
    """Draw the verifiers a sampled segment still lacks."""
    wanted = page.job.record.parameters.verifiers_per_segment - len(counted(page, row))
    if wanted > 0:
        present = [each for each in roster.present(page.job.record, page.now_ms) if each.verifies]
        draw_nodes(page, row, Purpose.CHECK, present, wanted)


def draw_nodes(
    page: Page, row: AttemptRow, purpose: Purpose, present: list[NodeRow], wanted: int
) -> None:
    """Draw nodes none of whose owners has a part in the attempt; note it when there are too few."""
    held = page.audits_of(row)
    fresh = [each for each in held if each.state is not audit.State.EXPIRED]
    parties = {row.owner, page.job.record.submitter} | {each.owner for each in fresh}
    able = [each for each in present if each.owner not in parties]
    members = prefer(able, {each.owner for each in held})
    if not members or row.seed is None:
        if row.waiting_ms == 0:
            page.put(replace(row, waiting_ms=page.now_ms))
            page.note("unmanned", index=row.task.index, purpose=purpose.name)
        return
    lot = assignment.Draw(struct_hash(row.seed), row.seed.task, _LABELS[purpose], row.rounds)
    candidates = [replace(candidate(each, page.job.record), verifies=True) for each in members]
    chosen = assignment.draw_verifiers(lot, candidates, frozenset(parties), wanted)
    root = page.roster(members)
    owners = {each.account: each.owner for each in members}
    for node in chosen:
        _enlist(page, row, (node, owners[node]), _Drawn(purpose, lot, root))
    waiting_ms = (row.waiting_ms or page.now_ms) if len(chosen) < wanted else 0
    if waiting_ms != row.waiting_ms:
        page.put(replace(row, waiting_ms=waiting_ms))


def counted(page: Page, row: AttemptRow) -> list[AuditRow]:
    """Return the checks of an attempt that have reported or still may."""
    kept = (audit.State.DRAWN, audit.State.LEASED, audit.State.PROMISED, audit.State.REPORTED)
    return [
        each for each in page.audits_of(row) if each.purpose is Purpose.CHECK and each.state in kept
    ]


def take(page: Page, row: AuditRow) -> AuditRow:
    """Lease a drawn audit to its node."""
    until_ms = page.now_ms + page.job.record.parameters.lease_ms
    leased = replace(
        row, audit=audit.apply(row.audit, audit.Leased(until_ms)), leased_ms=page.now_ms
    )
    page.put(leased)
    page.note("replaying", index=row.index, verifier=row.verifier.hex())
    return leased


def promise(page: Page, row: AuditRow, report: BlindReport, signature: bytes) -> AuditRow:
    """Take a blind report; the node now waits until the salt is open."""
    promised = audit.apply(row.audit, audit.Promised(struct_hash(report)))
    until_ms = page.now_ms + page.job.record.parameters.report_window_ms
    page.put(
        replace(
            row,
            audit=audit.apply(promised, audit.Heartbeat(until_ms)),
            promise=report,
            promise_signature=signature,
        )
    )
    page.note("promised", index=row.index, verifier=row.verifier.hex())
    return page.audits[row.fence]


def ask_salt(page: Page, row: AttemptRow) -> None:
    """Tell the solver to open its salt once everyone who was drawn has promised."""
    checks = counted(page, row)
    wanted = page.job.record.parameters.verifiers_per_segment
    blind = [each for each in checks if each.state in {audit.State.DRAWN, audit.State.LEASED}]
    if row.salt is None and row.salt_due_ms == 0 and len(checks) >= wanted and not blind:
        due_ms = page.now_ms + page.job.record.parameters.salt_window_ms
        page.put(replace(row, salt_due_ms=due_ms))


def open_salt(page: Page, row: AttemptRow, salt: Nonce) -> None:
    """Take the salt; those who promised are now asked to open their replays."""
    page.put(replace(row, salt=salt))
    page.note("salt_opened", index=row.task.index, fence=row.fence)
    hurry(page, page.attempts[row.fence])


def hurry(page: Page, row: AttemptRow) -> None:
    """Give those who promised until the end of the salt's window to report, once it is open."""
    parameters = page.job.record.parameters
    until_ms = page.now_ms + parameters.salt_window_ms + parameters.lease_ms
    for each in page.audits_of(row):
        if each.state is audit.State.PROMISED and each.audit.lease_until_ms > until_ms:
            page.put(replace(each, audit=audit.apply(each.audit, audit.Heartbeat(until_ms))))


def report(page: Page, row: AuditRow, replay: Replay, signature: bytes, result: Digest) -> None:
    """Take an opened replay; the verdict follows from comparing it with the commitment."""
    judged = page.attempts[row.attempt]
    assert judged.handover is not None
    assert judged.salt is not None
    found = compare(judged.handover.commitment, judged.salt, replay)
    verdict = Verdict.MATCH if found is None else Verdict.NO_MATCH
    page.put(
        replace(
            row,
            audit=audit.apply(row.audit, audit.Reported(struct_hash(replay))),
            replay=replay,
            replay_signature=signature,
            result=result,
            verdict=verdict,
        )
    )
    page.note(
        "reported",
        index=row.index,
        fence=row.attempt,
        purpose=row.purpose.name,
        verifier=row.verifier.hex(),
        verdict=verdict.name,
        field=found.field if found else None,
        claimed=found.claimed if found else None,
        found=found.found if found else None,
    )
    if verdict is Verdict.NO_MATCH and judged.state is attempt.State.COMMITTED:
        disputed = attempt.apply(judged.attempt, attempt.Contradicted())
        page.put(replace(judged, attempt=disputed, waiting_ms=0))
        page.note("disputed", index=row.index, fence=row.attempt)


def expire(page: Page, row: AuditRow, reason: str) -> None:
    """End an audit that was not finished in time; somebody else is drawn."""
    over = audit.apply(row.audit, audit.LeaseExpired())
    page.put(replace(row, audit=over, verdict=Verdict.TIMEOUT))
    judged = page.attempts[row.attempt]
    page.put(replace(judged, rounds=judged.rounds + 1))
    page.note("audit_expired", index=row.index, verifier=row.verifier.hex(), reason=reason)


def settled(page: Page, row: AttemptRow) -> bool:
    """Whether nothing about the attempt is left to find out: not sampled, or everyone matched."""
    if row.sample is Sample.SKIPPED:
        return True
    wanted = page.job.record.parameters.verifiers_per_segment
    matched = [each for each in counted(page, row) if each.verdict is Verdict.MATCH]
    return row.sample is Sample.SAMPLED and len(matched) >= wanted


def _sample(page: Page, row: AttemptRow, root: Digest, stamp: Stamp) -> None:
    name = assignment.Seed(task.task_id(row.task), root, stamp.block)
    rate = page.job.record.parameters.audit_rate_ppm
    chosen = assignment.sampled(struct_hash(name), name.task, rate, row.task.index)
    page.put(replace(row, seed=name, sample=Sample.SAMPLED if chosen else Sample.SKIPPED))


def _enlist(
    page: Page,
    row: AttemptRow,
    node: tuple[Address, Address],
    drawn: _Drawn,
) -> None:
    fence = page.next_fence()
    until_ms = page.now_ms + page.job.record.parameters.queue_to_start_ms
    page.put(
        AuditRow(
            of=page.job.id,
            index=row.task.index,
            attempt=row.fence,
            purpose=drawn.purpose,
            verifier=node[0],
            owner=node[1],
            draw=drawn.lot,
            roster=drawn.roster,
            drawn_ms=page.now_ms,
            audit=audit.Audit(audit.State.DRAWN, fence, until_ms),
        )
    )
    page.note("drawn", index=row.task.index, purpose=drawn.purpose.name, verifier=node[0].hex())
