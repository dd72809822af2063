"""Whether files on this machine hold the model a report is about; nothing is unpickled.

A safetensors file is compared by name, type, shape and bits. A checkpoint of torch's is a zip
whose tensors lie in it as raw bytes: each tensor of the model must be there bit for bit, but
which name the pickle inside gives to which bytes is not looked at.
"""

from __future__ import annotations

import json
import mmap
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from blake3 import blake3

from gensyn_lightning.errors import ArtifactError, LimitExceeded
from gensyn_lightning.protocol.canonical import JSON_DEPTH_MAX, check_nesting
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.report.finding import Findings, Left, Level, Result, must
from gensyn_lightning.report.leaves import MODEL_PREFIX, model_leaves
from gensyn_lightning.training.leaf import SAFETENSORS_CODES, VALUE, Leaf

HEADER_BYTES_MAX = 100 << 20
FILES_MAX = 1024
ENTRIES_MAX = 1 << 20
CHECKPOINTS = (".ckpt", ".pt", ".pth", ".bin")


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor as a safetensors file holds it."""

    dtype: str
    shape: tuple[int, ...]
    digest: Digest


def check(
    findings: Findings, leaves: Sequence[Leaf], path: Path, listed: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Compare the model in a file or folder with the leaves of the end state.

    A file whose bytes are an artifact among the `listed` files of the report is that file.
    """
    wanted = [each for each in model_leaves(leaves) if each.kind != VALUE]
    name = f"the model in {path.name}"
    findings.run(Level.MODEL, name, lambda: _check(wanted, path, listed))


def _check(wanted: Sequence[Leaf], path: Path, listed: Sequence[Mapping[str, Any]]) -> str | Left:
    if path.is_file():
        with path.open("rb") as file:
            digest = hashed(file).hex()
        same = [row for row in listed if row["digest"] == digest and row["form"] == "bytes"]
        if same:
            return f"it is {same[0]['path']}, as segment {same[0]['segment']} wrote it"
    if not wanted:
        return Left("the report names no tensors of a model", Result.OPEN)
    files = _files(path)
    if all(each.suffix == ".safetensors" for each in files):
        found: dict[str, Stored] = {}
        for each in files:
            found.update(_safetensors(each))
        return _by_name(wanted, found)
    must(len(files) == 1, "a folder of several checkpoints: name one of them")
    return _by_bits(wanted, _storages(files[0]))


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


def _by_name(wanted: Sequence[Leaf], found: Mapping[str, Stored]) -> str:
    left = dict(found)
    for leaf in wanted:
        name = _name_in(leaf, found)
        must(name is not None, f"{leaf.path} is not in the file")
        stored = left.pop(name or "", None) or found[name or ""]
        must(stored.dtype == SAFETENSORS_CODES.get(leaf.dtype), f"{name} is of another type")
        must(stored.shape == leaf.shape, f"{name} has another shape")
        must(stored.digest == leaf.digest, f"{name} has other bits")
    must(not left, f"{len(left)} tensors are not part of the model: {min(left, default='')} …")
    return f"{len(wanted)} tensors, by name, type, shape and bits"


def _name_in(leaf: Leaf, found: Mapping[str, Stored]) -> str | None:
    """Return the longest tail of the leaf's path that names a tensor in the file."""
    parts = leaf.path.removeprefix(MODEL_PREFIX).split("/")
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((each for each in tails if each in found), None)


def _by_bits(wanted: Sequence[Leaf], found: set[Digest]) -> str | Left:
    plain = [each for each in wanted if each.alias is None and each.layout == "contiguous"]
    for leaf in plain:
        must(leaf.digest in found or 0 in leaf.shape, f"{leaf.path} is not in the file")
    if len(plain) < len(wanted):
        return Left(
            f"{len(plain)} of {len(wanted)} tensors are in the file; the others share memory and"
            " can only be compared in a safetensors file",
            Result.OPEN,
        )
    return f"{len(wanted)} tensors bit for bit; names are not compared in a checkpoint"


def _safetensors(path: Path) -> Iterator[tuple[str, Stored]]:
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ArtifactError(f"{path.name} is empty") from None
        with data, memoryview(data) as view:
            yield from _tensors(path.name, view)


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
        with view[8 + length + start : 8 + length + end] as piece:
            yield key, Stored(dtype, shape, digest_of(piece))


def _place(row: Any) -> tuple[str, tuple[int, ...], int, int]:
    start, end = row["data_offsets"]
    return str(row["dtype"]), tuple(int(each) for each in row["shape"]), int(start), int(end)


def _storages(path: Path) -> set[Digest]:
    """Return the digests of the raw tensors in a checkpoint; the pickle in it is not read."""
    found = set()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES_MAX:
                raise LimitExceeded(f"{path.name} has {len(entries)} entries")
            for each in entries:
                if each.filename.split("/")[-2:-1] == ["data"]:
                    must(each.compress_type == zipfile.ZIP_STORED, f"{path.name} is compressed")
                    found.add(digest_of(archive.read(each)))
    except (zipfile.BadZipFile, OSError) as error:
        raise ArtifactError(f"{path.name} is no checkpoint of torch's: {error}") from None
    return found
