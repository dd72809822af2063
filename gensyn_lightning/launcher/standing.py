"""How far a job has come, gathered from its log and said in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gensyn_lightning.protocol.canonical import SAFE_INTEGER_MAX
from gensyn_lightning.report.finding import printable

METRICS_SHOWN, METRICS_MAX = 3, 32
NAME_CHARS_MAX, REASON_CHARS_MAX = 40, 500
NUMBER_MAX = 2.0**1000
LOST = frozenset({"refuted", "leaseexpired", "nodefailed", "saltwithheld"})


@dataclass(slots=True)
class Standing:
    """Counts of segments and checks, and what the machine that trains last said of itself."""

    segments: int = 0
    accepted: int = 0
    checks_wanted: int = 0
    checks_done: int = 0
    events: int = 0
    batches: int = 0
    step: int = 0
    epoch: int | None = None
    trouble: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    _committed: dict[int, tuple[int, int]] = field(default_factory=dict)
    _batches_now: int = 0
    _effort: dict[int, tuple[float, float]] = field(default_factory=dict)

    def hear(self, kind: str, body: Mapping[str, Any]) -> str:
        """Take in an entry of the log; return a line worth saying at once, or nothing."""
        index = int(body.get("index", 0))
        match kind:
            case "committed":
                self._committed[index] = (int(body["end_event"]), int(body["batches"]))
                self._recount()
            case "voided":
                self._lose(int(body["first_index"]))
            case "accepted":
                self.accepted += 1
            case "drawn":
                self.checks_wanted += 1
            case "reported" | "audit_expired":
                self.checks_done += 1
                return _verdict(kind, index, body)
            case "arbitrated":
                return f"segment {index}: arbitration says {str(body['outcome']).lower()}"
            case _ if kind in LOST:
                self._lose(index)
                self.trouble = printable(str(body.get("reason") or kind)[:REASON_CHARS_MAX])
                return f"segment {index} is trained again: {self.trouble}"
        return ""

    def progress(self, body: Mapping[str, Any]) -> None:
        """Take in what the runner that trains says of itself; it is for people, not for proof."""
        shown = body.get("solve")
        said = shown.get("said") if isinstance(shown, Mapping) else None
        if not isinstance(said, Mapping):
            return
        self._batches_now = _count(said.get("batch"), self._batches_now)
        self.step = _count(said.get("step"), self.step)
        if _number(said.get("epoch"), None) is not None:
            self.epoch = _count(said["epoch"], 0)
        spent = (_number(said.get("seconds"), 0.0), _number(said.get("hash_seconds"), 0.0))
        self._effort[_count(body["solve"].get("index"), 0)] = spent
        metrics = said.get("metrics")
        if isinstance(metrics, Mapping):
            self.metrics = {
                printable(str(name))[:NAME_CHARS_MAX]: value
                for name, each in list(metrics.items())[:METRICS_MAX]
                if (value := _number(each, None)) is not None
            }

    @property
    def batches_seen(self) -> int:
        """How many batches are trained, those of the segment under way included."""
        return max(self.batches, self._batches_now)

    @property
    def effort(self) -> tuple[float, float]:
        """Seconds spent training and on digests, as runners last said of each segment."""
        spent = self._effort.values()
        return sum(each for each, _ in spent), sum(each for _, each in spent)

    def line(self) -> str:
        """Return where the job stands, for people."""
        parts = []
        if self.epoch is not None:
            parts.append(f"epoch {self.epoch}")
        parts.append(f"batch {self.batches_seen}")
        shown = list(self.metrics.items())[:METRICS_SHOWN]
        parts.extend(f"{name} {value:.4g}" for name, value in shown)
        text = ", ".join(parts)
        text += f" | {self.segments} segments, {self.accepted} accepted"
        if self.checks_wanted:
            text += f", {self.checks_done} of {self.checks_wanted} checks"
        return text

    def _lose(self, first: int) -> None:
        """Forget a segment and everything built on it."""
        self._committed = {k: v for k, v in self._committed.items() if k < first}
        self._batches_now = 0
        self._recount()

    def _recount(self) -> None:
        self.segments = len(self._committed)
        self.events = max((end for end, _ in self._committed.values()), default=0)
        self.batches = sum(batches for _, batches in self._committed.values())


def _number(said: Any, otherwise: Any) -> Any:
    """Return a number that came as one or as text, since progress travels without floats.

    Anything else, or what is not finite, is `otherwise`.
    """
    try:
        found = float(said) if isinstance(said, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return otherwise
    if not abs(found) <= NUMBER_MAX:
        return otherwise
    return said if isinstance(said, int) else found


def _count(said: Any, otherwise: int) -> int:
    """Return a number as a count, unless it is no number or beyond counting."""
    found = int(_number(said, otherwise))
    return found if 0 <= found <= SAFE_INTEGER_MAX else otherwise


def _verdict(kind: str, index: int, body: Mapping[str, Any]) -> str:
    if kind == "audit_expired":
        return f"segment {index}: a check was not finished ({body.get('reason', '')})"
    verdict = str(body.get("verdict", ""))
    if verdict == "MATCH":
        return ""
    where = f", differs in {body['field']}" if body.get("field") else ""
    return f"segment {index}: a replay says {verdict.lower().replace('_', ' ')}{where}"
