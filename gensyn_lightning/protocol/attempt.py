"""One node's attempt at one task, from lease to verdict.

`TRANSITIONS` is everything that can happen to an attempt; whatever is not in the table raises
`InvalidTransition`. Time arrives inside events, so nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol.digest import Digest


class State(Enum):
    """Where an attempt is in its life."""

    LEASED = auto()
    COMMITTED = auto()
    DISPUTED = auto()
    ACCEPTED = auto()
    REFUTED = auto()
    EXPIRED = auto()
    CANCELLED = auto()
    FAILED_NODE = auto()
    VOIDED = auto()
    WITHDRAWN = auto()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The node is alive and keeps its lease until `lease_until_ms`."""

    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """The node was silent past its lease."""


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """The node said it cannot go on."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The node signed the roots of what it did; `commitment` is the record's digest."""

    commitment: Digest


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A verifier's replay, repeated in a fresh process, gave another root."""


@dataclass(frozen=True, slots=True)
class PrefixAccepted:
    """Windows are closed, no dispute is open, and the predecessor is accepted."""


@dataclass(frozen=True, slots=True)
class Upheld:
    """Arbitration found for the solver."""


@dataclass(frozen=True, slots=True)
class Refuted:
    """Arbitration found against the solver."""


@dataclass(frozen=True, slots=True)
class PredecessorRefuted:
    """The state this attempt started from is wrong; the solver is innocent of it."""


@dataclass(frozen=True, slots=True)
class SaltWithheld:
    """The solver never opened its salt, so nobody can check the work."""


@dataclass(frozen=True, slots=True)
class JobStopped:
    """The job was cancelled or ran out of time."""


Event = (
    Heartbeat
    | LeaseExpired
    | NodeFailed
    | Committed
    | Contradicted
    | PrefixAccepted
    | Upheld
    | Refuted
    | PredecessorRefuted
    | SaltWithheld
    | JobStopped
)

TRANSITIONS: dict[State, dict[type[Event], State]] = {
    State.LEASED: {
        Heartbeat: State.LEASED,
        LeaseExpired: State.EXPIRED,
        NodeFailed: State.FAILED_NODE,
        Committed: State.COMMITTED,
        PredecessorRefuted: State.VOIDED,
        JobStopped: State.CANCELLED,
    },
    State.COMMITTED: {
        Contradicted: State.DISPUTED,
        PrefixAccepted: State.ACCEPTED,
        PredecessorRefuted: State.VOIDED,
        SaltWithheld: State.WITHDRAWN,
        JobStopped: State.CANCELLED,
    },
    State.DISPUTED: {
        Upheld: State.ACCEPTED,
        Refuted: State.REFUTED,
        PredecessorRefuted: State.VOIDED,
        JobStopped: State.CANCELLED,
    },
    State.ACCEPTED: {},
    State.REFUTED: {},
    State.EXPIRED: {},
    State.CANCELLED: {},
    State.FAILED_NODE: {},
    State.VOIDED: {},
    State.WITHDRAWN: {},
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """The whole state of an attempt; each event makes a new value."""

    state: State
    fence: int
    lease_until_ms: int
    commitment: Digest | None = None


def apply(attempt: Attempt, event: Event) -> Attempt:
    """Return the attempt as it stands after `event`."""
    state = TRANSITIONS[attempt.state].get(type(event))
    if state is None:
        raise InvalidTransition(f"{type(event).__name__} is not allowed when {attempt.state.name}")
    match event:
        case Heartbeat(lease_until_ms):
            return replace(attempt, state=state, lease_until_ms=lease_until_ms)
        case Committed(commitment):
            return replace(attempt, state=state, commitment=commitment)
        case _:
            return replace(attempt, state=state)
