"""What a submitted program consists of, as one record that names everything else by digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar

from gensyn_lightning.errors import ArtifactError, LimitExceeded, Malformed
from gensyn_lightning.protocol.canonical import json_bytes, parse_json
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.protocol.jsonform import from_json, to_json
from gensyn_lightning.training.numerics import ARITHMETICS

SCHEMA = "gensyn.manifest/1"
FLAVOURS = ("lightning.pytorch", "pytorch_lightning")

MANIFEST_BYTES_MAX = 32 << 20
PROGRAM_BYTES_MAX = 1 << 30
ARRAY_BYTES_MAX = 1 << 40
ARRAYS_MAX = 1 << 16
FOLDERS_MAX = 64
ENTRIES_MAX = 1 << 14
PATH_BYTES_MAX = 512
THREADS_MAX = 1024
ARTIFACT_ABOVE_BYTES = 64 << 10  # a tensor or array above this becomes an artifact of its own


@dataclass(frozen=True, slots=True)
class Artifact:
    """Bytes in the artifact store: their digest and length."""

    digest: Digest
    length: int


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution the program was built against."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable the program reads."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Flags:
    """The switches of torch that change results."""

    deterministic: bool
    deterministic_warn_only: bool
    default_dtype: str
    matmul_precision: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that lay in a folder when the program was captured."""

    path: str
    length: int


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder the program names; where it stands on either machine stays out of the record.

    `parent` and `relative` nest it in another one (`parent` is empty for a folder of its own).
    Files come back only into folders that are `writable`.
    """

    LIST_MAX: ClassVar[int] = ENTRIES_MAX

    name: str
    parent: str
    relative: str
    writable: bool
    entries: tuple[Entry, ...]


class PlaceKind(IntEnum):
    """How a path is written down."""

    NONE = 0
    LITERAL = 1
    INSIDE = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A path: none at all, as the program spells it, or relative to a declared folder."""

    kind: PlaceKind
    folder: str
    path: str


@dataclass(frozen=True, slots=True)
class LoggerMeta:
    """What a program may ask of a logger that stays with the submitter.

    `kind` is the class as `module:qualified name`; `numbered` says that the version is an
    integer, `anonymous` that the logger has no name, `versionless` that it has no version.
    """

    kind: str
    name: str
    anonymous: bool
    version: str
    numbered: bool
    versionless: bool
    save_dir: Place
    root_dir: Place
    log_dir: Place


@dataclass(frozen=True, slots=True)
class Manifest:
    """A program: its pickle, its arrays, and everything a machine must match to run it.

    `arrays` are the blocks of memory above 64 KiB, in the order the pickle refers to them
    (two blocks with equal bytes share a digest but not a place). `function` is the method of the
    trainer to call. `interpreter` is the Python version that wrote the pickle. `arithmetic` is a
    version of the reproducible operators, or `native` for torch's own.
    """

    LIST_MAX: ClassVar[int] = ARRAYS_MAX

    schema: str
    flavour: str
    function: str
    interpreter: str
    packages: tuple[Package, ...]
    modules_by_value: tuple[str, ...]
    program: Artifact
    arrays: tuple[Artifact, ...]
    folders: tuple[Folder, ...]
    loggers: tuple[LoggerMeta, ...]
    threads: int
    arithmetic: str
    flags: Flags
    environment: tuple[Variable, ...]

    def artifacts(self) -> Iterator[Artifact]:
        """Yield everything a machine needs besides the manifest, each digest once."""
        seen: set[Digest] = set()
        for each in (self.program, *self.arrays):
            if each.digest not in seen:
                seen.add(each.digest)
                yield each


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the canonical JSON whose BLAKE3 digest names the program."""
    data = json_bytes(to_json(manifest))
    if len(data) > MANIFEST_BYTES_MAX:
        raise LimitExceeded(f"a manifest of {len(data)} bytes exceeds {MANIFEST_BYTES_MAX}")
    return data


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest; raise `Malformed` or `LimitExceeded` unless it keeps every rule."""
    manifest = from_json(Manifest, parse_json(data, bytes_max=MANIFEST_BYTES_MAX))
    if manifest.schema != SCHEMA:
        raise Malformed(f"manifest schema {manifest.schema!r} is not {SCHEMA!r}")
    if manifest.flavour not in FLAVOURS:
        raise Malformed(f"{manifest.flavour!r} is no Lightning package")
    if manifest.arithmetic not in ARITHMETICS:
        raise Malformed(f"{manifest.arithmetic!r} is no arithmetic known here")
    if not 1 <= manifest.threads <= THREADS_MAX:
        raise LimitExceeded(f"{manifest.threads} threads are not within 1 to {THREADS_MAX}")
    _check_sizes(manifest)
    _check_folders(manifest.folders)
    return manifest


def read_manifest(digest: Digest, artifacts: Path) -> Manifest:
    """Read the manifest named `digest` from a folder of files named by digest."""
    data = read_artifact(Artifact(digest, 0), artifacts, bytes_max=MANIFEST_BYTES_MAX)
    return parse_manifest(data)


def read_artifact(artifact: Artifact, artifacts: Path, *, bytes_max: int) -> bytes:
    """Return an artifact's bytes after checking that they are the ones that were named."""
    path = artifacts / artifact.digest.hex()
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise ArtifactError(f"artifact {artifact.digest.hex()} is missing: {error}") from None
    if len(data) > bytes_max:
        raise LimitExceeded(f"artifact {artifact.digest.hex()} is longer than {bytes_max} bytes")
    if digest_of(data) != artifact.digest:
        raise ArtifactError(f"artifact {artifact.digest.hex()} has other bytes than its name says")
    return data


def check_relative(path: str) -> str:
    """Return `path` if it stays inside its folder on every machine; raise `Malformed` if not."""
    if path == "":
        return path
    if len(path.encode(errors="surrogatepass")) > PATH_BYTES_MAX:
        raise LimitExceeded(f"a path of {len(path)} characters exceeds {PATH_BYTES_MAX} bytes")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or not path.isprintable() or "\\" in path:
        raise Malformed(f"{path!r} is no path inside a folder")
    return path


def _check_sizes(manifest: Manifest) -> None:
    if manifest.program.length > PROGRAM_BYTES_MAX:
        raise LimitExceeded(f"a program of {manifest.program.length} bytes is too long")
    for each in manifest.arrays:
        if not ARTIFACT_ABOVE_BYTES < each.length <= ARRAY_BYTES_MAX:
            raise LimitExceeded(f"an array artifact of {each.length} bytes is out of bounds")


def _check_folders(folders: tuple[Folder, ...]) -> None:
    if len(folders) > FOLDERS_MAX:
        raise LimitExceeded(f"{len(folders)} folders exceed {FOLDERS_MAX}")
    known = {""}
    for each in folders:
        plain = each.name.replace("-", "").isalnum() and each.name.isascii()
        if not plain or len(each.name) > 32 or each.name in known:
            raise Malformed(f"{each.name!r} is no new folder name")
        if each.parent not in known or bool(each.parent) != bool(each.relative):
            raise Malformed(f"folder {each.name} does not nest in a folder before it")
        check_relative(each.relative)
        for entry in each.entries:
            check_relative(entry.path)
        known.add(each.name)


__all__ = [
    "Artifact",
    "Entry",
    "Flags",
    "Folder",
    "LoggerMeta",
    "Manifest",
    "Package",
    "Place",
    "PlaceKind",
    "Variable",
    "check_relative",
    "manifest_bytes",
    "parse_manifest",
    "read_artifact",
    "read_manifest",
]
