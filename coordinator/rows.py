"""What the coordinator remembers: jobs, tasks, attempts, audits, anchors, actions, nodes.

A row is a frozen value; a change is a new value written over the old one under compare-and-set.
Inside each stands the protocol's own record and state, which only `protocol.*.apply` changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar

from coordinator.sizing import UNKNOWN, Pace
from gensyn_lightning.protocol import assignment, job, task
from gensyn_lightning.protocol import attempt as _attempt
from gensyn_lightning.protocol import audit as _audit
from gensyn_lightning.protocol.commitment import Commitment, StoreReceipt
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Nonce
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Settlement
from gensyn_lightning.protocol.verdict import Arbitration, BlindReport, Replay, Verdict
from gensyn_lightning.wire.jobs import StateRefs

WORK_PREFIX_BYTES = 24


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where on the chain something stands."""

    tx: Digest
    number: int
    block: Digest
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job, how far it is accepted, and how large its next segment shall be.

    `accepted` counts the segments accepted so far, `tail` those that have a task; `fence` and
    `generation` only grow, so that no attempt and no task of a job ever shares its name.
    `beacon` is the block in which the escrow was seen.
    """

    KIND: ClassVar[str] = "job"
    id: job.JobId
    record: job.Job
    signature: bytes
    submitted_ms: int
    single_operator: bool
    state: job.State = job.State.SUBMITTED
    reason: job.Reason | None = None
    fence: int = 0
    generation: int = 0
    cursor: int = 0
    accepted: int = 0
    tail: int = 0
    segment_events: int = 0
    pace: Pace = UNKNOWN
    excluded: tuple[Address, ...] = ()
    beacon: Digest = ZERO
    spent: int = 0
    settlement: Settlement | None = None
    receipt: Receipt | None = None
    closed: Stamp | None = None

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return self.id.hex()

    @property
    def job(self) -> Digest:
        """The job this row belongs to."""
        return self.id


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One segment and the attempt that holds it; `avoided` are owners who lost an attempt at it."""

    KIND: ClassVar[str] = "task"
    record: task.Task
    generation: int
    opened_ms: int
    state: task.State = task.State.OPEN
    fence: int = 0
    attempts: int = 0
    rounds: int = 0
    avoided: tuple[Address, ...] = ()
    preferred: Address | None = None

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return f"{self.record.job.hex()}/{self.record.index}/{self.generation}"

    @property
    def job(self) -> Digest:
        """The job this row belongs to."""
        return self.record.job


class Sample(Enum):
    """Whether a segment is replayed."""

    UNDECIDED = auto()
    SKIPPED = auto()
    SAMPLED = auto()


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one round of arbitration said."""

    round: int
    outcome: Arbitration
    accuser: Address
    third: Address | None


@dataclass(frozen=True, slots=True)
class Equivocation:
    """A second, different commitment for an attempt that already had one."""

    commitment: Commitment
    signature: bytes


@dataclass(frozen=True, slots=True)
class Handover:
    """What a solver committed to, with everything needed to check it and to go on from it."""

    commitment: Commitment
    signature: bytes
    refs: StateRefs
    tape: Digest
    outputs: Digest
    model: Digest
    store_receipt: StoreReceipt
    store_signature: bytes
    provenance: Digest
    committed_ms: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One node's attempt at one task, and everything that was said about it.

    `salt_due_ms` is zero until the salt is asked for; `waiting_ms` is when a verifier or an
    arbiter was first wanted and not found.
    """

    KIND: ClassVar[str] = "attempt"
    task: task.Task
    generation: int
    solver: Address
    owner: Address
    started_ms: int
    attempt: _attempt.Attempt
    draw: assignment.Draw | None = None
    roster: Digest | None = None
    handover: Handover | None = None
    anchor: Digest | None = None
    seed: assignment.Seed | None = None
    sample: Sample = Sample.UNDECIDED
    salt_due_ms: int = 0
    salt: Nonce | None = None
    rounds: int = 0
    waiting_ms: int = 0
    rulings: tuple[Ruling, ...] = ()
    equivocations: tuple[Equivocation, ...] = ()

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return f"{self.task.job.hex()}/{self.fence}"

    @property
    def job(self) -> Digest:
        """The job this row belongs to."""
        return self.task.job

    @property
    def fence(self) -> int:
        """The attempt's fencing number."""
        return self.attempt.fence

    @property
    def state(self) -> _attempt.State:
        """Where the attempt is in its life."""
        return self.attempt.state


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One drawn node's replay of an attempt; `wrong` once arbitration found against it."""

    KIND: ClassVar[str] = "audit"
    of: Digest
    index: int
    attempt: int
    purpose: _audit.Purpose
    verifier: Address
    owner: Address
    draw: assignment.Draw
    roster: Digest
    drawn_ms: int
    audit: _audit.Audit
    leased_ms: int = 0
    promise: BlindReport | None = None
    promise_signature: bytes = b""
    replay: Replay | None = None
    replay_signature: bytes = b""
    result: Digest | None = None
    verdict: Verdict | None = None
    wrong: bool = False

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return f"{self.of.hex()}/{self.fence}"

    @property
    def job(self) -> Digest:
        """The job this row belongs to."""
        return self.of

    @property
    def fence(self) -> int:
        """The audit's fencing number."""
        return self.audit.fence

    @property
    def state(self) -> _audit.State:
        """Where the audit is in its life."""
        return self.audit.state


class Progress(Enum):
    """Whether something that was decided has happened."""

    PENDING = auto()
    DONE = auto()


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """A batch of commitments under one root, on its way to the chain or there."""

    KIND: ClassVar[str] = "anchor"
    job: Digest
    root: Digest
    commitments: tuple[Digest, ...]
    fences: tuple[int, ...]
    state: Progress = Progress.PENDING
    stamp: Stamp | None = None
    fence: int = 0

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return f"{self.job.hex()}/{self.root.hex()}"


@dataclass(frozen=True, slots=True)
class RosterRow:
    """The nodes a draw could choose from, in order of account."""

    KIND: ClassVar[str] = "roster"
    job: Digest
    root: Digest
    members: tuple[Address, ...]
    state: Progress = Progress.DONE
    fence: int = 0

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return f"{self.job.hex()}/{self.root.hex()}"


class Errand(Enum):
    """What the ledger worker does: each is idempotent, so doing it twice is doing it once."""

    CONFIRM = auto()
    ANCHOR = auto()
    SETTLE = auto()
    REFUND = auto()


@dataclass(frozen=True, slots=True)
class ActionRow:
    """Something to be done outside, at least once; `subject` is an anchor's root."""

    KIND: ClassVar[str] = "action"
    job: Digest
    errand: Errand
    subject: Digest
    due_ms: int
    tries: int = 0
    state: Progress = Progress.PENDING
    fence: int = 0

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return f"{self.job.hex()}/{self.errand.name}/{self.subject.hex()}"


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A node as this job knew it when it could be drawn; what it says later is another matter."""

    KIND: ClassVar[str] = "member"
    job: Digest
    account: Address
    owner: Address
    numerics: str
    tier: str
    solves: bool
    verifies: bool
    registration: bytes
    state: Progress = Progress.DONE
    fence: int = 0

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return f"{self.job.hex()}/{self.account.hex()}"


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A registered node: its account, its owner, what it may do, every arithmetic it computes.

    `registration` is the signed delegation it registered under; `arbitrates` is whether that
    lets it sign replays, so that it may be asked for a third opinion.
    """

    KIND: ClassVar[str] = "node"
    account: Address
    owner: Address
    name: str
    numerics: tuple[str, ...]
    tier: str
    solves: bool
    verifies: bool
    arbitrates: bool
    registration: bytes
    registered_ms: int
    state: Progress = Progress.DONE
    fence: int = 0
    job: Digest = ZERO

    @property
    def key(self) -> str:
        """The row's name among its kind."""
        return self.account.hex()


JobPart = JobRow | TaskRow | AttemptRow | AuditRow | AnchorRow | RosterRow | MemberRow | ActionRow
Row = JobPart | NodeRow

ROW_TYPES: dict[str, type[Row]] = {
    each.KIND: each
    for each in (
        JobRow,
        TaskRow,
        AttemptRow,
        AuditRow,
        AnchorRow,
        RosterRow,
        MemberRow,
        ActionRow,
        NodeRow,
    )
}


def work_id(job_digest: Digest, fence: int) -> Digest:
    """Return what names an attempt or audit to the node that holds it."""
    return Digest(job_digest[:WORK_PREFIX_BYTES] + fence.to_bytes(8, "big"))


def work_of(identifier: Digest) -> tuple[bytes, int]:
    """Return the first bytes of the job's name, and the fence."""
    return identifier[:WORK_PREFIX_BYTES], int.from_bytes(identifier[WORK_PREFIX_BYTES:], "big")
