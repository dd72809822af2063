"""What a check of a report found, a line each, and the exit code that follows from all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from gensyn_lightning.errors import GensynError, ReportError


class Level(IntEnum):
    """How deep a check looks."""

    FORM = 0
    SIGNATURES = 1
    RECORDS = 2
    MODEL = 3
    REPLAY = 4


class Result(Enum):
    """What became of a check."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    SKIP = "SKIP"
    OPEN = "OPEN"


class Exit(IntEnum):
    """Exit codes of `gensyn verify`."""

    VERIFIED = 0
    ERROR = 1
    USAGE = 2
    MISMATCH = 3
    INCONCLUSIVE = 4
    TIMEOUT = 124
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `detail` says what was compared, or what was wrong, or why it was left out."""

    level: Level
    name: str
    result: Result
    detail: str


@dataclass(frozen=True, slots=True)
class Left:
    """A check that was left out (SKIP) or cannot be decided from what is here (OPEN)."""

    why: str
    result: Result = Result.SKIP


@dataclass(slots=True)
class Findings:
    """Every finding so far; a check that raises an error of ours has failed."""

    lines: list[Finding] = field(default_factory=list)

    def run(self, level: Level, name: str, check: Callable[[], str | Left]) -> bool:
        """Make one check; return whether it did not fail."""
        try:
            said = check()
        except GensynError as error:
            self.lines.append(Finding(level, name, Result.FAIL, printable(str(error))))
            return False
        if isinstance(said, Left):
            self.lines.append(Finding(level, name, said.result, printable(said.why)))
        else:
            self.lines.append(Finding(level, name, Result.PASS, printable(said)))
        return True

    def having(self, result: Result) -> list[Finding]:
        """Return the findings with one result."""
        return [each for each in self.lines if each.result is result]


def must(holds: bool, message: str) -> None:
    """Raise `ReportError` unless a statement holds."""
    if not holds:
        raise ReportError(message)


def printable(text: str, *, chars_max: int = 2000) -> str:
    """Return text that came from elsewhere without what could steer a terminal or hide letters."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text[:chars_max])
