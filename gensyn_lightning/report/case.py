"""A dossier as records: what the checks, the summary and the views read.

Reading validates each record by itself; whether the records fit together is what the checks ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gensyn_lightning.identity.account import Signature
from gensyn_lightning.identity.delegation import Delegation, SignedDelegation
from gensyn_lightning.protocol import attempt, audit
from gensyn_lightning.protocol import job as jobs
from gensyn_lightning.protocol.assignment import Candidate, Draw, Seed
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.commitment import Commitment, StoreReceipt
from gensyn_lightning.protocol.digest import Address, Digest, Nonce
from gensyn_lightning.protocol.jsonform import from_json
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Settlement
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.protocol.verdict import Arbitration, BlindReport, Replay, Verdict

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Block:
    """Where on the chain something stands, by the coordinator's word."""

    tx: Digest
    number: int
    digest: Digest
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class Audit:
    """One drawn node's replay of an attempt."""

    fence: int
    purpose: audit.Purpose
    state: audit.State
    verifier: Address
    draw: Draw
    roster: Digest
    promise: BlindReport | None
    promise_signature: bytes
    replay: Replay | None
    replay_signature: bytes
    result: str
    verdict: Verdict | None
    wrong: bool


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one round of arbitration said, and from whose replays."""

    round: int
    outcome: Arbitration
    accuser: Address
    third: Address | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One node's attempt at a segment and everything that was said about it.

    `refs` name the two artifacts of the end state, its structure and its tensors.
    """

    fence: int
    task: Task
    state: attempt.State
    solver: Address
    started_ms: int
    committed_ms: int | None
    draw: Draw | None
    roster: Digest | None
    commitment: Commitment | None
    signature: bytes
    salt: Nonce | None
    refs: tuple[Digest, Digest] | None
    tape: Digest | None
    outputs: Digest | None
    model: Digest | None
    store_receipt: StoreReceipt | None
    store_signature: bytes
    provenance: str
    anchor: Digest | None
    seed: Seed | None
    sampled: bool | None
    audits: Sequence[Audit]
    rulings: Sequence[Ruling]
    equivocations: Sequence[tuple[Commitment, bytes]]


@dataclass(frozen=True, slots=True)
class Segment:
    """Every attempt at one segment, in the order they were made."""

    index: int
    attempts: Sequence[Attempt]

    @property
    def accepted(self) -> Attempt | None:
        """The attempt that stands, if one does."""
        found = [each for each in self.attempts if each.state is attempt.State.ACCEPTED]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Node:
    """A registered node as the coordinator lists it, with the delegation it registered under."""

    candidate: Candidate
    tier: str
    registration: SignedDelegation


@dataclass(frozen=True, slots=True)
class Anchor:
    """A batch of commitments fixed in time by one root."""

    root: Digest
    commitments: Sequence[Digest]
    block: Block


@dataclass(frozen=True, slots=True)
class Closing:
    """How a job's money was paid out, and its receipt if it has one."""

    kind: str
    settlement: Settlement
    settle_root: Digest
    receipt: Receipt | None
    receipt_signature: bytes
    block: Block


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known about one job."""

    domain: Domain
    receipts: Address
    coordinator: Address
    single_operator: bool
    job_id: jobs.JobId
    job: jobs.Job
    signature: bytes
    state: jobs.State
    reason: jobs.Reason | None
    submitted_ms: int
    beacon: Digest
    nodes: Mapping[Address, Node]
    rosters: Mapping[Digest, Sequence[Address]]
    segments: Sequence[Segment]
    anchors: Mapping[Digest, Anchor]
    closing: Closing | None

    @property
    def standing(self) -> Sequence[tuple[Attempt, Commitment]]:
        """The accepted attempts from the first segment on, without a gap, and their claims."""
        found = []
        for segment in self.segments:
            accepted = segment.accepted
            if accepted is None or accepted.commitment is None:
                break
            found.append((accepted, accepted.commitment))
        return found


def read(dossier: Mapping[str, Any]) -> Case:
    """Return the dossier's records; it has the form that `report.form` demands already."""
    work, domain = dossier["job"], dossier["domain"]
    anchors = [_anchor(each) for each in dossier["anchors"]]
    nodes = [_node(each) for each in dossier["nodes"]]
    return Case(
        domain=Domain(domain["chain_id"], _address(domain["escrow"])),
        receipts=_address(dossier["receipts"]),
        coordinator=_address(dossier["coordinator"]),
        single_operator=dossier["single_operator"],
        job_id=jobs.JobId(_digest(work["id"])),
        job=from_json(jobs.Job, work["record"]),
        signature=_bytes(work["signature"]),
        state=jobs.State[work["state"]],
        reason=jobs.Reason[work["reason"]] if work["reason"] else None,
        submitted_ms=work["submitted_ms"],
        beacon=_digest(work["beacon"]),
        nodes={each.candidate.node: each for each in nodes},
        rosters={
            _digest(root): tuple(_address(each) for each in members)
            for root, members in dossier["rosters"].items()
        },
        segments=[
            Segment(each["index"], tuple(_attempt(row) for row in each["attempts"]))
            for each in dossier["segments"]
        ],
        anchors={each.root: each for each in anchors},
        closing=_closing(dossier["settlement"]) if dossier["settlement"] else None,
    )


def delegation(value: Mapping[str, Any], name: str = "delegation") -> SignedDelegation:
    """Return a delegation and its signature, unchecked."""
    record = from_json(Delegation, value[name])
    return SignedDelegation(record, Signature(_bytes(value["signature"])))


def _attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        fence=row["fence"],
        task=from_json(Task, row["task"]),
        state=attempt.State[row["state"]],
        solver=_address(row["solver"]),
        started_ms=row["started_ms"],
        committed_ms=row["committed_ms"],
        draw=_maybe(Draw, row["draw"]),
        roster=_maybe_digest(row["roster"]),
        commitment=_maybe(Commitment, row["commitment"]),
        signature=_bytes(row["signature"]),
        salt=Nonce(_bytes(row["salt"])) if row["salt"] else None,
        refs=_refs(row["state_refs"]),
        tape=_maybe_digest(row["tape"]),
        outputs=_maybe_digest(row["outputs"]),
        model=_maybe_digest(row["model"]),
        store_receipt=_maybe(StoreReceipt, row["store_receipt"]),
        store_signature=_bytes(row["store_signature"]),
        provenance=row["provenance"] or "",
        anchor=_maybe_digest(row["anchor"]),
        seed=_maybe(Seed, row["seed"]),
        sampled=row["sampled"],
        audits=tuple(_audit(each) for each in row["audits"]),
        rulings=tuple(_ruling(each) for each in row["arbitrations"]),
        equivocations=tuple(
            (from_json(Commitment, each["commitment"]), _bytes(each["signature"]))
            for each in row["equivocations"]
        ),
    )


def _audit(row: Mapping[str, Any]) -> Audit:
    return Audit(
        fence=row["fence"],
        purpose=audit.Purpose[row["purpose"]],
        state=audit.State[row["state"]],
        verifier=_address(row["verifier"]),
        draw=from_json(Draw, row["draw"]),
        roster=_digest(row["roster"]),
        promise=_maybe(BlindReport, row["promise"]),
        promise_signature=_bytes(row["promise_signature"]),
        replay=_maybe(Replay, row["replay"]),
        replay_signature=_bytes(row["replay_signature"]),
        result=row["result"] or "",
        verdict=Verdict[row["verdict"]] if row["verdict"] else None,
        wrong=row["wrong"],
    )


def _ruling(row: Mapping[str, Any]) -> Ruling:
    third = _address(row["third"]) if row["third"] else None
    return Ruling(row["round"], Arbitration[row["outcome"]], _address(row["accuser"]), third)


def _node(row: Mapping[str, Any]) -> Node:
    roles = row["roles"]
    candidate = Candidate(
        node=_address(row["account"]),
        owner=_address(row["owner"]),
        solves="SOLVER" in roles,
        verifies="VERIFIER" in roles,
        numerics=row["numerics"],
    )
    return Node(candidate, row["tier"], delegation(row, "registration"))


def _anchor(row: Mapping[str, Any]) -> Anchor:
    return Anchor(
        _digest(row["root"]), tuple(_digest(each) for each in row["commitments"]), _block(row)
    )


def _closing(row: Mapping[str, Any]) -> Closing:
    return Closing(
        kind=row["kind"],
        settlement=from_json(Settlement, row["record"]),
        settle_root=_digest(row["settle_root"]),
        receipt=_maybe(Receipt, row["receipt"]),
        receipt_signature=_bytes(row["receipt_signature"]),
        block=_block(row),
    )


def _block(row: Mapping[str, Any]) -> Block:
    return Block(
        _digest(row["tx"]), row["block_number"], _digest(row["block_digest"]), row["timestamp_s"]
    )


def _refs(row: Mapping[str, str] | None) -> tuple[Digest, Digest] | None:
    return None if row is None else (_digest(row["structure"]), _digest(row["tensors"]))


def _maybe(kind: type[Record], value: Any) -> Record | None:
    return None if value is None else from_json(kind, value)


def _maybe_digest(text: str | None) -> Digest | None:
    return None if text is None else _digest(text)


def _digest(text: str) -> Digest:
    return Digest(bytes.fromhex(text))


def _address(text: str) -> Address:
    return Address(bytes.fromhex(text))


def _bytes(text: str | None) -> bytes:
    return bytes.fromhex(text or "")
