"""Whether nodes and samples were drawn by the rules: anchors, seeds and draws derived again.

What a draw could choose from is the coordinator's word (its seal covers the rosters); that the
choice among them is the drawn one, anyone computes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from gensyn_lightning.protocol import audit as audits
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.assignment import (
    Candidate,
    Draw,
    Seed,
    draw_verifiers,
    sampled,
)
from gensyn_lightning.protocol.audit import Purpose
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.task import task_id
from gensyn_lightning.report.case import Attempt, Audit, Case
from gensyn_lightning.report.finding import Findings, Level, must

PURPOSES = {Purpose.CHECK: "check", Purpose.ARBITRATION: "arbitrate"}


def check(findings: Findings, case: Case) -> None:
    """Derive every anchor, sample and draw again."""
    findings.run(Level.RECORDS, "commitments stand under their anchors", lambda: _anchors(case))
    findings.run(Level.RECORDS, "samples follow from their seeds", lambda: _samples(case))
    findings.run(Level.RECORDS, "nodes are the ones that were drawn", lambda: _draws(case))


def _anchors(case: Case) -> str:
    for anchor in case.anchors.values():
        must(
            merkle.root(anchor.commitments) == anchor.root, "an anchor is not over its commitments"
        )
    for attempt in _all(case):
        if attempt.seed is None:
            continue
        where = f"segment {attempt.task.index}, attempt {attempt.fence}"
        must(attempt.seed.anchored in case.anchors, f"{where}: its anchor is missing")
        must(attempt.anchor == attempt.seed.anchored, f"{where}: the seed names another anchor")
        must(attempt.commitment is not None, f"{where}: a seed without a commitment")
        if attempt.commitment is not None:
            anchor = case.anchors[attempt.seed.anchored]
            named = struct_hash(attempt.commitment) in anchor.commitments
            must(named, f"{where}: the commitment is not under its anchor")
            must(
                attempt.seed.block == anchor.block.digest, f"{where}: the seed names another block"
            )
    return f"{len(case.anchors)} anchors"


def _samples(case: Case) -> str:
    rate = case.job.parameters.audit_rate_ppm
    count = 0
    for attempt in _all(case):
        where = f"segment {attempt.task.index}, attempt {attempt.fence}"
        if attempt.seed is None:
            must(attempt.sampled is None, f"{where}: sampled without a seed")
            must(not attempt.audits, f"{where}: replayed before it was drawn")
            continue
        must(attempt.seed.task == task_id(attempt.task), f"{where}: the seed is another task's")
        drawn = sampled(struct_hash(attempt.seed), attempt.seed.task, rate, attempt.task.index)
        must(attempt.sampled == drawn, f"{where}: the sample is not the drawn one")
        must(drawn or not attempt.audits, f"{where}: replayed without being drawn")
        count += drawn
    return f"{count} attempts sampled at {rate / 10_000:g} %"


def _draws(case: Case) -> str:
    for root, members in case.rosters.items():
        must(merkle.root(members) == root, "a roster is not the one its root names")
        must(list(members) == sorted(set(members)), "a roster is not in order")
    count = 0
    for attempt in _all(case):
        _solver(case, attempt)
        groups: dict[tuple[Draw, Digest, Purpose], list[Audit]] = defaultdict(list)
        for audit in attempt.audits:
            groups[audit.draw, audit.roster, audit.purpose].append(audit)
        for drawn in groups.values():
            _verifiers(case, attempt, drawn)
            count += 1
        _independent(case, attempt)
    return f"{count} draws of verifiers"


def _solver(case: Case, attempt: Attempt) -> None:
    where = f"segment {attempt.task.index}, attempt {attempt.fence}"
    must((attempt.draw is None) == (attempt.roster is None), f"{where}: a draw without a roster")
    if attempt.draw is None or attempt.roster is None:
        return
    task = task_id(attempt.task)
    seed = struct_hash(Seed(task, case.job_id, case.beacon))
    fits = attempt.draw.seed == seed and attempt.draw.task == task
    must(fits and attempt.draw.purpose == "solve", f"{where}: the draw is about something else")
    must(attempt.solver in _members(case, attempt.roster, where), f"{where}: not on the roster")


def _verifiers(case: Case, attempt: Attempt, drawn: list[Audit]) -> None:
    """Check audits that name the same draw: together they are the first of its order."""
    draw, purpose = drawn[0].draw, drawn[0].purpose
    where = f"segment {attempt.task.index}, attempt {attempt.fence}"
    if attempt.seed is None:
        must(False, f"{where}: a draw without a seed")
        return
    fits = draw.seed == struct_hash(attempt.seed) and draw.task == attempt.seed.task
    must(fits and draw.purpose == PURPOSES[purpose], f"{where}: the draw is about something else")
    members = _members(case, drawn[0].roster, where)
    candidates = [_candidate(case, each, purpose, where) for each in members]
    expected = draw_verifiers(draw, candidates, _parties(case, attempt), len(drawn))
    must({each.verifier for each in drawn} == set(expected), f"{where}: others had been drawn")


def _independent(case: Case, attempt: Attempt) -> None:
    """Check that no owner has two parts in one attempt, those whose time ran out left aside."""
    where = f"segment {attempt.task.index}, attempt {attempt.fence}"
    held = [each for each in attempt.audits if each.state is not audits.State.EXPIRED]
    owners = [owner(case, each.verifier) for each in held]
    must(len(set(owners)) == len(owners), f"{where}: one owner replayed twice")
    must(not _parties(case, attempt) & set(owners), f"{where}: a party replayed its own work")


def owner(case: Case, account: Address) -> Address:
    """Return a node's owner; a node that is not registered owns itself."""
    node = case.nodes.get(account)
    return node.candidate.owner if node else account


def _parties(case: Case, attempt: Attempt) -> frozenset[Address]:
    return frozenset({owner(case, attempt.solver), case.job.submitter})


def _members(case: Case, roster: Digest, where: str) -> tuple[Address, ...]:
    members = case.rosters.get(roster)
    must(members is not None, f"{where}: the roster of the draw is missing")
    return tuple(members or ())


def _candidate(case: Case, account: Address, purpose: Purpose, where: str) -> Candidate:
    node = case.nodes.get(account)
    if node is None:
        must(False, f"{where}: a node on the roster is not registered")
    candidate = node.candidate if node else Candidate(account, account, False, False, "")
    must(candidate.numerics == case.job.numerics, f"{where}: a node of another arithmetic")
    return replace(candidate, verifies=True) if purpose is Purpose.ARBITRATION else candidate


def _all(case: Case) -> list[Attempt]:
    return [attempt for segment in case.segments for attempt in segment.attempts]
