"""The tensors in the state dict of a torch checkpoint by name, read without torch.

Nothing is unpickled. The state dict is what Lightning keeps under `state_dict`, or else the whole
checkpoint where it maps names to tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import ArtifactError, Unreadable
from gensyn_lightning.report import archive, pickled
from gensyn_lightning.report.pickled import Table, Tensor, would_run
from gensyn_lightning.report.stored import Stored
from gensyn_lightning.training.layout import ITEM_SIZES, dense_strides

STATE_DICT = "state_dict"
_PICKLE = "data.pkl"
_RECORDS = {
    *(_PICKLE, "byteorder", "version"),
    *(".format_version", ".storage_alignment", ".data/serialization_id"),
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a state dict holds; `foreign` is something that loading the file would also run."""

    stored: dict[str, Stored]
    foreign: str


def read(path: Path) -> Checkpoint:
    """Return the state dict in a file; raise `Unreadable` when only running it would tell."""
    records = archive.read(path)
    if _PICKLE not in records:
        raise ArtifactError(f"{path.name} is no checkpoint of torch's: it has no {_PICKLE}")
    if bytes(records.get("byteorder", b"little")[:8]) != b"little":
        raise Unreadable("its numbers are not stored with the lowest byte first")
    for name in records:
        if name not in _RECORDS and not name.startswith("data/"):
            raise Unreadable(f"it has a record called {name}")
    told = pickled.read(bytes(records[_PICKLE][: pickled.PICKLE_BYTES_MAX + 1]))
    try:
        found = _state_dict(told.value)
    except Unreadable as error:
        raise Unreadable(would_run(told.foreign) if told.foreign else str(error)) from None
    return Checkpoint({name: _stored(each, records) for name, each in found.items()}, told.foreign)


def _state_dict(value: Any) -> dict[str, Any]:
    top = _entries(value)
    if STATE_DICT in top:
        return _entries(top[STATE_DICT])
    if not top or not all(isinstance(each, Tensor) for each in top.values()):
        raise Unreadable("it has no state dict")
    return top


def _entries(value: Any) -> dict[str, Any]:
    if not isinstance(value, Table):
        raise Unreadable("it has no state dict")
    found: dict[str, Any] = {}
    for name, each in value.pairs:
        if not isinstance(name, str) or name in found:
            raise Unreadable("a name in its state dict is no text, or is there twice")
        found[name] = each
    return found


def _stored(value: Any, records: Mapping[str, memoryview]) -> Stored:
    if not isinstance(value, Tensor):
        return Stored("", (), None)
    record = records.get(f"data/{value.storage.key}")
    if record is None or len(record) != value.storage.nbytes:
        raise ArtifactError(f"storage {value.storage.key} is missing or has another length")
    item = ITEM_SIZES[value.dtype]
    start, length = value.offset * item, math.prod(value.shape) * item
    data = record[start : start + length] if _in_one_piece(value) else None
    return Stored(value.dtype, value.shape, data)


def _in_one_piece(tensor: Tensor) -> bool:
    """Whether the elements of a tensor follow each other in memory, in row-major order."""
    dense = dense_strides(tensor.shape, "contiguous")
    steps = zip(tensor.shape, tensor.strides, dense, strict=True)
    return 0 in tensor.shape or all(count == 1 or step == wanted for count, step, wanted in steps)
