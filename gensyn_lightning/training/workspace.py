"""The files of a program's folders: part of its state by digest, and its outputs.

Nothing here needs torch. A file the program finds again in a later segment comes from the folder
of artifacts; one that lay in the submitter's folder all along is an empty file of that name, which
may be replaced or removed, but not read or added to.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from gensyn_lightning.errors import ArtifactError, LimitExceeded, Malformed, StateError
from gensyn_lightning.protocol.digest import Digest, parse_digest
from gensyn_lightning.training.files import CONTAINER_MAGIC
from gensyn_lightning.training.manifest import Manifest, check_relative
from gensyn_lightning.training.names_only import NamesOnly
from gensyn_lightning.training.outputs import FILES_MAX, File, Removed

BYTES_MAX = 1 << 40
_LISTED = "listed"
_NOTHING = blake3().hexdigest()

Key = tuple[str, str]
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known about a file: its content, and how it looked when that was found out."""

    digest: str
    length: int
    form: str
    link: str
    stamp: Stamp


class Workspace:
    """A program's folders on this machine, and where the contents of their files are kept."""

    def __init__(
        self, manifest: Manifest, folders: Mapping[str, Path], artifacts: Path, files: Path
    ) -> None:
        self._manifest = manifest
        self._folders = folders
        self._artifacts = artifacts
        self._files = files
        self.names_only = NamesOnly()
        self._known: dict[Key, Kept] = {}
        self._before: dict[Key, Kept] = {}

    def begin(self) -> None:
        """Take what is in the folders now as what was there before the segment."""
        listed = {
            (each.name, entry.path) for each in self._manifest.folders for entry in each.entries
        }
        for key, path in self._walk():
            if key in listed and not path.stat().st_size:
                self._known[key] = self._listed(path)
            else:
                self._known[key] = self._look(path)
        self._before = dict(self._known)

    def stamps(self) -> dict[Key, Stamp]:
        """Return how every file in the folders looks now."""
        return {key: _stamp(path) for key, path in self._walk()}

    def restore(self, written: Mapping[str, Mapping[str, Any]]) -> None:
        """Make the folders hold exactly the files a state names."""
        for _, path in list(self._walk()):
            path.unlink()
        self._known = {}
        self.names_only.clear()
        named = [(folder, *each) for folder, entries in written.items() for each in entries.items()]
        # Links last, when what they point at is there.
        for folder, name, (digest, length, form, link) in sorted(
            named, key=lambda each: bool(each[2][3])
        ):
            path = self._folders[folder] / check_relative(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._put(path, digest, form, link)
            self._known[folder, name] = Kept(digest, length, form, link, _stamp(path))
        self._before = dict(self._known)

    def written(self) -> dict[str, dict[str, Any]]:
        """Return what the folders hold, for the state; contents go to the folder of files."""
        found: dict[str, dict[str, Any]] = {name: {} for name in self._folders}
        known: dict[Key, Kept] = {}
        for key, path in self._walk():
            kept = self._known.get(key)
            if kept is None or kept.stamp != _stamp(path):
                if kept is not None and kept.form == _LISTED and self.names_only.has(path):
                    kept = replace(kept, stamp=_stamp(path))
                else:
                    kept = self._look(path)
                    self._keep(path, kept)
            known[key] = kept
            found[key[0]][key[1]] = [kept.digest, kept.length, kept.form, kept.link]
        if sum(each.length for each in known.values()) > BYTES_MAX:
            raise LimitExceeded(f"a program's files exceed {BYTES_MAX} bytes")
        self._known = known
        return {name: entries for name, entries in found.items() if entries}

    def outputs(self) -> tuple[tuple[File, ...], tuple[Removed, ...]]:
        """Return what changed in writable folders since the segment began; call `written` first."""
        writable = {each.name for each in self._manifest.folders if each.writable}
        files = tuple(
            File(*key, parse_digest(kept.digest), kept.length, kept.form, kept.link)
            for key, kept in sorted(self._known.items())
            if key[0] in writable and _content(self._before.get(key)) != _content(kept)
        )
        removed = tuple(
            Removed(*key)
            for key in sorted(self._before.keys() - self._known.keys())
            if key[0] in writable
        )
        return files, removed

    def _walk(self) -> Iterator[tuple[Key, Path]]:
        """Yield every file by (folder, relative path); a nested folder's under its own name."""
        places = {os.path.realpath(path): name for name, path in self._folders.items()}
        count = 0
        for place, name in sorted(places.items(), key=lambda each: each[1]):
            for above, inner, files in os.walk(place):
                inner[:] = sorted(each for each in inner if os.path.join(above, each) not in places)
                for each in sorted(files):
                    count += 1
                    if count > FILES_MAX:
                        raise LimitExceeded(f"a program keeps more than {FILES_MAX} files")
                    path = Path(above) / each
                    yield (name, os.path.relpath(path, place)), path

    def _listed(self, path: Path) -> Kept:
        self.names_only.add(path)
        return Kept(_NOTHING, 0, _LISTED, "", _stamp(path))

    def _look(self, path: Path) -> Kept:
        link = _link(path)
        if link and not path.exists():
            return Kept(_NOTHING, 0, "bytes", link, _stamp(path))
        if not path.is_file():
            raise StateError(
                f"{path.name} is no file", hint="write plain files into declared folders"
            )
        hasher = blake3()
        with path.open("rb") as file:
            start = file.read(1 << 20)
            kind = "checkpoint" if start.startswith(CONTAINER_MAGIC) else "bytes"
            length = 0
            while start:
                hasher.update(start)
                length += len(start)
                start = file.read(1 << 20)
        return Kept(hasher.hexdigest(), length, kind, link, _stamp(path))

    def _keep(self, path: Path, kept: Kept) -> None:
        target = self._files / kept.digest
        if not target.exists():
            self._files.mkdir(exist_ok=True)
            if path.exists():
                shutil.copyfile(path, target)
            else:
                target.touch()

    def _put(self, path: Path, digest: str, form: str, link: str) -> None:
        if link:
            path.symlink_to(link)
        elif form == _LISTED:
            path.touch()
            self.names_only.add(path)
        else:
            source = self._artifacts / parse_digest(digest).hex()
            if not source.exists():
                raise ArtifactError(f"the file {path.name} ({digest}) is not here")
            shutil.copyfile(source, path)


def needed(structure: Any) -> list[Digest]:
    """Return the digests of the files that a state's structure says the program will find."""
    found: set[str] = set()
    for section, value in _pairs(structure["tree"]):
        if section == "folders":
            for _, entries in _pairs(value):
                found.update(each[0] for _, each in _pairs(entries) if each[2] != _LISTED)
    return sorted(parse_digest(each) for each in found)


def _pairs(node: Any) -> list[Any]:
    pairs = node.get("$dict") if isinstance(node, dict) else None
    if not isinstance(pairs, list):
        raise Malformed("a state's folders are malformed")
    return pairs


def _content(kept: Kept | None) -> Any:
    return kept and (kept.digest, kept.form, kept.link)


def _link(path: Path) -> str:
    """Return the target of a symbolic link that stays among its neighbours, else nothing."""
    if not path.is_symlink():
        return ""
    target = os.readlink(path)
    if os.path.isabs(target) or ".." in Path(target).parts:
        raise StateError(f"{path.name} is a link out of its folder", hint="copy the file instead")
    return target


def _stamp(path: Path) -> Stamp:
    found = path.stat() if path.exists() else path.lstat()
    return found.st_mtime_ns, found.st_size, found.st_ino
