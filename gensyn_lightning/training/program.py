"""A captured program, taken apart into artifacts and put together again inside a runner.

`load_program` unpickles: it runs the submitter's code and belongs in a runner, nowhere else.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gensyn_lightning.errors import ArtifactError, Malformed, VersionSkew
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.training import untouched
from gensyn_lightning.training.folders import PathMap, lay_out
from gensyn_lightning.training.manifest import (
    PROGRAM_BYTES_MAX,
    Artifact,
    Manifest,
    manifest_bytes,
    parse_manifest,
    read_artifact,
    read_manifest,
)
from gensyn_lightning.training.mapping import mapped_or_read
from gensyn_lightning.training.packing import Unpacker, as_bytes


@dataclass(frozen=True, slots=True)
class Resume:
    """The checkpoint a fit starts from: the path the program gives and what the file holds."""

    path: str
    content: Any


@dataclass(slots=True)
class Program:
    """What a runner calls: `getattr(trainer, function)(*args, **kwargs)`.

    `generators` are the states of `random`, NumPy and torch when the fit was called, under the
    names `python`, `numpy` and `torch`. `gradients` pairs parameters with gradients they held.
    The checkpoint of `resume` is not on disk; whoever loads `resume.path` gets `resume.content`.
    """

    manifest: Manifest
    trainer: Any
    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    generators: dict[str, Any]
    gradients: list[tuple[Any, Any]]
    resume: Resume | None


def load_program(
    manifest_digest: Digest,
    artifacts: Path,
    folders: Mapping[str, Path],
    *,
    loggers: Sequence[Any] = (),
    progress: Any = None,
) -> Program:
    """Check and unpickle the program named `manifest_digest`; call it only inside a runner.

    `artifacts` is a folder of files named by digest, `folders` what `lay_out` returned,
    `loggers` one recorder per `manifest.loggers`, `progress` what stands in for the user's
    progress bar (default: one that shows nothing). Raises `VersionSkew` where this machine
    differs, `ArtifactError` for missing or foreign bytes.
    """
    manifest = read_manifest(manifest_digest, artifacts)
    check_versions(manifest)
    if len(loggers) != len(manifest.loggers):
        raise Malformed(f"{len(manifest.loggers)} loggers need as many recorders")
    bar = _silent_bar(manifest.flavour) if progress is None else progress

    def left(tag: str) -> Any:
        if tag.startswith("logger-"):
            return loggers[int(tag.removeprefix("logger-"))]
        return bar if tag == "progress" else None

    data = read_artifact(manifest.program, artifacts, bytes_max=PROGRAM_BYTES_MAX)
    storages = _storage_reader(manifest.arrays, artifacts)
    payload = Unpacker(data, PathMap(folders), storages, left).load()
    return Program(manifest=manifest, function=manifest.function, **payload)


def check_versions(manifest: Manifest) -> None:
    """Raise `VersionSkew` unless interpreter and packages are those the program was built with."""
    here = platform.python_version()
    if here.split(".")[:2] != manifest.interpreter.split(".")[:2]:
        raise VersionSkew(
            f"the program was captured with Python {manifest.interpreter}, this machine has {here}",
            hint="use the same minor version on both sides",
        )
    for package in manifest.packages:
        found = installed_version(package.name)
        if found is None or public(found) != public(package.version):
            raise VersionSkew(
                f"the program was captured with {package.name} {package.version}, "
                f"this machine has {found or 'none'}",
                hint=f"install {package.name}=={public(package.version)}",
            )


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def public(version: str) -> str:
    """Return a version without its build label: `2.13.0+cpu` and `2.13.0+cu130` are one release."""
    return version.split("+", 1)[0]


def _storage_reader(
    arrays: Sequence[Artifact], artifacts: Path
) -> Callable[[int], torch.UntypedStorage]:
    """Return a function that gives block `number` as memory of its own, which may be written."""

    def read(number: int) -> torch.UntypedStorage:
        if not 0 <= number < len(arrays):
            raise Malformed(f"the program refers to array {number} of {len(arrays)}")
        artifact = arrays[number]
        name = artifact.digest.hex()
        try:
            with (artifacts / name).open("rb", buffering=0) as file:
                storage = mapped_or_read(file, artifact.length)
        except OSError as error:
            raise ArtifactError(f"array {name} is missing: {error}") from None
        if digest_of(as_bytes(storage)) != artifact.digest:
            raise ArtifactError(f"array {name} has other bytes than its name says")
        untouched.remember(storage, artifact.digest)
        return storage

    return read


def _silent_bar(flavour: str) -> Any:
    return importlib.import_module(f"{flavour}.callbacks").ProgressBar()


__all__ = [
    "Manifest",
    "Program",
    "Resume",
    "check_versions",
    "installed_version",
    "lay_out",
    "load_program",
    "manifest_bytes",
    "parse_manifest",
    "read_manifest",
]
