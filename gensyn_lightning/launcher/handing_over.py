"""How a program's artifacts get to the network: by file where both share a disk, else sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.artifacts import FolderArtifacts
from gensyn_lightning.artifacts.transfer import Progress, Source
from gensyn_lightning.client import Client
from gensyn_lightning.protocol.digest import Digest


@dataclass(frozen=True, slots=True)
class HandingOver:
    """The artifacts of one program, `folder` where they lie by digest once they were laid out.

    `store` is the network's, if it lies on this disk.
    """

    client: Client
    store: FolderArtifacts | None
    artifacts: Mapping[Digest, Source]
    folder: Path

    def have(self, digest: Digest, path: Path) -> bool:
        """Put an artifact at `path` if the network has it on this disk; return whether it has."""
        if self.store is None or not self.store.has(digest):
            return False
        self.store.materialise(digest, path)
        return True

    def send(self, progress: Progress | None = None) -> int:
        """Make the network hold every artifact and return how many bytes went over the wire.

        What shares a disk with the network is handed over without copying it, once it is checked.
        """
        if self.store is not None:
            self._share(self.store, progress)
        return self.client.upload(self.artifacts, progress)

    def _share(self, store: FolderArtifacts, progress: Progress | None) -> None:
        files = {each: self.folder / each.hex() for each in self.artifacts if not store.has(each)}
        total, done = sum(each.stat().st_size for each in files.values()), 0

        def passed(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, total)

        for digest, path in files.items():
            store.adopt(digest, path, passed)
