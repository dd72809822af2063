"""The tagged JSON tree that holds a state's values, and the value leaves it is cut into.

A JSON object in the tree has one member, whose name says what it stands for: `{"$tuple": [...]}`;
everything else stands for itself. The order of a dict is part of the state (an optimizer's
parameters are numbered by it), so a dict is a list of pairs. Tensors, arrays and long runs of
numbers are leaves of their own and appear as `{"$leaf": null}`. The dicts at the first two levels
(sections and their entries) are cut open: each of their values is a leaf, and each of those dicts
is a leaf that lists its keys, so that a difference has a name and a large state few leaves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gensyn_lightning.errors import LimitExceeded, Malformed, StateError
from gensyn_lightning.protocol.canonical import check_nesting
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.training.leaf import VALUE, Leaf

DEPTH_MAX = 64
CUT_DEPTH = 2
STRUCTURE_BYTES_MAX = 32 << 20
LEAF = {"$leaf": None}

_NESTING_MAX = 5 * (DEPTH_MAX + 2)  # brackets per level of a value, at most
_SEGMENT_MAX = 128
_INTEGER = re.compile(r"-?\d+")
_COMPACT = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
)


def value_leaves(tree: Any) -> Iterator[Leaf]:
    """Yield a leaf for every value of the tree that is no tensor, down to the cut."""
    yield from _cut(tree, "", 0)


def dumps(value: Any) -> bytes:
    """Return the one way our trees are written: compact JSON, members sorted, UTF-8."""
    return _COMPACT.encode(value).encode()


def loads(data: bytes | memoryview) -> Any:
    """Read a tree; raise unless `data` is exactly what `dumps` would write, and within bounds."""
    if len(data) > STRUCTURE_BYTES_MAX:
        raise LimitExceeded(f"{len(data)} bytes of structure exceed {STRUCTURE_BYTES_MAX}")
    data = bytes(data)
    check_nesting(data, _NESTING_MAX)
    try:
        value = json.loads(data.decode(), parse_float=_refuse, parse_constant=_refuse)
        same = dumps(value) == data
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not a structure: {str(error)[:200]}") from None
    if not same:
        raise Malformed("a structure that is not in canonical form")
    return value


def child(path: str, key: Any) -> str:
    """Return the path of a dict's entry, given its key as it stands in the tree."""
    return f"{path}/{segment(key)}" if path else segment(key)


def beside(path: str) -> str:
    """Return where the attributes of a dict stand: no key of it has this path."""
    return f"{path}/~5"


def item(path: str, index: int) -> str:
    """Return the path of a sequence's item."""
    return f"{path}/{index}" if path else str(index)


def segment(key: Any) -> str:
    """Return a key's part of a path; two different keys of one dict have different parts.

    Integers stand as they are; a text that looks like an integer, and any other key, is marked.
    """
    if type(key) is str:
        text = key.replace("~", "~0").replace("/", "~1")
        if _INTEGER.fullmatch(text) or text in ("", "__metadata__"):
            text = "~2" + text
    elif type(key) is int:
        text = str(key)
    else:
        text = "~3" + dumps(key).decode().replace("~", "~0").replace("/", "~1")
    if len(text) > _SEGMENT_MAX:
        text = "~4" + digest_of(text.encode()).hex()
    return text


def pairs_of(payload: Any, path: str) -> list[list[Any]]:
    """Return a dict's pairs; raise unless they are pairs."""
    if not isinstance(payload, list) or not all(
        isinstance(each, list) and len(each) == 2 for each in payload
    ):
        raise StateError(f"{path[:200]} holds something else than pairs")
    return payload


def _cut(node: Any, path: str, depth: int) -> Iterator[Leaf]:
    if node == LEAF:
        return
    if depth < CUT_DEPTH and isinstance(node, dict) and "$dict" in node:
        pairs = pairs_of(node["$dict"], path)
        yield _value(path, {"$keys": [key for key, _ in pairs]})
        for key, inner in pairs:
            yield from _cut(inner, child(path, key), depth + 1)
        return
    yield _value(path, node)


def _value(path: str, node: Any) -> Leaf:
    return Leaf(path, VALUE, digest_of(dumps(node)))


def _refuse(text: str) -> None:
    raise ValueError(f"a bare number {text[:40]}")
