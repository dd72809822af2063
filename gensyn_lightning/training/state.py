"""A training state in canonical form: any nested Python value, as JSON, tensors and one root.

Two states have the same root exactly when a program that continues from them takes the same
branches on the same bits: the order of dicts, shared objects, strides and aliases count. Sets are
written in canonical order, because theirs cannot be restored. Nothing is ever pickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training import files, memory
from gensyn_lightning.training.files import BYTES_MAX, State, save
from gensyn_lightning.training.leaf import Leaf
from gensyn_lightning.training.leaf import root as leaves_root
from gensyn_lightning.training.named import Resolver, resolve_loaded
from gensyn_lightning.training.reading import Reader
from gensyn_lightning.training.writing import DROP, OnUnknown, Writer

MODEL_PREFIX = "model/"


def encode(
    value: Any,
    *,
    folders: Mapping[str, Path | str] | None = None,
    on_unknown: OnUnknown | None = None,
) -> State:
    """Return `value` in canonical form, its tensors still in place.

    A text or path inside one of `folders` (name to absolute path) is stored as the folder's name
    and the rest. A value that cannot be expressed raises `StateError` with its path, unless
    `on_unknown(path, value)` returns something to store instead, or `DROP` to leave out the
    nearest dict entry around it.
    """
    writer = Writer(folders or {}, on_unknown)
    content = writer.write(value)
    leaves, buffers = memory.finish(writer.blocks)
    return files.assemble(content, leaves, buffers, writer.classes)


def decode(
    state: State,
    *,
    folders: Mapping[str, Path | str] | None = None,
    resolve: Resolver | None = None,
) -> Any:
    """Return the value of `state` in fresh memory, with sharing, aliases and strides as they were.

    `resolve` turns the name of a class (`module:qualname`) into the class, or None; without it
    enums, dataclasses and named tuples are refused. It is never asked to import.
    """
    found = memory.rebuild(state.leaves, state.buffers)
    return Reader(found, folders or {}, resolve).read(state.structure["tree"])


def state_root(state: State) -> Digest:
    """Return the Merkle root over every leaf of the state."""
    return state.root


def model_digest(state: State) -> Digest:
    """Return the Merkle root over the leaves under `model/`."""
    return leaves_root(each for each in state.leaves if each.path.startswith(MODEL_PREFIX))


def load(folder: Path, *, expected_root: Digest | None = None, bytes_max: int = BYTES_MAX) -> State:
    """Read the state that `save` wrote into `folder`, checking every leaf and the root."""
    return files.read(
        folder / files.STRUCTURE_NAME,
        folder / files.TENSORS_NAME,
        expected_root=expected_root,
        bytes_max=bytes_max,
    )


def write_container(
    value: Any, path: Path, *, folders: Mapping[str, Path | str] | None = None
) -> Digest:
    """Write one nested value as one file, the same bytes each time, and return its root."""
    state = encode(value, folders=folders)
    files.save_container(state, path)
    return state.root


def read_container(
    path: Path,
    *,
    folders: Mapping[str, Path | str] | None = None,
    resolve: Resolver | None = None,
    bytes_max: int = BYTES_MAX,
) -> Any:
    """Return the value that `write_container` wrote."""
    state = files.load_container(path, bytes_max=bytes_max)
    return decode(state, folders=folders, resolve=resolve)


__all__ = [
    "DROP",
    "Leaf",
    "State",
    "decode",
    "encode",
    "load",
    "model_digest",
    "read_container",
    "resolve_loaded",
    "save",
    "state_root",
    "write_container",
]
