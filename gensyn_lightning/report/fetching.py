"""Makes the report of a job that this machine submitted from what the network knows."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.client import Client
from gensyn_lightning.protocol.canonical import parse_json
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.report import case, form, leaves, written
from gensyn_lightning.report.build import build
from gensyn_lightning.training.leaf import Leaf

STRUCTURE_BYTES_MAX = 256 << 20


def fetch(client: Client, job: JobId) -> bytes:
    """Return report.json of a job as it stands now, signed by the client's identity."""
    dossier = client.dossier(job)
    records = parse_json(dossier, bytes_max=form.REPORT_BYTES_MAX)
    form.DOSSIER.check(records, "dossier")
    standing = [attempt for attempt, _ in case.read(records).standing]
    outputs = [
        client.read(each.outputs, bytes_max=written.OUTPUTS_BYTES_MAX)
        for each in standing
        if each.outputs is not None
    ]
    return build(dossier, _end_leaves(client, standing), client.identity, outputs)


def _end_leaves(client: Client, standing: Sequence[case.Attempt]) -> tuple[Leaf, ...] | None:
    """Return the leaves of the last state that stands, or None when none does."""
    if not standing or standing[-1].refs is None:
        return None
    structure, _ = standing[-1].refs
    return leaves.read_structure(client.read(structure, bytes_max=STRUCTURE_BYTES_MAX))
