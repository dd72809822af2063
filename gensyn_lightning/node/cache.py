"""A node's own copies of artifacts: fetched once, named by digest, the oldest dropped when full."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from gensyn_lightning.artifacts import FolderArtifacts
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training.hashing import digest_of_open

Fetch = Callable[[Digest, Path], object]

BYTES_MAX = 8 << 30


class Cache:
    """Files named by the hex digest of their bytes, in one folder; for one thread at a time."""

    def __init__(self, folder: Path, fetch: Fetch, bytes_max: int = BYTES_MAX) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._fetch, self._bytes_max = folder, fetch, bytes_max

    def get(self, digest: Digest) -> Path:
        """Return the file of an artifact, fetched and checked if it is not here yet."""
        path = self._folder / digest.hex()
        if path.exists():
            os.utime(path)
        else:
            self._fetch(digest, path)
            path.chmod(0o444)
        return path

    def lay_out(self, digests: Iterable[Digest], folder: Path) -> None:
        """Make `folder` hold the artifacts under their names; they share bytes with the cache."""
        folder.mkdir(mode=0o700, exist_ok=True)
        for digest in digests:
            link(self.get(digest), folder / digest.hex())

    def adopt(self, path: Path) -> Digest:
        """Take in a file made here, without copying it, and return its digest."""
        digest = digest_of_file(path)
        kept = self._folder / digest.hex()
        if not kept.exists():
            os.link(path, kept)
        return digest

    def shrink(self) -> None:
        """Drop the artifacts unused for longest until the rest fit; files in use stay linked."""
        found = [(entry.stat(), entry.path) for entry in os.scandir(self._folder)]
        total = sum(stat.st_size for stat, _ in found)
        for stat, path in sorted(found, key=lambda each: each[0].st_mtime_ns):
            if total <= self._bytes_max:
                return
            os.unlink(path)
            total -= stat.st_size


def sharing(store: Path, fetch: Fetch) -> Fetch:
    """Return a way to fetch that takes what `store` has by file, checked, and the rest by `fetch`.

    `store` is a folder of artifacts on this disk that belongs to this node's own user.
    """
    shelf = FolderArtifacts(store)

    def share(digest: Digest, into: Path) -> None:
        if shelf.has(digest):
            shelf.materialise(digest, into)
            if digest_of_file(into) == digest:
                return
            into.unlink()
        fetch(digest, into)

    return share


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`."""
    if not target.exists():
        os.link(source, target)


def digest_of_file(path: Path) -> Digest:
    """Return the digest that names a file's bytes as an artifact."""
    with path.open("rb", buffering=0) as file:
        return digest_of_open(file)
