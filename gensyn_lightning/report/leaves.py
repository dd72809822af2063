"""The model inside the end state: a table of leaves that hashes to the end root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gensyn_lightning.errors import ReportError
from gensyn_lightning.protocol.digest import Digest, parse_digest
from gensyn_lightning.report.case import Case
from gensyn_lightning.report.finding import Findings, Left, Level, must
from gensyn_lightning.training.leaf import (
    PATH_BYTES_MAX,
    VALUE,
    Leaf,
    from_row,
    in_order,
    root,
)

MODEL_PREFIX = "model/"


def read_structure(data: bytes) -> tuple[Leaf, ...]:
    """Return the leaves of a state whose `structure.json` this is."""
    from gensyn_lightning.training import tree

    value = tree.loads(memoryview(data))
    rows = [from_row(each) for each in value["leaves"]]
    return in_order((*rows, *tree.value_leaves(value["tree"])))


def read_row(row: Any) -> Leaf:
    """Return the leaf of a row; unlike a structure's table, a report's also lists the values."""
    if not isinstance(row, Mapping) or row.get("kind") != VALUE:
        return from_row(row)
    digest = row.get("digest")
    if row.keys() != {"kind", "path", "digest"} or not isinstance(row["path"], str):
        raise ReportError("the row of a value is malformed")
    leaf = Leaf(row["path"], VALUE, parse_digest(digest if isinstance(digest, str) else ""))
    if len(leaf.path.encode(errors="surrogatepass")) > PATH_BYTES_MAX:
        raise ReportError(f"a path is longer than {PATH_BYTES_MAX} bytes")
    return leaf


def read(rows: Sequence[Mapping[str, Any]] | None) -> tuple[Leaf, ...] | None:
    """Return the leaves of a report's state member."""
    if rows is None:
        return None
    leaves = tuple(read_row(row) for row in rows)
    if in_order(leaves) != leaves:
        raise ReportError("the leaves of the end state are not in order")
    return leaves


def model_digest(leaves: Sequence[Leaf]) -> Digest:
    """Return the digest that names the model in a receipt."""
    return root(model_leaves(leaves))


def model_leaves(leaves: Sequence[Leaf]) -> list[Leaf]:
    """Return the leaves that are the model: parameters and buffers."""
    return [each for each in leaves if each.path.startswith(MODEL_PREFIX)]


def check(
    findings: Findings, case: Case, rows: Sequence[Mapping[str, Any]] | None
) -> Digest | None:
    """Check that the leaves give the end root; return the model's digest if they do."""
    found: list[Digest] = []

    def opens() -> str | Left:
        leaves = read(rows)
        if leaves is None:
            must(case.closing is None or case.closing.kind != "SETTLE", "the leaves are missing")
            return Left("the report names no end state")
        must(bool(case.standing), "leaves of an end state, but no segment stands")
        last, claim = case.standing[-1]
        must(root(leaves) == claim.end_root, "the leaves do not give the end root")
        digest = model_digest(leaves)
        must(last.model == digest, "the model is not the one in the end state")
        found.append(digest)
        return f"{len(model_leaves(leaves))} of {len(leaves)} leaves are the model"

    findings.run(Level.RECORDS, "the model opens from the end root", opens)
    return found[0] if found else None
