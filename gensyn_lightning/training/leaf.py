"""One leaf of a training state: what it is called, how it lies in memory, and its digest.

A state's root is a Merkle root over its leaves in the order of their paths (as UTF-8). A leaf's
bytes are those of the record `StateLeaf`: `form` is canonical JSON of everything that steers a
program besides the numbers themselves (dtype, shape, layout, alias), `content` the BLAKE3 digest
of the raw bytes in row-major order, or of the canonical JSON of a value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import type_hash
from gensyn_lightning.protocol.digest import Digest, keccak, parse_digest
from gensyn_lightning.training.layout import (
    NAMED,
    Layout,
    array_item_size,
    dense_strides,
    tensor_item_size,
)

LEAVES_MAX = 1 << 20
PATH_BYTES_MAX = 4096
DIMENSIONS_MAX = 64
ELEMENTS_MAX = 1 << 48

VALUE = "value"
TENSOR_KINDS = ("tensor", "parameter")
PACKED_KINDS = {
    "int list": "int64",
    "int tuple": "int64",
    "float list": "float64",
    "float tuple": "float64",
    "bytes": "uint8",
    "bytearray": "uint8",
}
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
KINDS = (*TENSOR_KINDS, "array", *PACKED_KINDS)
# What safetensors calls a dtype; the others are stored there as plain bytes.
SAFETENSORS_CODES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "uint16": "U16",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "uint64": "U64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}


@dataclass(frozen=True, slots=True)
class Alias:
    """Memory shared with an earlier leaf: `offset` bytes from where `owner`'s memory starts."""

    owner: str
    offset: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor, array or value of a state.

    `kind` is `value`, or how the bytes come back: `tensor`, `parameter`, `array`, or a packed
    `bytes`, `bytearray`, `int list`... `layout` is `contiguous`, `channels_last`,
    `channels_last_3d`, or the strides: in elements for tensors, in bytes for arrays. A value has
    a path, its kind and a digest only.
    """

    path: str
    kind: str
    digest: Digest
    dtype: str = ""
    shape: tuple[int, ...] = ()
    layout: Layout = "contiguous"
    requires_grad: bool = False
    alias: Alias | None = None

    @property
    def item_size(self) -> int:
        """Bytes per element."""
        size = array_item_size if self.kind == "array" else tensor_item_size
        return size(self.dtype)

    @property
    def nbytes(self) -> int:
        """Length of the leaf's bytes in row-major order."""
        return math.prod(self.shape) * self.item_size

    @property
    def byte_strides(self) -> tuple[int, ...]:
        """Strides in bytes."""
        if isinstance(self.layout, str):
            item = self.item_size
            return tuple(item * each for each in dense_strides(self.shape, self.layout))
        unit = 1 if self.kind == "array" else self.item_size
        return tuple(unit * each for each in self.layout)


@dataclass(frozen=True, slots=True)
class StateLeaf:
    """The canonical record of a leaf, which the state root is built over."""

    path: str
    form: str
    content: Digest


_TAG = type_hash(StateLeaf)


def root(leaves: Iterable[Leaf]) -> Digest:
    """Return the Merkle root over leaves that are in order already."""
    forms: dict[str, Digest] = {}
    data = []
    for each in leaves:
        text = form(each)
        hashed = forms.get(text)
        if hashed is None:
            hashed = forms[text] = keccak(text.encode())
        data.append(_TAG + keccak(each.path.encode()) + hashed + each.digest)
    return merkle.root(data)


def record(leaf: Leaf) -> StateLeaf:
    """Return the record whose canonical bytes stand in the tree for `leaf`."""
    return StateLeaf(leaf.path, form(leaf), leaf.digest)


def form(leaf: Leaf) -> str:
    """Return what steers a program besides the numbers: canonical JSON, defaults left out."""
    return _COMPACT.encode(_form(leaf))


def in_order(leaves: Iterable[Leaf]) -> tuple[Leaf, ...]:
    """Return leaves in the order of their paths; raise when there are too many or two alike."""
    ordered = tuple(sorted(leaves, key=lambda each: each.path.encode()))
    if len(ordered) > LEAVES_MAX:
        raise LimitExceeded(f"a state of {len(ordered)} leaves exceeds {LEAVES_MAX}")
    for left, right in pairwise(ordered):
        if left.path == right.path:
            raise StateError(f"two leaves are called {left.path}")
    return ordered


def to_row(leaf: Leaf) -> dict[str, Any]:
    """Return the leaf as a row of the structure's table."""
    return {**_form(leaf), "path": leaf.path, "digest": leaf.digest.hex()}


def from_row(row: Any) -> Leaf:
    """Read a row of the table; raise `StateError` unless `to_row` would write exactly that row."""
    if not isinstance(row, Mapping) or not isinstance(row.get("path"), str):
        raise StateError("a row of the leaf table is no object with a path")
    path = row["path"]
    try:
        leaf = Leaf(
            path=path,
            kind=_one_of(row.get("kind", "tensor"), KINDS),
            digest=parse_digest(_text(row["digest"])),
            dtype=_text(row["dtype"]),
            shape=_integers(row["shape"]),
            layout=_layout(row.get("layout", "contiguous")),
            requires_grad=_flag(row.get("grad", False)),
            alias=_alias(row.get("alias")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the row of {path[:200]} is malformed: {error}") from None
    check(leaf)
    if to_row(leaf) != row:
        raise StateError(f"the row of {path[:200]} is not in canonical form")
    return leaf


def check(leaf: Leaf) -> None:
    """Raise unless a tensor or array leaf could have been written by us and is within bounds."""
    if len(leaf.path.encode(errors="surrogatepass")) > PATH_BYTES_MAX:
        raise LimitExceeded(f"a path is longer than {PATH_BYTES_MAX} bytes")
    if len(leaf.shape) > DIMENSIONS_MAX:
        raise LimitExceeded(f"{leaf.path} has more than {DIMENSIONS_MAX} dimensions")
    if math.prod(max(each, 1) for each in leaf.shape) > ELEMENTS_MAX:
        raise LimitExceeded(f"{leaf.path} has more than {ELEMENTS_MAX} elements")
    if leaf.kind in PACKED_KINDS:
        plain = Leaf(leaf.path, leaf.kind, leaf.digest, PACKED_KINDS[leaf.kind], leaf.shape)
        if leaf != plain or len(leaf.shape) != 1:
            raise StateError(f"{leaf.path} is no {leaf.kind}")
    if leaf.requires_grad and leaf.kind not in TENSOR_KINDS:
        raise StateError(f"{leaf.path} is a {leaf.kind} and takes no gradient")
    if len(leaf.byte_strides) != len(leaf.shape):
        raise StateError(f"{leaf.path} has not one stride for each of its axes")


def _form(leaf: Leaf) -> dict[str, Any]:
    if leaf.kind == VALUE:
        return {"kind": VALUE}
    row: dict[str, Any] = {"dtype": leaf.dtype, "shape": list(leaf.shape)}
    if leaf.kind != "tensor":
        row["kind"] = leaf.kind
    if leaf.layout != "contiguous":
        row["layout"] = leaf.layout if isinstance(leaf.layout, str) else list(leaf.layout)
    if leaf.requires_grad:
        row["grad"] = True
    if leaf.alias:
        row["alias"] = [leaf.alias.owner, leaf.alias.offset]
    return row


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("a flag is malformed")
    return value


def _one_of(value: Any, choices: Iterable[str]) -> str:
    if value not in choices:
        raise ValueError(f"{str(value)[:40]!r} is not among the choices")
    return _text(value)


def _integers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > DIMENSIONS_MAX:
        raise ValueError("a list of integers is missing")
    if any(type(each) is not int or not 0 <= each <= ELEMENTS_MAX for each in value):
        raise ValueError("an integer is out of range")
    return tuple(value)


def _layout(value: Any) -> Layout:
    if isinstance(value, str):
        return _one_of(value, ("contiguous", *NAMED))
    return _integers(value)


def _alias(value: Any) -> Alias | None:
    match value:
        case None:
            return None
        case [str(owner), int(offset)] if type(offset) is int and abs(offset) <= ELEMENTS_MAX:
            return Alias(owner, offset)
    raise ValueError("its alias is malformed")
