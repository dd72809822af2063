"""Whether a report holds: every level of checks that needs nothing but the file, and their result.

What a report that holds establishes: the named keys signed these records, the records follow the
rules from one another, and the summary says what they say. What it does not: that the keys are
independent people's, or that what was not replayed is right; the report prints both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gensyn_lightning.protocol.job import display_id
from gensyn_lightning.protocol.receipt import Status
from gensyn_lightning.report import case as cases
from gensyn_lightning.report import (
    draws,
    form,
    leaves,
    logged,
    money,
    prefix,
    signatures,
    verdicts,
    written,
)
from gensyn_lightning.report.case import Case
from gensyn_lightning.report.finding import Exit, Finding, Findings, Left, Level, Result, must
from gensyn_lightning.report.summary import summarise
from gensyn_lightning.report.trust import Pins, Signer, signers
from gensyn_lightning.training.leaf import Leaf

UNCONFIRMED = "UNCONFIRMED"
_PINNED = "signers are pinned"


@dataclass(slots=True)
class Verification:
    """What is known about a report so far; deeper levels add their findings."""

    findings: Findings = field(default_factory=Findings)
    case: Case | None = None
    summary: Mapping[str, Any] | None = None
    leaves: Sequence[Leaf] = ()
    files: Sequence[Mapping[str, Any]] = ()
    logged: Sequence[Mapping[str, Any]] = ()
    unknown: Sequence[Signer] = ()

    @property
    def lines(self) -> Sequence[Finding]:
        """Every finding, in order."""
        return self.findings.lines

    @property
    def holds(self) -> bool:
        """Whether no check failed."""
        return bool(self.lines) and not self.findings.having(Result.FAIL)

    def exit_code(self) -> Exit:
        """Return 0 only for a verified job, signed by pinned keys, in which nothing failed."""
        if not self.holds or self.case is None or self.summary is None:
            return Exit.MISMATCH
        open_ends = self.findings.having(Result.OPEN)
        if self.unknown or open_ends or self.summary["status"] != Status.VERIFIED.name:
            return Exit.INCONCLUSIVE
        return Exit.VERIFIED

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the report says VERIFIED, and whoever signed it is not known to be who counts."""
        return self.status == Status.VERIFIED.name and self.exit_code() is not Exit.VERIFIED

    @property
    def standing(self) -> str:
        """The job's status as far as a reader may rely on it: VERIFIED only by known signers."""
        return UNCONFIRMED if self.is_unconfirmed else self.status

    @property
    def statement(self) -> str:
        """The report's one sentence, with what it depends on."""
        said = str(self.summary["statement"]) if self.summary else ""
        return f"If the signers are who they seem: {said}" if self.is_unconfirmed else said

    def verdict(self) -> str:
        """Return what the exit code means, in words."""
        match self.exit_code():
            case Exit.VERIFIED:
                return "verified"
            case Exit.MISMATCH:
                return "the report does not hold"
            case _ if self.unknown:
                return "consistent; signers unknown"
        return f"consistent; the job is {self.status.lower()}" if self.status else "inconclusive"

    def pin(self, pins: Pins) -> None:
        """Compare the signers with more pins than before."""
        if self.case is None:
            return
        self.unknown = pins.unknown(signers(self.case))
        lines = self.findings.lines
        lines[:] = [each for each in lines if each.name != _PINNED]
        self.findings.run(Level.SIGNATURES, _PINNED, lambda: _pinned(self, pins))

    @property
    def status(self) -> str:
        """The job's status as the report states it, or nothing if it could not be read."""
        return self.summary["status"] if self.summary else ""


def verify(data: bytes, pins: Pins) -> Verification:
    """Check a report's form, signatures and records against each other and the pinned keys."""
    done = Verification()
    report: list[Mapping[str, Any]] = []
    if not done.findings.run(Level.FORM, "the form of a report", lambda: _form(data, report)):
        return done
    body = report[0]["body"]
    read: list[Case] = []
    if not done.findings.run(Level.FORM, "well-formed records", lambda: _read(body, read)):
        return done
    case = done.case = read[0]
    if not signatures.check(done.findings, report[0], case):
        return done
    _check_records(done, body, case)
    if done.holds:
        done.summary = body["summary"]
        done.leaves = leaves.read(body["state"]) or ()
        done.files = body["files"]
        done.logged = body["logged"]
        done.pin(pins)
    return done


def _check_records(done: Verification, body: Mapping[str, Any], case: Case) -> None:
    findings = done.findings
    prefix.check(findings, case)
    verdicts.check(findings, case)
    draws.check(findings, case)
    model = leaves.check(findings, case, body["state"])
    written.check(findings, case, body["files"])
    logged.check(findings, case, body["logged"])
    money.check(findings, case, model)
    findings.run(Level.RECORDS, "the summary says what the records say", lambda: _said(body, case))


def _form(data: bytes, into: list[Mapping[str, Any]]) -> str:
    into.append(form.parse(data))
    return f"{len(data)} bytes of canonical JSON"


def _read(body: Mapping[str, Any], into: list[Case]) -> str:
    case = cases.read(body["dossier"])
    must(len(case.nodes) == len(body["dossier"]["nodes"]), "a node is listed twice")
    in_order = all(each.index == place for place, each in enumerate(case.segments))
    must(in_order, "the segments are not in order")
    must(len(case.anchors) == len(body["dossier"]["anchors"]), "an anchor is listed twice")
    into.append(case)
    return display_id(case.job_id)


def _said(body: Mapping[str, Any], case: Case) -> str:
    expected = summarise(case)
    for name, value in body["summary"].items():
        must(value == expected[name], f"the summary's {name} is not what the records give")
    return str(expected["status"])


def _pinned(done: Verification, pins: Pins) -> str | Left:
    if done.unknown:
        return Left(f"{len(done.unknown)} of the signers are not pinned", Result.OPEN)
    return ", ".join(pins.sources)
