"""Where the folders a program names stand on this machine, and how paths inside them travel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath

from gensyn_lightning.errors import Malformed
from gensyn_lightning.training.manifest import Manifest, Place, PlaceKind, check_relative


def lay_out(manifest: Manifest, base: Path) -> dict[str, Path]:
    """Create the manifest's folders under `base` and return where each stands.

    They nest as on the submitter's machine, `cwd` is where the program expects to run, and a
    file that lay there at capture is an empty file of the same name: its name is all the program
    may see of it.
    """
    placed: dict[str, Path] = {}
    for folder in manifest.folders:
        inside = placed[folder.parent] / folder.relative if folder.parent else base / folder.name
        inside.mkdir(parents=True, exist_ok=True)
        placed[folder.name] = inside
        for entry in folder.entries:
            file = inside / entry.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return placed


class PathMap:
    """Translates absolute paths to (folder, relative path) and back."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = dict(folders)
        by_depth = sorted(folders.items(), key=lambda item: len(str(item[1])), reverse=True)
        self._prefixes = [(str(path).rstrip("/"), name) for name, path in by_depth]

    def split(self, text: str) -> tuple[str, str] | None:
        """Return the folder's name and the path in it, or None for text outside every folder."""
        if not text.startswith("/"):
            return None
        for prefix, name in self._prefixes:
            if text == prefix:
                return name, ""
            if text.startswith(prefix + "/"):
                return name, text[len(prefix) + 1 :]
        return None

    def join(self, name: str, relative: str) -> str:
        """Return the absolute path of `relative` in the folder called `name`."""
        if name not in self.folders:
            raise Malformed(f"there is no folder called {name[:40]!r}")
        prefix = str(self.folders[name]).rstrip("/")
        return f"{prefix}/{relative}" if relative else prefix or "/"

    def place(self, path: str | PurePath | None) -> Place:
        """Write a path down for a manifest."""
        if path is None:
            return Place(PlaceKind.NONE, "", "")
        found = self.split(os.fspath(path))
        if found is None:
            return Place(PlaceKind.LITERAL, "", os.fspath(path))
        return Place(PlaceKind.INSIDE, *found)

    def resolve(self, place: Place) -> str | None:
        """Return the path a place stands for on this machine."""
        if place.kind is PlaceKind.NONE:
            return None
        if place.kind is PlaceKind.LITERAL:
            return place.path
        return self.join(place.folder, check_relative(place.path))
