"""Everything signed about one job, as the canonical JSON that a report is built from.

Records are as `protocol.jsonform.to_json` writes them; digests, addresses, salts and signatures
are lower-case hexadecimal without prefix; enums are their names; what does not exist is null.
Lists are in the order of the fields named in brackets. The members are:

    schema        "gensyn-dossier/1"
    domain        {chain_id, escrow}: what every signature is bound to
    receipts      address of the receipts contract
    coordinator   account that signs store receipts, the receipt's copy and the seal
    seal          its signature over `report.seal.Seal`: the job and the digest of all the rest
    single_operator  true when one operator runs every node
    job           {id, record: Job, signature, state, reason, submitted_ms, beacon: digest of
                    the block in which the escrow was seen}
    nodes         [account] {account, owner, numerics, tier, roles: [..],
                    registration: Delegation, signature}: the nodes that appear in this job
    rosters       {root: [account, ...]}: whom a draw could choose from, in order of account
    segments      [index] {index, attempts}; only what was tried, in the order it was tried
      attempts    [fence] {fence, task: Task, state, solver, started_ms, committed_ms,
                    draw: Draw | null (null: the same solver went on), roster: root | null,
                    commitment: Commitment | null, signature, salt,
                    state_refs: {structure, tensors} | null, tape, outputs, model,
                    store_receipt: StoreReceipt | null, store_signature,
                    provenance: text of a DSSE envelope | null,
                    anchor: root | null, seed: Seed | null, sampled: true | false | null,
                    audits, arbitrations, equivocations}
        audits    [fence] {fence, purpose, state, verifier, draw: Draw, roster: root,
                    promise: BlindReport | null, promise_signature,
                    replay: Replay | null, replay_signature,
                    result: text of a DSSE envelope | null, verdict, wrong}
        arbitrations  [round] {round, outcome, accuser, third: verifier's account | null}
        equivocations {commitment: Commitment, signature}: a second, different claim for the
                    same attempt, refused
    anchors       [block number] {root, commitments: [struct hash, ...], tx, block_number,
                    block_digest, timestamp_s}
    settlement    {kind: "SETTLE" | "REFUND", record: Settlement, settle_root,
                    receipt: Receipt | null, receipt_signature: the coordinator's | null, tx,
                    block_number, block_digest, timestamp_s} | null

The accepted attempt of a segment is the one whose state is ACCEPTED. A draw's seed is
`struct_hash(Seed)`, a replay's `draw` is `struct_hash(Draw)`, an anchor's root is `merkle.root`
over its commitments' struct hashes, and so is `receipt.commitments_root` over the accepted ones
in order of index. A salt is null while a replay of its attempt is still blind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from coordinator.limits import DOSSIER_BYTES_MAX
from coordinator.network import Network
from coordinator.page import Page
from coordinator.rows import AttemptRow, AuditRow, MemberRow, Progress, Sample, Stamp
from gensyn_lightning.artifacts import Artifacts
from gensyn_lightning.errors import LimitExceeded
from gensyn_lightning.identity import SignedDelegation, sign_record
from gensyn_lightning.protocol import audit, job, settlement
from gensyn_lightning.protocol.canonical import Domain, json_bytes
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.jsonform import to_json
from gensyn_lightning.report.seal import sealed

SCHEMA = "gensyn-dossier/1"
_SAMPLED = {Sample.UNDECIDED: None, Sample.SKIPPED: False, Sample.SAMPLED: True}


def build(page: Page, artifacts: Artifacts, network: Network) -> bytes:
    """Return the dossier of a job as it stands now, sealed."""
    domain = network.domain
    value = {
        "schema": SCHEMA,
        "domain": {"chain_id": domain.chain_id, "escrow": domain.escrow.hex()},
        "receipts": network.receipts.hex(),
        "coordinator": network.account.address.hex(),
        "single_operator": page.job.single_operator,
        "job": _job(page),
        "nodes": [_node(row, domain) for _, row in sorted(page.members.items())],
        "rosters": {
            root.hex(): [each.hex() for each in row.members] for root, row in page.rosters.items()
        },
        "segments": list(_segments(page, artifacts)),
        "anchors": list(_anchors(page)),
        "settlement": _settlement(page, network),
    }
    data = json_bytes(sealed(value, domain, network.account))
    if len(data) > DOSSIER_BYTES_MAX:
        raise LimitExceeded(f"a dossier of {len(data)} bytes exceeds {DOSSIER_BYTES_MAX}")
    return data


def _job(page: Page) -> dict[str, Any]:
    row = page.job
    return {
        "id": row.id.hex(),
        "record": to_json(row.record),
        "signature": row.signature.hex(),
        "state": row.state.name,
        "reason": row.reason.name if row.reason else None,
        "submitted_ms": row.submitted_ms,
        "beacon": row.beacon.hex(),
    }


def _node(row: MemberRow, domain: Domain) -> dict[str, Any]:
    lent = SignedDelegation.parse(row.registration, domain)
    roles = (("SOLVER", row.solves), ("VERIFIER", row.verifies))
    return {
        "account": row.account.hex(),
        "owner": row.owner.hex(),
        "numerics": row.numerics,
        "tier": row.tier,
        "roles": [name for name, wanted in roles if wanted],
        "registration": to_json(lent.delegation),
        "signature": lent.signature.hex(),
    }


def _segments(page: Page, artifacts: Artifacts) -> Iterator[dict[str, Any]]:
    for index in sorted({each.task.index for each in page.attempts.values()}):
        rows = page.attempts_at(index)
        yield {"index": index, "attempts": [_attempt(page, each, artifacts) for each in rows]}


def _attempt(page: Page, row: AttemptRow, artifacts: Artifacts) -> dict[str, Any]:
    audits = page.audits_of(row)
    blind = any(audit.TRANSITIONS[each.state] for each in audits)
    return {
        "fence": row.fence,
        "task": to_json(row.task),
        "state": row.state.name,
        "solver": row.solver.hex(),
        "started_ms": row.started_ms,
        "draw": _record(row.draw),
        "roster": _hex(row.roster),
        "salt": None if blind else _hex(row.salt),
        "anchor": _hex(row.anchor),
        "seed": _record(row.seed),
        "sampled": _SAMPLED[row.sample],
        "audits": [_audit(each, artifacts) for each in audits],
        "arbitrations": [
            {
                "round": each.round,
                "outcome": each.outcome.name,
                "accuser": each.accuser.hex(),
                "third": _hex(each.third),
            }
            for each in row.rulings
        ],
        "equivocations": [
            {"commitment": to_json(each.commitment), "signature": each.signature.hex()}
            for each in row.equivocations
        ],
        **_handover(row, artifacts),
    }


def _handover(row: AttemptRow, artifacts: Artifacts) -> dict[str, Any]:
    names = (
        "committed_ms",
        "commitment",
        "signature",
        "state_refs",
        "tape",
        "outputs",
        "model",
        "store_receipt",
        "store_signature",
        "provenance",
    )
    given = row.handover
    if given is None:
        return dict.fromkeys(names)
    return {
        "committed_ms": given.committed_ms,
        "commitment": to_json(given.commitment),
        "signature": given.signature.hex(),
        "state_refs": to_json(given.refs),
        "tape": given.tape.hex(),
        "outputs": given.outputs.hex(),
        "model": given.model.hex(),
        "store_receipt": to_json(given.store_receipt),
        "store_signature": given.store_signature.hex(),
        "provenance": artifacts.read(given.provenance).decode(),
    }


def _audit(row: AuditRow, artifacts: Artifacts) -> dict[str, Any]:
    return {
        "fence": row.fence,
        "purpose": row.purpose.name,
        "state": row.state.name,
        "verifier": row.verifier.hex(),
        "draw": to_json(row.draw),
        "roster": row.roster.hex(),
        "promise": _record(row.promise),
        "promise_signature": _hex(row.promise_signature),
        "replay": _record(row.replay),
        "replay_signature": _hex(row.replay_signature),
        "result": artifacts.read(row.result).decode() if row.result else None,
        "verdict": None if row.verdict is None else row.verdict.name,
        "wrong": row.wrong,
    }


def _anchors(page: Page) -> Iterable[dict[str, Any]]:
    rows = [each for each in page.anchors.values() if each.state is Progress.DONE and each.stamp]
    for row in sorted(rows, key=lambda each: (each.stamp.number if each.stamp else 0, each.root)):
        commitments = [each.hex() for each in row.commitments]
        yield {"root": row.root.hex(), "commitments": commitments, **_stamp(row.stamp)}


def _settlement(page: Page, network: Network) -> dict[str, Any] | None:
    row = page.job
    if row.settlement is None or row.closed is None:
        return None
    signature = sign_record(row.receipt, network.domain, network.account) if row.receipt else None
    return {
        "kind": "SETTLE" if row.state is job.State.SETTLED else "REFUND",
        "record": to_json(row.settlement),
        "settle_root": settlement.settle_root(row.settlement).hex(),
        "receipt": _record(row.receipt),
        "receipt_signature": _hex(signature),
        **_stamp(row.closed),
    }


def _stamp(stamp: Stamp | None) -> dict[str, Any]:
    assert stamp is not None
    return {
        "tx": stamp.tx.hex(),
        "block_number": stamp.number,
        "block_digest": stamp.block.hex(),
        "timestamp_s": stamp.timestamp_s,
    }


def _record(record: Any) -> dict[str, Any] | None:
    return None if record is None else to_json(record)


def _hex(value: Digest | Address | bytes | None) -> str | None:
    return value.hex() if value else None
