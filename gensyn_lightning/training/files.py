"""A state as files: a structure and a safetensors file, written once and checked in full when read.

Nothing here needs torch, so that whoever only checks a state can stay light. The header of the
safetensors file follows from the structure, so reading it means comparing it: no length, name or
offset in the file is believed. Reading allocates what the files really hold and no more.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gensyn_lightning.errors import ArtifactError, LimitExceeded, StateError
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.training import leaf as leaves_of
from gensyn_lightning.training import sharing, tree
from gensyn_lightning.training.leaf import SAFETENSORS_CODES, VALUE, Leaf

if TYPE_CHECKING:
    import torch

FORMAT = "gensyn state 1"
STRUCTURE_NAME = "structure.json"
TENSORS_NAME = "tensors.safetensors"
CONTAINER_MAGIC = b"GSTATE1\n"
BYTES_MAX = 1 << 40
STRUCTURE_BYTES_MAX = tree.STRUCTURE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class State:
    """A training state in canonical form: its structure, its leaves in order, and their bytes.

    `buffers` holds the row-major bytes of every leaf that carries its own. Straight after
    `encode` they are the live memory of the program: save or decode before it goes on.
    `classes` names the classes met while encoding; it is not part of the state.
    """

    structure: dict[str, Any]
    leaves: tuple[Leaf, ...]
    buffers: Mapping[str, memoryview]
    root: Digest
    classes: Mapping[str, type] = field(default_factory=dict, compare=False)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The stored tensors by path, as contiguous views of `buffers`."""
        from gensyn_lightning.training.memory import flat_views

        return flat_views(self.leaves, self.buffers)


def assemble(
    content: Any,
    stored: Iterable[Leaf],
    buffers: Mapping[str, memoryview],
    classes: Mapping[str, type],
) -> State:
    """Return the state made of a tree and its tensor leaves."""
    rows = leaves_of.in_order(stored)
    leaves = leaves_of.in_order((*rows, *tree.value_leaves(content)))
    root = leaves_of.root(leaves)
    structure = {
        "format": FORMAT,
        "leaves": [leaves_of.to_row(each) for each in rows],
        "root": root.hex(),
        "tree": content,
    }
    return State(structure, leaves, buffers, root, classes)


def save(state: State, folder: Path) -> None:
    """Write `structure.json` and `tensors.safetensors` into `folder`, which must exist."""
    (folder / STRUCTURE_NAME).write_bytes(structure_bytes(state))
    with (folder / TENSORS_NAME).open("wb", buffering=1 << 20) as file:
        _write_tensors(state, file)


def read(
    structure: Path, tensors: Path, *, expected_root: Digest | None = None, bytes_max: int
) -> State:
    """Read a state from its two files and check every leaf of it.

    Raises `ArtifactError` for files that are missing, cut short or hold other bytes than the
    structure says, `StateError` or `Malformed` for a structure that is none, `LimitExceeded`.
    """
    first = _read_file(structure, min(bytes_max, STRUCTURE_BYTES_MAX))
    second = _read_file(tensors, bytes_max - len(first))
    return _parse(first, second, expected_root)


def tensors_length(leaves: Iterable[Leaf]) -> int:
    """Return how many bytes the tensors file of a state with these leaves has."""
    return _length(*_header(leaves))


def structure_bytes(state: State) -> bytes:
    """Return the bytes of `structure.json`."""
    data = tree.dumps(state.structure)
    if len(data) > STRUCTURE_BYTES_MAX:
        raise LimitExceeded(
            f"a structure of {len(data)} bytes exceeds {STRUCTURE_BYTES_MAX}",
            hint="keep large tables of values in tensors or arrays",
        )
    return data


def save_container(state: State, path: Path) -> None:
    """Write the state as one file: magic, length, structure, zeros up to 64 bytes, safetensors."""
    structure = structure_bytes(state)
    with path.open("wb", buffering=1 << 20) as file:
        file.write(CONTAINER_MAGIC + len(structure).to_bytes(8, "little"))
        file.write(structure + bytes(_padding(len(structure))))
        _write_tensors(state, file)


def load_container(
    path: Path, *, expected_root: Digest | None = None, bytes_max: int = BYTES_MAX
) -> State:
    """Read a state from one file, checked as `read` does."""
    data = _read_file(path, bytes_max)
    start = len(CONTAINER_MAGIC) + 8
    if bytes(data[: len(CONTAINER_MAGIC)]) != CONTAINER_MAGIC:
        raise ArtifactError(f"{path.name} is no container of ours")
    length = int.from_bytes(data[len(CONTAINER_MAGIC) : start], "little")
    if length > min(len(data) - start, STRUCTURE_BYTES_MAX):
        raise ArtifactError(f"{path.name} is cut short")
    end = start + length
    begin = end + _padding(length)
    if any(data[end:begin]):
        raise ArtifactError(f"{path.name} has something between its parts")
    return _parse(data[start:end], data[begin:], expected_root)


def _padding(length: int) -> int:
    """How many zeros follow a container's structure, so that its tensors are aligned."""
    return -(len(CONTAINER_MAGIC) + 8 + length) % 64


def _parse(structure: memoryview, tensors: memoryview, expected_root: Digest | None) -> State:
    value = tree.loads(structure)
    if not isinstance(value, dict) or set(value) != {"format", "leaves", "root", "tree"}:
        raise StateError("a structure has other members than a state's")
    if value["format"] != FORMAT:
        raise StateError("the structure is in another format", hint="update the older side")
    if not isinstance(value["leaves"], list) or len(value["leaves"]) > leaves_of.LEAVES_MAX:
        raise LimitExceeded(f"a state has more than {leaves_of.LEAVES_MAX} leaves, or no list")
    rows = [leaves_of.from_row(each) for each in value["leaves"]]
    sharing.groups(rows)
    buffers = _split(rows, tensors)
    state = assemble(value["tree"], rows, buffers, {})
    if state.structure != value:
        raise StateError("the structure's leaves are out of order, or its root is another's")
    if expected_root is not None and state.root != expected_root:
        raise ArtifactError(f"the state's root is {state.root.hex()}, not {expected_root.hex()}")
    return state


def _split(rows: list[Leaf], data: memoryview) -> dict[str, memoryview]:
    """Return each leaf's bytes in a safetensors file; raise unless every bit is as the rows say."""
    header, places = _header(rows)
    if len(data) != _length(header, places):
        raise ArtifactError("the tensors are longer or shorter than their structure says")
    if bytes(data[: len(header)]) != header:
        raise ArtifactError("the tensors' header is not the one their structure asks for")
    body = data[len(header) :]
    buffers = {path: body[start:end] for path, (start, end) in places.items()}
    origin = sharing.sources(rows)
    found = {path: digest_of(buffer) for path, buffer in buffers.items()}
    for each in rows:
        if found[origin[each.path]] != each.digest:
            raise ArtifactError(f"the bytes of {each.path} are not those its digest names")
    return buffers


def _length(header: bytes, places: Mapping[str, tuple[int, int]]) -> int:
    return len(header) + sum(end - start for start, end in places.values())


def _write_tensors(state: State, file: BinaryIO) -> None:
    header, places = _header(state.leaves)
    file.write(header)
    for path in places:
        file.write(state.buffers[path])


def _header(leaves: Iterable[Leaf]) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """Return the safetensors header, and where each stored leaf lies in the data after it."""
    leaves = [each for each in leaves if each.kind != VALUE]
    origin = sharing.sources(leaves)
    stored = [each for each in leaves if origin[each.path] == each.path]
    # Wide items first: then each leaf starts at a multiple of its item size.
    stored.sort(key=lambda each: -(each.item_size & -each.item_size))
    entries, places, position = {}, {}, 0
    for each in stored:
        end = position + each.nbytes
        places[each.path] = (position, end)
        code = SAFETENSORS_CODES.get(each.dtype)
        entries[each.path] = {
            "dtype": code or "U8",
            "shape": list(each.shape) if code else [each.nbytes],
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, places


def _read_file(path: Path, bytes_max: int) -> memoryview:
    """Return the bytes of a regular file no longer than `bytes_max`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be opened: {error.strerror}") from None
    try:
        return _read_handle(handle, path.name, bytes_max)
    finally:
        os.close(handle)


def _read_handle(handle: int, name: str, bytes_max: int) -> memoryview:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise ArtifactError(f"{name} is no regular file")
    if status.st_size > bytes_max:
        raise LimitExceeded(f"{name} is longer than {bytes_max} bytes")
    data = np.empty(status.st_size, dtype=np.uint8).data
    filled = 0
    while filled < len(data):
        count = os.readv(handle, [data[filled:]])
        if not count:
            raise ArtifactError(f"{name} became shorter while it was read")
        filled += count
    return data
