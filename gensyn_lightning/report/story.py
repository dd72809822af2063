"""A report as people read it: one status, one sentence, what was not checked, then the details.

The terminal and the HTML view draw the same story, in the same order and words. Every value comes
from records that were checked; if the check failed, the story says so before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gensyn_lightning.protocol.digest import Address
from gensyn_lightning.protocol.job import display_id
from gensyn_lightning.protocol.receipt import Status
from gensyn_lightning.protocol.verdict import Arbitration, Verdict, compare
from gensyn_lightning.report import logged
from gensyn_lightning.report.case import Attempt, Case
from gensyn_lightning.report.finding import Exit, Finding, printable
from gensyn_lightning.report.trust import Pins, signers
from gensyn_lightning.report.verdicts import matches
from gensyn_lightning.report.verify import Verification

ROWS_MAX = 200
_STEP = re.compile(r"step=(\d{1,12})")


class Tone(Enum):
    """How something is to be taken; shown as a word and an icon too, never as colour alone."""

    GOOD = "good"
    PLAIN = "plain"
    WARN = "warn"
    BAD = "bad"


ICONS = {Tone.GOOD: "✔", Tone.PLAIN: "○", Tone.WARN: "?", Tone.BAD: "✘"}
_TONES = {
    Status.VERIFIED: Tone.GOOD,
    Status.UNVERIFIED: Tone.PLAIN,
    Status.INCONCLUSIVE: Tone.WARN,
    Status.CANCELLED: Tone.PLAIN,
    Status.NOT_REPRODUCIBLE: Tone.BAD,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One segment that stands: `word` says what is known about it, `batches` how long it is."""

    index: int
    events: str
    batches: int
    solver: str
    word: str
    tone: Tone
    verifiers: str


@dataclass(frozen=True, slots=True)
class Party:
    """Someone whose signature the report rests on."""

    role: str
    name: str
    account: str
    known: bool


@dataclass(frozen=True, slots=True)
class Story:
    """Everything a view shows, in the order it shows it."""

    job: str
    status: str
    tone: Tone
    statement: str
    check: str
    exit_code: Exit
    not_checked: Sequence[str]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    checkpoints: Sequence[int]
    rows: Sequence[Row]
    disputes: Sequence[str]
    parties: Sequence[Party]
    facts: Sequence[tuple[str, str]]
    findings: Sequence[Finding]


def tell(done: Verification, pins: Pins) -> Story:
    """Return the story of a report that was checked, whatever the check found."""
    case, summary = done.case, done.summary
    if case is None or summary is None:
        return _broken(done)
    status, unsure = Status[summary["status"]], done.is_unconfirmed
    names = {signer.account: name for signer, name in pins.names.items()}
    return Story(
        job=display_id(case.job_id),
        status=done.standing.replace("_", " "),
        tone=Tone.WARN if unsure else _TONES[status],
        statement=done.statement,
        check=done.verdict(),
        exit_code=done.exit_code(),
        not_checked=summary["not_checked"],
        curves=logged.curves(done.logged),
        checkpoints=_checkpoints(done.files),
        rows=[_row(attempt, names) for attempt, _ in case.standing],
        disputes=_disputes(case, names),
        parties=[
            Party(each.role, _name(each.account, names), each.account.hex(), each in pins.names)
            for each in signers(case)
        ],
        facts=_facts(case, summary),
        findings=done.lines,
    )


def _broken(done: Verification) -> Story:
    failed = [each for each in done.lines if each.result.name == "FAIL"]
    reason = failed[0].detail if failed else "nothing could be read"
    return Story(
        job=display_id(done.case.job_id) if done.case else "unknown job",
        status="DOES NOT HOLD",
        tone=Tone.BAD,
        statement=f"Do not rely on this report: {reason}.",
        check=done.verdict(),
        exit_code=done.exit_code(),
        not_checked=(),
        curves={},
        checkpoints=(),
        rows=(),
        disputes=(),
        parties=(),
        facts=(),
        findings=done.lines,
    )


def _checkpoints(files: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the steps of the checkpoints whose names say them."""
    names = [each["path"] for each in files if each["form"] == "checkpoint"]
    return sorted({int(found[1]) for each in names if (found := _STEP.search(each))})


def _row(attempt: Attempt, names: Mapping[Address, str]) -> Row:
    claim = attempt.commitment
    assert claim is not None
    found = matches(attempt)
    upheld = bool(attempt.rulings) and attempt.rulings[-1].outcome is Arbitration.UPHELD
    if upheld:
        word, tone = "accused, then upheld", Tone.WARN
    elif found:
        word, tone = "same bits", Tone.GOOD
    else:
        word, tone = "not run again", Tone.PLAIN
    return Row(
        index=attempt.task.index,
        events=f"{claim.first_event}–{claim.end_event - 1}",
        batches=claim.batches,
        solver=_name(attempt.solver, names),
        word=word,
        tone=tone,
        verifiers=", ".join(_name(each.verifier, names) for each in found) or "–",
    )


def _disputes(case: Case, names: Mapping[Address, str]) -> list[str]:
    lines = []
    for segment in case.segments:
        for attempt in segment.attempts:
            for ruling in attempt.rulings:
                accuser, solver = _name(ruling.accuser, names), _name(attempt.solver, names)
                third = _name(ruling.third, names) if ruling.third else "nobody"
                lines.append(
                    f"Segment {segment.index}: {accuser} found other bits than {solver}"
                    f" ({_first_difference(attempt)}); {third} ran it once more:"
                    f" {_RULED[ruling.outcome]}."
                )
    return lines


_RULED = {
    Arbitration.UPHELD: "the solver was right",
    Arbitration.REFUTED: "the solver was wrong, and the segment was trained again",
    Arbitration.INCONCLUSIVE: "no two of the three agree",
}


def _first_difference(attempt: Attempt) -> str:
    for audit in attempt.audits:
        if audit.verdict is Verdict.NO_MATCH and audit.replay and attempt.salt:
            assert attempt.commitment is not None
            found = compare(attempt.commitment, attempt.salt, audit.replay)
            if found:
                return f"first in its {found.field.replace('_', ' ')}"
    return "no difference is left"


def _facts(case: Case, summary: Mapping[str, object]) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = [
        ("model", str(summary["model"] or "–")),
        ("end state", str(summary["end_root"] or "–")),
        ("program", case.job.program.hex()),
        ("numerics", printable(case.job.numerics)),
        ("sandbox", printable(case.job.sandbox_tier)),
        ("segments", f"{summary['replayed']} of {summary['segments']} run again"),
        ("batches", f"{summary['batches_replayed']} of {summary['batches']} run again"),
        ("paid", f"{summary['paid']} of {case.job.budget}"),
    ]
    if case.closing is not None:
        facts.append(("receipt", f"0x{case.closing.block.tx.hex()}"))
        facts.append(("block", f"{case.closing.block.number}, chain {case.domain.chain_id}"))
    return facts


def _name(account: Address, names: Mapping[Address, str]) -> str:
    text = account.hex()
    return printable(names.get(account, "")) or f"0x{text[:6]}…{text[-4:]}"
