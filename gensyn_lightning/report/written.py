"""The files a fit wrote, each with the proof that it stands under its segment's outputs root.

A report lists the last version of every file that was not removed. The proofs say that a listed
file was written and replayed like the state; they do not say that the list is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes, parse_json
from gensyn_lightning.protocol.digest import parse_digest
from gensyn_lightning.protocol.merkle import InclusionProof, verify_inclusion
from gensyn_lightning.report.case import Case
from gensyn_lightning.report.finding import Findings, Left, Level, must
from gensyn_lightning.report.shape import Count, Hex, ListOf, Members, OneOf, Text

FILES_MAX = 4096
OUTPUTS_BYTES_MAX = 64 << 20
PROOF_MAX = 32
FILE = Members(
    {
        "segment": Count(),
        "folder": Text(),
        "path": Text(4096),
        "digest": Hex(32),
        "length": Count(),
        "form": OneOf(("bytes", "checkpoint")),
        "link": Text(4096),
        "index": Count(),
        "count": Count(),
        "siblings": ListOf(Hex(32), PROOF_MAX),
    }
)


def collect(outputs: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return a row for each file that is there in the end, from every segment's outputs."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for segment, data in enumerate(outputs):
        value = parse_json(data, bytes_max=OUTPUTS_BYTES_MAX)
        stood = leaves_of(value)
        for folder, path in value["removed"]:
            found.pop((folder, path), None)
        for place, each in enumerate(value["files"]):
            proof = merkle.prove(stood, place)
            found[each["folder"], each["path"]] = {
                "segment": segment,
                "link": "",
                **each,
                "index": proof.index,
                "count": proof.count,
                "siblings": [sibling.hex() for sibling in proof.siblings],
            }
    return [found[name] for name in sorted(found)][:FILES_MAX]


def check(findings: Findings, case: Case, rows: Sequence[Mapping[str, Any]]) -> None:
    """Check that every listed file stands under the outputs root of its segment."""
    name = "files stand under their outputs roots"
    findings.run(Level.RECORDS, name, lambda: _check(case, rows))


def _check(case: Case, rows: Sequence[Mapping[str, Any]]) -> str | Left:
    if not rows:
        return Left("the report lists none")
    standing = case.standing
    names = [(row["folder"], row["path"]) for row in rows]
    must(names == sorted(set(names)), "a file is listed twice, or out of order")
    for row in rows:
        must(row["segment"] < len(standing), f"{row['path']} was written by no segment")
        _, claim = standing[row["segment"]]
        siblings = tuple(parse_digest(each) for each in row["siblings"])
        proof = InclusionProof(row["index"], row["count"], siblings)
        verify_inclusion(_leaf(row), proof, claim.outputs_root)
    return f"{len(rows)} files"


def leaves_of(value: Mapping[str, Any]) -> list[bytes]:
    """Return what an outputs root is built over, in order, from outputs.json."""
    return [
        *(json_bytes(["file", each]) for each in value["files"]),
        *(json_bytes(["removed", *each]) for each in value["removed"]),
        *(json_bytes(["call", each]) for each in value["calls"]),
    ]


def _leaf(row: Mapping[str, Any]) -> bytes:
    members = ("folder", "path", "digest", "length", "form")
    file = {name: row[name] for name in members}
    return json_bytes(["file", file | ({"link": row["link"]} if row["link"] else {})])
