"""Faults planted on purpose, to see that the network catches them; only in an embedded network.

A fault is `KIND@EVENT`: the node cheats, lies or dies in the first segment that covers event EVENT
(at the start, when no event is given). Everything around the cheat is done by the book: roots
are recomputed, records signed, receipts fetched, so that only a replay can tell.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gensyn_lightning.errors import ConfigError, SandboxError
from gensyn_lightning.protocol.task import Task

EVENT_MAX = 1 << 40


class Kind(Enum):
    """What goes wrong; the value is the word on the command line."""

    BIT_FLIP = "bit-flip"
    SKIP_BATCHES = "skip-batches"
    STALE_STATE = "stale-state"
    ECHO_ROOT = "echo-root"
    FORGED_METRICS = "forged-metrics"
    POISONED_CHECKPOINT = "poisoned-checkpoint"
    WITHHOLD_SALT = "withhold-salt"
    WITHHOLD_STATE = "withhold-state"
    LIE_MATCH = "lie-match"
    LIE_NO_MATCH = "lie-no-match"
    CRASH = "crash"
    HANG = "hang"


SOLVERS = frozenset(
    {
        Kind.BIT_FLIP,
        Kind.SKIP_BATCHES,
        Kind.STALE_STATE,
        Kind.ECHO_ROOT,
        Kind.FORGED_METRICS,
        Kind.POISONED_CHECKPOINT,
        Kind.WITHHOLD_SALT,
        Kind.WITHHOLD_STATE,
    }
)
VERIFIERS = frozenset({Kind.LIE_MATCH, Kind.LIE_NO_MATCH})
DEATHS = frozenset({Kind.CRASH, Kind.HANG})


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault."""

    kind: Kind
    event: int

    def strikes(self, task: Task) -> bool:
        """Whether the segment covers the fault's event."""
        return task.first_event <= self.event < task.target_event

    def __str__(self) -> str:
        return f"{self.kind.value}@{self.event}"


def parse(text: str) -> Fault:
    """Read `KIND@EVENT` or `KIND`; raise `ConfigError` for anything else."""
    word, at, number = text.partition("@")
    kinds = ", ".join(each.value for each in Kind)
    if word not in {each.value for each in Kind}:
        raise ConfigError(f"there is no fault {word!r}", hint=f"there are {kinds}")
    if at and (not number.isdecimal() or int(number[:20]) > EVENT_MAX):
        raise ConfigError(f"{number!r} is no event", hint="write a fault as KIND@EVENT")
    return Fault(Kind(word), int(number or 0))


class Faults:
    """The faults of one node; without any, an honest node."""

    def __init__(self, planted: Sequence[Fault] = ()) -> None:
        self._planted = tuple(planted)

    def cheat(self, task: Task) -> Kind | None:
        """Return how the solver of this segment cheats, or None."""
        return self._find(SOLVERS, task)

    def lie(self, task: Task) -> Kind | None:
        """Return how the verifier of this segment lies, or None."""
        return self._find(VERIFIERS, task)

    def at(self, event: int) -> None:
        """Die or hang here if that is planted; called as a runner advances."""
        for each in self._planted:
            if each.kind is Kind.CRASH and event >= each.event:
                os.kill(os.getpid(), signal.SIGKILL)
            if each.kind is Kind.HANG and event >= each.event:
                os.kill(os.getpid(), signal.SIGSTOP)

    def watch(
        self, hear: Callable[[Mapping[str, Any]], None]
    ) -> Callable[[Mapping[str, Any]], None]:
        """Return `hear`, with a death on the way if one is planted."""
        if not any(each.kind in DEATHS for each in self._planted):
            return hear

        def heard(progress: Mapping[str, Any]) -> None:
            hear(progress)
            self.at(int(progress.get("event", 0)))

        return heard

    def __str__(self) -> str:
        return ", ".join(map(str, self._planted))

    def _find(self, kinds: frozenset[Kind], task: Task) -> Kind | None:
        return next((f.kind for f in self._planted if f.kind in kinds and f.strikes(task)), None)


def refuse_outside(embedded: bool, faults: Sequence[str]) -> None:
    """Raise `SandboxError` for faults anywhere but in an embedded network."""
    if faults and not embedded:
        raise SandboxError(
            "faults are planted in an embedded network only", hint="leave out --fault"
        )
