"""Whether files on this machine hold the model a report is about; nothing is unpickled.

Safetensors files and the state dicts of torch checkpoints are compared by name, type, shape and
bits, and hold nothing else. Of what a checkpoint holds besides its state dict only this is known:
whether loading it would run anything that is not known to be harmless.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from blake3 import blake3

from gensyn_lightning.errors import ArtifactError, ReportError, Unreadable
from gensyn_lightning.protocol.canonical import JSON_DEPTH_MAX, check_nesting
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.report import checkpoint
from gensyn_lightning.report.finding import Findings, Left, Level, Result, must
from gensyn_lightning.report.leaves import MODEL_PREFIX, model_leaves
from gensyn_lightning.report.pickled import would_run
from gensyn_lightning.report.stored import Stored
from gensyn_lightning.training import tree
from gensyn_lightning.training.leaf import SAFETENSORS_CODES, VALUE, Leaf

HEADER_BYTES_MAX = 100 << 20
FILES_MAX = 1024
CHECKPOINTS = (".ckpt", ".pt", ".pth", ".bin")
_DTYPES = {code: name for name, code in SAFETENSORS_CODES.items()}


def check(
    findings: Findings, leaves: Sequence[Leaf], path: Path, listed: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Compare the model in a file or folder with the leaves of the end state.

    A file whose bytes are an artifact among the `listed` files of the report is that file.
    """
    name = f"the model in {path.name}"
    findings.run(Level.MODEL, name, lambda: _check(_Model.of(leaves), path, listed))


@dataclass(frozen=True, slots=True)
class _Model:
    """The tensors of a model, and once more those of them that have a second name."""

    tensors: list[Leaf]
    tied: list[Leaf]

    @classmethod
    def of(cls, leaves: Sequence[Leaf]) -> _Model:
        """Return the model in a state, which keeps a reference under a second name."""
        found = model_leaves(leaves)
        tensors = [each for each in found if each.kind != VALUE]
        owners = {digest_of(tree.dumps({"$ref": each.path})): each for each in tensors}
        second = [each for each in found if each.kind == VALUE and each.digest in owners]
        return cls(tensors, [replace(owners[each.digest], path=each.path) for each in second])


def _check(model: _Model, path: Path, listed: Sequence[Mapping[str, Any]]) -> str | Left:
    if path.is_file():
        with path.open("rb") as file:
            digest = hashed(file).hex()
        same = [row for row in listed if row["digest"] == digest and row["form"] == "bytes"]
        if same:
            return f"it is {same[0]['path']}, as segment {same[0]['segment']} wrote it"
    if not model.tensors:
        return Left("the report names no tensors of a model", Result.OPEN)
    files = _files(path)
    if all(each.suffix == ".safetensors" for each in files):
        found: dict[str, Stored] = {}
        for each in files:
            found.update(_safetensors(each))
        return _by_name(model, found)
    must(len(files) == 1, "a folder of several checkpoints: name one of them")
    return _in_checkpoint(model, files[0])


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise ArtifactError(f"{path} is missing")
    if not path.is_dir():
        return [path]
    listed = [each for _, each in zip(range(FILES_MAX), sorted(path.iterdir()), strict=False)]
    tensors = [each for each in listed if each.suffix == ".safetensors"]
    found = tensors or [each for each in listed if each.suffix in CHECKPOINTS]
    if not found:
        raise ArtifactError(f"{path} holds neither safetensors nor a checkpoint")
    return found


def hashed(file: BinaryIO) -> Digest:
    """Return the digest that names a file's bytes as an artifact."""
    hasher = blake3()
    while piece := file.read(1 << 20):
        hasher.update(piece)
    return Digest(hasher.digest())


def _in_checkpoint(model: _Model, path: Path) -> str | Left:
    try:
        found = checkpoint.read(path)
    except Unreadable as error:
        return Left(f"it cannot be read without running it: {error}", Result.OPEN)
    said = _by_name(model, found.stored)
    if found.foreign:
        return Left(would_run(found.foreign), Result.OPEN)
    return said


def _by_name(model: _Model, found: Mapping[str, Stored]) -> str | Left:
    left, unread = dict(found), []
    tied = [each for each in model.tied if _name_in(each, found) is not None]
    for leaf in (*model.tensors, *tied):
        name = _name_in(leaf, found)
        if name is None:
            raise ReportError(f"{leaf.path} is not in the file")
        stored = left.pop(name, None) or found[name]
        if not _compared(name, stored, leaf):
            unread.append(name)
    extra = [name for name, each in left.items() if each.dtype]
    must(not extra, f"{len(extra)} tensors are not part of the model: {min(extra, default='')} …")
    unread += left
    if unread:
        why = f"{len(unread)} entries cannot be compared, such as {min(unread)}: no plain tensor"
        return Left(f"{why}, or one with gaps or in another order", Result.OPEN)
    return f"{len(model.tensors)} tensors, by name, type, shape and bits"


def _compared(name: str, stored: Stored, leaf: Leaf) -> bool:
    """Return whether all was compared that makes a tensor; raise where something is different."""
    must(stored.dtype in ("", leaf.dtype), f"{name} is of another type")
    must(not stored.dtype or stored.shape == leaf.shape, f"{name} has another shape")
    if stored.data is None:
        return False
    must(digest_of(stored.data) == leaf.digest, f"{name} has other bits")
    return True


def _name_in(leaf: Leaf, found: Mapping[str, Stored]) -> str | None:
    """Return the longest tail of the leaf's path that names a tensor in the file."""
    parts = leaf.path.removeprefix(MODEL_PREFIX).split("/")
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((each for each in tails if each in found), None)


def _safetensors(path: Path) -> Iterator[tuple[str, Stored]]:
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ArtifactError(f"{path.name} is empty") from None
    yield from _tensors(path.name, memoryview(data))


def _tensors(name: str, view: memoryview) -> Iterator[tuple[str, Stored]]:
    length = int.from_bytes(view[:8], "little")
    if length > min(HEADER_BYTES_MAX, len(view) - 8):
        raise ArtifactError(f"{name} is cut short or no safetensors file")
    try:
        text = bytes(view[8 : 8 + length])
        check_nesting(text, JSON_DEPTH_MAX)
        header = json.loads(text)
        header.pop("__metadata__", None)
        rows = [(key, *_place(row)) for key, row in header.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{name} is no safetensors file: {error}") from None
    body = len(view) - 8 - length
    for key, dtype, shape, start, end in rows:
        if not 0 <= start <= end <= body:
            raise ArtifactError(f"{key} lies outside {name}")
        piece = view[8 + length + start : 8 + length + end]
        yield key, Stored(_DTYPES.get(dtype, "unknown"), shape, piece)


def _place(row: Any) -> tuple[str, tuple[int, ...], int, int]:
    start, end = row["data_offsets"]
    return str(row["dtype"]), tuple(int(each) for each in row["shape"]), int(start), int(end)
