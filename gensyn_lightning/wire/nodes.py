"""What a node asks of the coordinator, as records; the comments are in proto/v1/node.proto."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gensyn_lightning.identity.account import Signature
from gensyn_lightning.protocol.commitment import Commitment, StoreReceipt
from gensyn_lightning.protocol.digest import Digest, Nonce
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.protocol.verdict import BlindReport, Replay
from gensyn_lightning.wire.jobs import StateRefs
from gensyn_lightning.wire.rpc import Rpc

SERVICE = "Nodes"
CLAIM_WAIT_MS_MAX = 20_000


class WorkKind(IntEnum):
    """Why a node is given a segment."""

    SOLVE = 0
    CHECK = 1
    ARBITRATE = 2


class CommandKind(IntEnum):
    """What a node is told with a heartbeat."""

    CANCEL = 0
    OPEN_SALT = 1
    REPORT = 2


@dataclass(frozen=True, slots=True)
class Command:
    """`subject` is a work id for CANCEL and REPORT, a commitment's digest for OPEN_SALT."""

    kind: CommandKind
    subject: Digest


@dataclass(frozen=True, slots=True)
class Work:
    """A leased segment and all that is needed to run it.

    `start` and `start_outputs` are None for the first segment; `commitment`, its `tape` and the
    `draw` come with CHECK and ARBITRATE.
    """

    work_id: Digest
    kind: WorkKind
    job_id: Digest
    job: Job
    task: Task
    fence: int
    lease_until_ms: int
    start: StateRefs | None = None
    start_outputs: Digest | None = None
    commitment: Commitment | None = None
    tape: Digest | None = None
    draw: Digest | None = None


@dataclass(frozen=True, slots=True)
class ChallengeRequest:
    """Asks what a node of the reproducible operators has to compute before it registers."""


@dataclass(frozen=True, slots=True)
class ChallengeResponse:
    """The challenge of this run of the server."""

    challenge: Digest


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """What a node can do; `software` is a canonical JSON object of versions.

    `numerics` names every arithmetic the node computes; `self_test` is its answer to the server's
    challenge, ZERO where it computes no reproducible operators.
    """

    name: str
    solves: bool
    verifies: bool
    numerics: tuple[str, ...]
    self_test: Digest
    sandbox_tier: str
    cpus: int
    memory_bytes: int
    software: bytes


@dataclass(frozen=True, slots=True)
class RegisterResponse:
    """How often the node must be heard of while it works."""

    heartbeat_ms: int


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Waits at most `wait_ms`; `holding` names the work the node knows it has."""

    wait_ms: int
    holding: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ClaimResponse:
    """Work, if there is any, and commands."""

    work: Work | None
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class HeartbeatRequest:
    """Still at work, at `event`; `progress` is a canonical JSON object for people."""

    work_id: Digest
    fence: int
    event: int
    progress: bytes


@dataclass(frozen=True, slots=True)
class HeartbeatResponse:
    """How long the lease holds now, and commands."""

    lease_until_ms: int
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """A finished segment: the signed commitment and the artifacts that hold what it names.

    `outputs` is the artifact that lists the files written, `model` the digest of the model in the
    end state, `provenance` a DSSE envelope, `spent_ms` the time the segment took.
    """

    work_id: Digest
    fence: int
    commitment: Commitment
    signature: Signature
    state: StateRefs
    tape: Digest
    outputs: Digest
    model: Digest
    store_receipt: StoreReceipt
    store_signature: Signature
    provenance: bytes
    spent_ms: int
    wants_next: bool


@dataclass(frozen=True, slots=True)
class CommitResponse:
    """The next segment, if the node is to go on at once, and commands."""

    next: Work | None
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class OpenSaltRequest:
    """The salt of a commitment."""

    commitment: Digest
    salt: Nonce


@dataclass(frozen=True, slots=True)
class OpenSaltResponse:
    """Done."""


@dataclass(frozen=True, slots=True)
class PromiseRequest:
    """A verifier's signed promise of its replay."""

    work_id: Digest
    fence: int
    report: BlindReport
    signature: Signature


@dataclass(frozen=True, slots=True)
class PromiseResponse:
    """How long the lease holds now."""

    lease_until_ms: int


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The promised replay, opened and signed; `result` is a DSSE envelope."""

    work_id: Digest
    fence: int
    replay: Replay
    signature: Signature
    result: bytes


@dataclass(frozen=True, slots=True)
class ReportResponse:
    """Done."""


@dataclass(frozen=True, slots=True)
class FailRequest:
    """Work given back, and why."""

    work_id: Digest
    fence: int
    reason: str


@dataclass(frozen=True, slots=True)
class FailResponse:
    """Done."""


CHALLENGE = Rpc(SERVICE, "Challenge", ChallengeRequest, ChallengeResponse)
REGISTER = Rpc(SERVICE, "Register", RegisterRequest, RegisterResponse)
CLAIM = Rpc(SERVICE, "Claim", ClaimRequest, ClaimResponse)
HEARTBEAT = Rpc(SERVICE, "Heartbeat", HeartbeatRequest, HeartbeatResponse)
COMMIT = Rpc(SERVICE, "Commit", CommitRequest, CommitResponse)
OPEN_SALT = Rpc(SERVICE, "OpenSalt", OpenSaltRequest, OpenSaltResponse)
PROMISE = Rpc(SERVICE, "Promise", PromiseRequest, PromiseResponse)
REPORT = Rpc(SERVICE, "Report", ReportRequest, ReportResponse)
FAIL = Rpc(SERVICE, "Fail", FailRequest, FailResponse)

RPCS: tuple[Rpc[Any, Any], ...] = (
    CHALLENGE,
    REGISTER,
    CLAIM,
    HEARTBEAT,
    COMMIT,
    OPEN_SALT,
    PROMISE,
    REPORT,
    FAIL,
)
