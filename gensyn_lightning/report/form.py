"""What a report file looks like: every member, and the bounds.

A report is canonical JSON with two members. `signature` is the submitter's: a DSSE signature,
under the node key that `body.submitter` delegates, over the canonical JSON of `body`, which
stands here once and in the clear instead of a second time in base64. `body.dossier` holds the
signed records, `body.state` the leaves the end root is built over, `body.files` what the fit
wrote, `body.logged` the numbers it logged, and `body.summary` what people read first, all of it
recomputed by whoever checks the report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensyn_lightning.identity.delegation import Delegation
from gensyn_lightning.protocol import attempt, audit, job
from gensyn_lightning.protocol.assignment import Draw, Seed
from gensyn_lightning.protocol.canonical import parse_json
from gensyn_lightning.protocol.commitment import Commitment, StoreReceipt
from gensyn_lightning.protocol.parameters import (
    NODES_MAX,
    TASKS_PER_JOB_MAX,
)
from gensyn_lightning.protocol.receipt import Receipt, Status
from gensyn_lightning.protocol.settlement import Settlement
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.protocol.verdict import Arbitration, BlindReport, Replay, Verdict
from gensyn_lightning.report import shape
from gensyn_lightning.report.leaves import read_row
from gensyn_lightning.report.logged import CALL
from gensyn_lightning.report.logged import ROWS_MAX as CALLS_MAX
from gensyn_lightning.report.shape import (
    Amount,
    Count,
    Exactly,
    Flag,
    Hex,
    ListOf,
    MapOf,
    Maybe,
    Members,
    OneOf,
    Shape,
    Text,
)
from gensyn_lightning.report.written import FILE, FILES_MAX
from gensyn_lightning.training.leaf import LEAVES_MAX

SCHEMA = "urn:gensyn-lightning:report:1"
DOSSIER_SCHEMA = "gensyn-dossier/1"
PAYLOAD_TYPE = "application/vnd.gensyn-lightning.report+json"
SCHEMA_FILE = "report.schema.json"

REPORT_BYTES_MAX = 256 << 20
ENVELOPE_CHARS_MAX = 1 << 20
ATTEMPTS_MAX = 4096
AUDITS_MAX = 256
ANCHORS_MAX = 1 << 16
NOTES_MAX = 64
_BASE64_SIGNATURE = 88


@dataclass(frozen=True)
class LeafRow:
    """A row of a state's leaf table, as `training.leaf` writes it."""

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is exactly such a row; `where` is in the reader's words."""
        read_row(value)

    def schema(self) -> dict[str, Any]:
        """Return an object whose details the leaf's own reader checks."""
        return {"type": "object", "required": ["path", "digest"]}


_ACCOUNT, _DIGEST, _SIGNATURE = Hex(20), Hex(32), Hex(65)
_ENVELOPE = Maybe(Text(ENVELOPE_CHARS_MAX))


def _block(**members: Shape) -> Members:
    where: dict[str, Shape] = {"tx": _DIGEST, "block_number": Count(), "block_digest": _DIGEST}
    return Members({**members, **where, "timestamp_s": Count()})


AUDIT = Members(
    {
        "fence": Count(),
        "purpose": shape.names(audit.Purpose),
        "state": OneOf(tuple(audit.State.__members__)),
        "verifier": _ACCOUNT,
        "draw": shape.record(Draw),
        "roster": _DIGEST,
        "promise": Maybe(shape.record(BlindReport)),
        "promise_signature": Maybe(_SIGNATURE),
        "replay": Maybe(shape.record(Replay)),
        "replay_signature": Maybe(_SIGNATURE),
        "result": _ENVELOPE,
        "verdict": Maybe(shape.names(Verdict)),
        "wrong": Flag(),
    }
)
ARBITRATION = Members(
    {
        "round": Count(),
        "outcome": shape.names(Arbitration),
        "accuser": _ACCOUNT,
        "third": Maybe(_ACCOUNT),
    }
)
ATTEMPT = Members(
    {
        "fence": Count(),
        "task": shape.record(Task),
        "state": OneOf(tuple(attempt.State.__members__)),
        "solver": _ACCOUNT,
        "started_ms": Count(),
        "committed_ms": Maybe(Count()),
        "draw": Maybe(shape.record(Draw)),
        "roster": Maybe(_DIGEST),
        "commitment": Maybe(shape.record(Commitment)),
        "signature": Maybe(_SIGNATURE),
        "salt": Maybe(Hex(16)),
        "state_refs": Maybe(Members({"structure": _DIGEST, "tensors": _DIGEST})),
        "tape": Maybe(_DIGEST),
        "outputs": Maybe(_DIGEST),
        "model": Maybe(_DIGEST),
        "store_receipt": Maybe(shape.record(StoreReceipt)),
        "store_signature": Maybe(_SIGNATURE),
        "provenance": _ENVELOPE,
        "anchor": Maybe(_DIGEST),
        "seed": Maybe(shape.record(Seed)),
        "sampled": Maybe(Flag()),
        "audits": ListOf(AUDIT, AUDITS_MAX),
        "arbitrations": ListOf(ARBITRATION, AUDITS_MAX),
        "equivocations": ListOf(
            Members({"commitment": shape.record(Commitment), "signature": _SIGNATURE}), AUDITS_MAX
        ),
    }
)
NODE = Members(
    {
        "account": _ACCOUNT,
        "owner": _ACCOUNT,
        "numerics": Text(),
        "tier": Text(),
        "roles": ListOf(OneOf(("SOLVER", "VERIFIER")), 2),
        "registration": shape.record(Delegation),
        "signature": _SIGNATURE,
    }
)
DOSSIER = Members(
    {
        "schema": Exactly(DOSSIER_SCHEMA),
        "domain": Members({"chain_id": Count(), "escrow": _ACCOUNT}),
        "receipts": _ACCOUNT,
        "coordinator": _ACCOUNT,
        "seal": _SIGNATURE,
        "single_operator": Flag(),
        "job": Members(
            {
                "id": _DIGEST,
                "record": shape.record(job.Job),
                "signature": _SIGNATURE,
                "state": OneOf(tuple(job.State.__members__)),
                "reason": Maybe(OneOf(tuple(job.Reason.__members__))),
                "submitted_ms": Count(),
                "beacon": _DIGEST,
            }
        ),
        "nodes": ListOf(NODE, NODES_MAX),
        "rosters": MapOf(_DIGEST, ListOf(_ACCOUNT, NODES_MAX), ANCHORS_MAX),
        "segments": ListOf(
            Members(
                {"index": Count(), "attempts": ListOf(ATTEMPT, ATTEMPTS_MAX)},
            ),
            TASKS_PER_JOB_MAX,
        ),
        "anchors": ListOf(
            _block(root=_DIGEST, commitments=ListOf(_DIGEST, TASKS_PER_JOB_MAX)), ANCHORS_MAX
        ),
        "settlement": Maybe(
            _block(
                kind=OneOf(("SETTLE", "REFUND")),
                record=shape.record(Settlement),
                settle_root=_DIGEST,
                receipt=Maybe(shape.record(Receipt)),
                receipt_signature=Maybe(_SIGNATURE),
            )
        ),
    }
)
SUMMARY = Members(
    {
        "status": shape.names(Status),
        "statement": Text(4096),
        "not_checked": ListOf(Text(1024), NOTES_MAX),
        "segments": Count(),
        "sampled": Count(),
        "replayed": Count(),
        "batches": Count(),
        "batches_replayed": Count(),
        "owners": Count(),
        "disputes": Count(),
        "refuted": Count(),
        "miss_ppm": Count(),
        "colluding_share_ppm": Count(),
        "model": Maybe(_DIGEST),
        "end_root": Maybe(_DIGEST),
        "paid": Amount(),
        "refund": Maybe(Amount()),
    }
)
BODY = Members(
    {
        "schema": Exactly(SCHEMA),
        "dossier": DOSSIER,
        "submitter": Members({"delegation": shape.record(Delegation), "signature": _SIGNATURE}),
        "state": Maybe(ListOf(LeafRow(), LEAVES_MAX)),
        "files": ListOf(FILE, FILES_MAX),
        "logged": ListOf(CALL, CALLS_MAX),
        "summary": SUMMARY,
    }
)
REPORT = Members(
    {"body": BODY, "signature": Members({"keyid": Hex(32), "sig": Text(_BASE64_SIGNATURE)})}
)


def parse(data: bytes) -> Mapping[str, Any]:
    """Read a report; raise `Malformed` or `LimitExceeded` unless it has exactly this form."""
    value = parse_json(data, bytes_max=REPORT_BYTES_MAX)
    REPORT.check(value, "report")
    return value  # type: ignore[no-any-return]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a report, the same that is shipped beside this module."""
    return {
        "$schema": shape.DRAFT,
        "$id": SCHEMA,
        "title": "Report on a job: signed records, the leaves of the model, a summary",
        **REPORT.schema(),
    }


if __name__ == "__main__":
    target = Path(__file__).with_name(SCHEMA_FILE)
    target.write_text(json.dumps(json_schema(), indent=1) + "\n")
