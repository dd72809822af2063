"""What a runner says of itself while it trains, bounded: it is for people, not for proof."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gensyn_lightning.protocol.canonical import SAFE_INTEGER_MAX
from gensyn_lightning.report.finding import printable

METRICS_MAX = 32
NAME_CHARS_MAX = 40
NUMBER_MAX = 2.0**1000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said:
    """Where a runner is in the segment `index`; times are in seconds, batches and steps counts."""

    index: int = 0
    batch: int = 0
    step: int = 0
    epoch: int | None = None
    seconds: float = 0.0
    hash_seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, body: Mapping[str, Any], last: Said) -> Said | None:
        """Return what an entry of progress says of training, None if it says nothing.

        What is left out, or is no number, is as it was `last`.
        """
        solve = body.get("solve")
        said = solve.get("said") if isinstance(solve, Mapping) else None
        if not isinstance(solve, Mapping) or not isinstance(said, Mapping):
            return None
        metrics = said.get("metrics")
        return cls(
            index=_count(solve.get("index"), 0),
            batch=_count(said.get("batch"), last.batch),
            step=_count(said.get("step"), last.step),
            epoch=_count(said.get("epoch"), last.epoch),
            seconds=_number(said.get("seconds"), 0.0),
            hash_seconds=_number(said.get("hash_seconds"), 0.0),
            metrics=_metrics(metrics) if isinstance(metrics, Mapping) else last.metrics,
        )


def _metrics(said: Mapping[Any, Any]) -> dict[str, float]:
    return {
        printable(str(name))[:NAME_CHARS_MAX]: value
        for name, each in list(said.items())[:METRICS_MAX]
        if (value := _number(each, None)) is not None
    }


def _number(said: Any, otherwise: T) -> float | T:
    """Return a number that came as one or as text, since progress travels without floats.

    Anything else, or what is not finite, is `otherwise`.
    """
    try:
        found = float(said) if isinstance(said, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return otherwise
    return found if abs(found) <= NUMBER_MAX else otherwise


def _count(said: Any, otherwise: T) -> int | T:
    """Return a number as a count, unless it is no number or beyond counting."""
    found = _number(said, None)
    return int(found) if found is not None and 0 <= found <= SAFE_INTEGER_MAX else otherwise
