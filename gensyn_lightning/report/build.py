"""How a report is made: a dossier, the leaves of the model, and the submitter's signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gensyn_lightning.identity.delegation import SignedDelegation
from gensyn_lightning.identity.request import Identity
from gensyn_lightning.protocol.canonical import json_bytes, parse_json
from gensyn_lightning.protocol.jsonform import to_json
from gensyn_lightning.report import case, form, logged, written
from gensyn_lightning.report.dsse import signature
from gensyn_lightning.report.summary import summarise
from gensyn_lightning.training.leaf import VALUE, Leaf, to_row


def build(
    dossier: bytes,
    leaves: Sequence[Leaf] | None,
    identity: Identity,
    outputs: Sequence[bytes] = (),
) -> bytes:
    """Return report.json: canonical JSON signed by the submitter's node key.

    `leaves` are all leaves of the end state, in order, or None when no segment stands; `outputs`
    the outputs.json of each segment that stands, or none of them. Raises `Malformed` for a
    dossier of another form; whether it holds is what `verify` asks.
    """
    records = parse_json(dossier, bytes_max=form.REPORT_BYTES_MAX)
    form.DOSSIER.check(records, "dossier")
    lent = SignedDelegation.parse(identity.delegation(), identity.domain)
    body = {
        "schema": form.SCHEMA,
        "dossier": records,
        "submitter": {"delegation": to_json(lent.delegation), "signature": lent.signature.hex()},
        "state": None if leaves is None else [_row(each) for each in leaves],
        "files": written.collect(outputs),
        "logged": logged.collect(outputs),
        "summary": summarise(case.read(records)),
    }
    signed = signature(json_bytes(body), identity.node_key, form.PAYLOAD_TYPE)
    report = json_bytes({"body": body, "signature": signed})
    form.parse(report)
    return report


def _row(leaf: Leaf) -> dict[str, Any]:
    if leaf.kind == VALUE:
        return {"kind": VALUE, "path": leaf.path, "digest": leaf.digest.hex()}
    return to_row(leaf)
