"""One segment of a job: which events it covers, from which state, and whether it is done.

A task asks for the events `[first_event, target_event)`. A fit can stop and resume only after
a training batch or an epoch's end, so the segment ends at the first such point at or after
`target_event`, or where the fit ends; the rule is the same for whoever replays it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NewType

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Digest

TaskId = NewType("TaskId", Digest)


@dataclass(frozen=True, slots=True)
class Task:
    """Segment `index` of a job, to be trained from the state whose root is `start_root`."""

    job: Digest
    index: int
    first_event: int
    target_event: int
    start_root: Digest


def task_id(task: Task) -> TaskId:
    """Return the digest that names the task."""
    return TaskId(struct_hash(task))


class State(Enum):
    """Where a task is in its life."""

    OPEN = auto()
    LEASED = auto()
    COMMITTED = auto()
    ACCEPTED = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A node holds the lease."""


@dataclass(frozen=True, slots=True)
class AttemptCommitted:
    """The attempt's commitment is in."""


@dataclass(frozen=True, slots=True)
class AttemptAccepted:
    """The attempt stands, and so does everything before it."""


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The attempt expired, failed, was withdrawn, voided or refuted; someone else may try."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nobody will train this segment: its job stopped, or its start state was refuted."""


Event = AttemptStarted | AttemptCommitted | AttemptAccepted | AttemptLost | Abandoned

TRANSITIONS: dict[State, dict[type[Event], State]] = {
    State.OPEN: {AttemptStarted: State.LEASED, Abandoned: State.CLOSED},
    State.LEASED: {
        AttemptCommitted: State.COMMITTED,
        AttemptLost: State.OPEN,
        Abandoned: State.CLOSED,
    },
    State.COMMITTED: {
        AttemptAccepted: State.ACCEPTED,
        AttemptLost: State.OPEN,
        Abandoned: State.CLOSED,
    },
    State.ACCEPTED: {},
    State.CLOSED: {},
}


def apply(state: State, event: Event) -> State:
    """Return the task's state after `event`."""
    after = TRANSITIONS[state].get(type(event))
    if after is None:
        raise InvalidTransition(f"{type(event).__name__} is not allowed when {state.name}")
    return after
