"""The folders a trainer declares through its root, loggers and callbacks, and what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import CaptureError, GensynError
from gensyn_lightning.training.folders import PathMap
from gensyn_lightning.training.manifest import (
    ENTRIES_MAX,
    Entry,
    Folder,
    LoggerMeta,
    check_relative,
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A reason to know a folder: where it is, whether files come back into it, how to list it."""

    name: str
    path: str
    writable: bool
    deep: bool


def declare(trainer: Any) -> tuple[tuple[Folder, ...], dict[str, Path]]:
    """Return the folders a trainer's program may name, and where they stand on this machine.

    The working directory is known but not writable, unless a logger or callback declared it:
    then only the folder below it that Lightning itself would use is.
    """
    known: dict[str, _Claim] = {}
    for claim in _claims(trainer):
        before = known.get(claim.path)
        if before is None:
            known[claim.path] = claim
        elif before.name != "cwd":
            known[claim.path] = replace(
                before, writable=before.writable or claim.writable, deep=before.deep or claim.deep
            )
    claims = sorted(known.values(), key=lambda each: (each.path != "/", each.path.count("/")))
    places = {each.name: Path(each.path) for each in claims}
    return tuple(_folders(claims)), places


def describe_logger(logger: Any, paths: PathMap) -> LoggerMeta:
    """Return what a program may ask of `logger` while it is elsewhere."""
    name, version = logger.name, logger.version
    kind = type(logger)
    return LoggerMeta(
        kind=f"{kind.__module__}:{kind.__qualname__}",
        name="" if name is None else str(name),
        anonymous=name is None,
        version="" if version is None else str(version),
        numbered=type(version) is int,
        versionless=version is None,
        save_dir=paths.place(getattr(logger, "save_dir", None)),
        root_dir=paths.place(getattr(logger, "root_dir", None)),
        log_dir=paths.place(getattr(logger, "log_dir", None)),
    )


def _claims(trainer: Any) -> Iterator[_Claim]:
    here = os.getcwd()
    root = _absolute(trainer.default_root_dir)
    yield _Claim("cwd", here, False, False)
    yield _Claim("root", root, root != here, False)
    for index, logger in enumerate(trainer.loggers):
        yield from _logger_claims(index, logger, root, here)
    if not trainer.loggers:
        yield _Claim("checkpoints", f"{root.rstrip('/')}/checkpoints", True, True)
    for index, callback in enumerate(trainer.callbacks):
        folder = getattr(callback, "dirpath", None)
        if isinstance(folder, str | os.PathLike) and os.fspath(folder):
            yield _Claim(f"callback-{index}", _absolute(folder), True, True)


def _logger_claims(index: int, logger: Any, root: str, here: str) -> Iterator[_Claim]:
    saved = getattr(logger, "save_dir", None)
    if saved is not None:
        path = _absolute(saved)
        yield _Claim(f"logger-{index}", path, path != here, False)
    version = logger.version
    version = version if isinstance(version, str) else f"version_{version}"
    own = os.path.join(_absolute(saved or root), str(logger.name), version)
    yield _Claim(f"version-{index}", own, True, True)
    folder = getattr(logger, "log_dir", None)
    if folder is not None:
        yield _Claim(f"log-{index}", _absolute(folder), True, True)


def _absolute(path: Any) -> str:
    text: str = os.fspath(path)
    if "://" in text:
        raise CaptureError(f"{text} is not a folder of this machine", hint="give a local path")
    return os.path.abspath(os.path.expanduser(text))


def _folders(claims: list[_Claim]) -> Iterator[Folder]:
    nested = {each.path for each in claims}
    for index, claim in enumerate(claims):
        parents = [each for each in claims[:index] if _inside(claim.path, each.path)]
        parent = max(parents, key=lambda each: len(each.path), default=None)
        relative = "" if parent is None else os.path.relpath(claim.path, parent.path)
        entries = tuple(_listing(claim, nested)) if claim.writable else ()
        if len(entries) > ENTRIES_MAX:
            raise CaptureError(
                f"{claim.path} holds more than {ENTRIES_MAX} files",
                hint="give callbacks and loggers a folder of their own",
            )
        yield Folder(claim.name, parent.name if parent else "", relative, claim.writable, entries)


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _listing(claim: _Claim, nested: set[str]) -> Iterator[Entry]:
    count = 0
    for folder, children, files in os.walk(claim.path):
        children[:] = sorted(
            each for each in children if claim.deep and os.path.join(folder, each) not in nested
        )
        for name in sorted(files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, claim.path)
            if not _travels(relative) or not os.path.isfile(path) or os.path.islink(path):
                continue
            count += 1
            if count > ENTRIES_MAX + 1:
                return
            yield Entry(relative, os.path.getsize(path))


def _travels(relative: str) -> bool:
    try:
        return bool(check_relative(relative))
    except GensynError:
        return False
