"""One verifier's check of one attempt: drawn, promised blind, opened, reported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, IntEnum, auto

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol.digest import Digest


class Purpose(IntEnum):
    """Why a node replays: a sampled check, or the third opinion in a contradiction."""

    CHECK = 0
    ARBITRATION = 1


class State(Enum):
    """Where an audit is in its life."""

    DRAWN = auto()
    LEASED = auto()
    PROMISED = auto()
    REPORTED = auto()
    EXPIRED = auto()
    CANCELLED = auto()


@dataclass(frozen=True, slots=True)
class Leased:
    """The drawn node took the work."""

    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The node is alive and keeps its lease until `lease_until_ms`."""

    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """The node was silent past its lease, or never took the work; the draw is repeated."""


@dataclass(frozen=True, slots=True)
class Promised:
    """The blind report is in; `promise` is its digest."""

    promise: Digest


@dataclass(frozen=True, slots=True)
class Reported:
    """The replay was opened and is the one that was promised; `replay` is its digest."""

    replay: Digest


@dataclass(frozen=True, slots=True)
class Dropped:
    """The attempt is no longer in question."""


Event = Leased | Heartbeat | LeaseExpired | Promised | Reported | Dropped

TRANSITIONS: dict[State, dict[type[Event], State]] = {
    State.DRAWN: {Leased: State.LEASED, LeaseExpired: State.EXPIRED, Dropped: State.CANCELLED},
    State.LEASED: {
        Heartbeat: State.LEASED,
        LeaseExpired: State.EXPIRED,
        Promised: State.PROMISED,
        Dropped: State.CANCELLED,
    },
    State.PROMISED: {
        Heartbeat: State.PROMISED,
        LeaseExpired: State.EXPIRED,
        Reported: State.REPORTED,
        Dropped: State.CANCELLED,
    },
    State.REPORTED: {},
    State.EXPIRED: {},
    State.CANCELLED: {},
}


@dataclass(frozen=True, slots=True)
class Audit:
    """The whole state of an audit; each event makes a new value."""

    state: State
    fence: int
    lease_until_ms: int
    promise: Digest | None = None
    replay: Digest | None = None


def apply(audit: Audit, event: Event) -> Audit:
    """Return the audit as it stands after `event`."""
    state = TRANSITIONS[audit.state].get(type(event))
    if state is None:
        raise InvalidTransition(f"{type(event).__name__} is not allowed when {audit.state.name}")
    match event:
        case Leased(lease_until_ms) | Heartbeat(lease_until_ms):
            return replace(audit, state=state, lease_until_ms=lease_until_ms)
        case Promised(promise):
            return replace(audit, state=state, promise=promise)
        case Reported(found):
            return replace(audit, state=state, replay=found)
        case _:
            return replace(audit, state=state)
