"""What a submitter asks of the coordinator, as records; the comments are in proto/v1/job.proto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gensyn_lightning.identity.account import Signature
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.job import Job, Reason
from gensyn_lightning.protocol.job import State as JobState
from gensyn_lightning.protocol.parameters import Parameters
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.wire.rpc import Rpc

SERVICE = "Jobs"
SEGMENTS_PER_PAGE = 256
PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class StateRefs:
    """The two artifacts a state consists of."""

    structure: Digest
    tensors: Digest


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A job, signed by its submitter, and the artifacts its program needs."""

    job: Job
    signature: Signature
    artifacts: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class SubmitResponse:
    """The job's id; `created` is false when it was there already."""

    job: Digest
    created: bool


@dataclass(frozen=True, slots=True)
class JobsGetRequest:
    """Which job."""

    job: Digest


@dataclass(frozen=True, slots=True)
class JobsGetResponse:
    """How far a job has come: `events` counts events trained, the rest counts segments."""

    job: Job
    state: JobState
    reason: Reason | None
    cursor: int
    events: int
    segments: int
    accepted: int
    replayed: int
    end: StateRefs | None
    receipt: Receipt | None
    transaction: Digest | None


@dataclass(frozen=True, slots=True)
class SegmentsRequest:
    """Which job, and from which segment on."""

    job: Digest
    first_index: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One standing segment: its signed commitment and where its bytes are."""

    commitment: Commitment
    signature: Signature
    accepted: bool
    state: StateRefs
    tape: Digest
    outputs: Digest


@dataclass(frozen=True, slots=True)
class SegmentsResponse:
    """At most `SEGMENTS_PER_PAGE` segments in order, and how many there are."""

    segments: tuple[Segment, ...]
    total: int


@dataclass(frozen=True, slots=True)
class EventsRequest:
    """Which job, and the last entry of its log that is known already."""

    job: Digest
    cursor: int


@dataclass(frozen=True, slots=True)
class EventsResponse:
    """One entry of a job's log; `body` is a canonical JSON object.

    Kind `PROGRESS` is no entry: it says how far the work is, has the cursor of the entry before
    it, and is not repeated to whoever comes later.
    """

    cursor: int
    at_ms: int
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Which job."""

    job: Digest


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Done."""


@dataclass(frozen=True, slots=True)
class DossierRequest:
    """Which job."""

    job: Digest


@dataclass(frozen=True, slots=True)
class DossierResponse:
    """The artifact that holds every signed record of the job, as canonical JSON."""

    artifact: Digest
    length: int


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """Nothing to say."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as the network sees it."""

    node: Address
    owner: Address
    name: str
    solves: bool
    verifies: bool
    numerics: tuple[str, ...]
    sandbox_tier: str
    seen_ms: int


@dataclass(frozen=True, slots=True)
class NetworkResponse:
    """The network's chain and contracts, its rules and its nodes."""

    domain: Domain
    receipts: Address
    coordinator: Address
    parameters: Parameters
    nodes: tuple[NodeView, ...]
    version: str
    single_operator: bool


SUBMIT = Rpc(SERVICE, "Submit", SubmitRequest, SubmitResponse)
GET = Rpc(SERVICE, "Get", JobsGetRequest, JobsGetResponse)
SEGMENTS = Rpc(SERVICE, "Segments", SegmentsRequest, SegmentsResponse)
EVENTS = Rpc(SERVICE, "Events", EventsRequest, EventsResponse, response_streams=True)
CANCEL = Rpc(SERVICE, "Cancel", CancelRequest, CancelResponse)
DOSSIER = Rpc(SERVICE, "Dossier", DossierRequest, DossierResponse)
NETWORK = Rpc(SERVICE, "Network", NetworkRequest, NetworkResponse)

RPCS: tuple[Rpc[Any, Any], ...] = (SUBMIT, GET, SEGMENTS, EVENTS, CANCEL, DOSSIER, NETWORK)
