"""What a submitter asks and pays for, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NewType

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce
from gensyn_lightning.protocol.parameters import Parameters

JobId = NewType("JobId", Digest)


@dataclass(frozen=True, slots=True)
class JobName:
    """What names a job: the same program sent twice is two jobs, a retry is one."""

    program: Digest
    submitter: Address
    nonce: Nonce


@dataclass(frozen=True, slots=True)
class Job:
    """A request to train `program` from `initial_root`, under `parameters`, for at most `budget`.

    `program` is the digest of the program's manifest, `initial_root` the state root before
    event 0, `numerics` the version of arithmetic every node must use, `value_at_stake` what
    the submitter says a wrong model would cost.
    """

    program: Digest
    submitter: Address
    nonce: Nonce
    numerics: str
    initial_root: Digest
    sandbox_tier: str
    budget: Money
    value_at_stake: Money
    parameters: Parameters


def job_id(job: Job) -> JobId:
    """Return the whole digest that names the job."""
    return JobId(struct_hash(JobName(job.program, job.submitter, job.nonce)))


def display_id(identifier: JobId) -> str:
    """Return the short name people see: `job-` and 16 hexadecimal digits."""
    return f"job-{identifier.hex()[:16]}"


class State(Enum):
    """Where a job is in its life."""

    SUBMITTED = auto()
    TRAINING = auto()
    SETTLING = auto()
    SETTLED = auto()
    REFUNDING = auto()
    REFUNDED = auto()


class Reason(Enum):
    """Why a job ends without a settled receipt."""

    CANCELLED = auto()
    TIMED_OUT = auto()
    INCONCLUSIVE = auto()
    NOT_REPRODUCIBLE = auto()
    EXHAUSTED = auto()


@dataclass(frozen=True, slots=True)
class Escrowed:
    """The budget lies in escrow."""


@dataclass(frozen=True, slots=True)
class PrefixAccepted:
    """Every segment up to the end of the fit is accepted."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The chain paid everyone and wrote the receipt."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job cannot or shall not go on; what was accepted is paid, the rest goes back."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Refunded:
    """The chain returned what was not earned."""


Event = Escrowed | PrefixAccepted | Settled | Stopped | Refunded

TRANSITIONS: dict[State, dict[type[Event], State]] = {
    State.SUBMITTED: {Escrowed: State.TRAINING, Stopped: State.REFUNDED},
    State.TRAINING: {PrefixAccepted: State.SETTLING, Stopped: State.REFUNDING},
    State.SETTLING: {Settled: State.SETTLED},
    State.SETTLED: {},
    State.REFUNDING: {Refunded: State.REFUNDED},
    State.REFUNDED: {},
}


def apply(state: State, event: Event) -> State:
    """Return the job's state after `event`."""
    after = TRANSITIONS[state].get(type(event))
    if after is None:
        raise InvalidTransition(f"{type(event).__name__} is not allowed when {state.name}")
    return after
