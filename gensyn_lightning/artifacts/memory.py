"""A store in memory, for tests and simulations."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from gensyn_lightning.artifacts.port import NOBODY, Quota, check_finished, check_read, check_room
from gensyn_lightning.errors import NotFound
from gensyn_lightning.protocol.digest import Address, Digest, digest_of


class MemoryArtifacts:
    """Keeps every artifact as bytes."""

    def __init__(self, quota: Quota | None = None) -> None:
        self._quota = quota or Quota()
        self._artifacts: dict[Digest, bytes] = {}
        self._stages: dict[tuple[Address, Digest], MemoryStage] = {}
        self._lock = threading.RLock()

    def has(self, digest: Digest) -> bool:
        """Whether the artifact stands."""
        return digest in self._artifacts

    def length(self, digest: Digest) -> int:
        """Return its length; raise `NotFound` if it does not stand."""
        return len(self._get(digest))

    def put(self, data: bytes | memoryview) -> Digest:
        """Store bytes and return their digest."""
        digest = digest_of(data)
        if not self.has(digest):
            self._stand(digest, bytes(data))
        return digest

    def put_file(self, path: Path) -> Digest:
        """Store a copy of a file's bytes and return their digest."""
        return self.put(path.read_bytes())

    def stage(self, digest: Digest, length: int, owner: Address = NOBODY) -> MemoryStage:
        """Begin to receive an artifact, or go on where `owner` stopped."""
        with self._lock:
            key = (owner, digest)
            known = self._stages.get(key)
            if known is None or known.length != length:
                self._stages.pop(key, None)
                mine = [each.length for (whose, _), each in self._stages.items() if whose == owner]
                self._quota.check(length, self._stored(), mine)
                known = self._stages[key] = MemoryStage(self, owner, digest, length)
            return known

    def read(self, digest: Digest, offset: int = 0, size: int | None = None) -> bytes:
        """Return bytes of an artifact."""
        data = self._get(digest)
        return data[offset : offset + check_read(digest, len(data), offset, size)]

    def materialise(self, digest: Digest, into: Path) -> None:
        """Write the artifact to the file `into`."""
        into.unlink(missing_ok=True)
        into.write_bytes(self._get(digest))
        into.chmod(0o444)

    def collect(self, before_s: float) -> int:
        """Drop stages nobody wrote to since `before_s`."""
        with self._lock:
            stale = [key for key, each in self._stages.items() if each.written_s < before_s]
            for key in stale:
                del self._stages[key]
            return len(stale)

    def _get(self, digest: Digest) -> bytes:
        data = self._artifacts.get(digest)
        if data is None:
            raise NotFound(f"no artifact {digest.hex()}")
        return data

    def _stored(self) -> int:
        return sum(map(len, self._artifacts.values()))

    def _stand(self, digest: Digest, data: bytes) -> None:
        with self._lock:
            self._quota.check(len(data), self._stored(), ())
            self._artifacts[digest] = data

    def _forget(self, stage: MemoryStage) -> None:
        with self._lock:
            self._stages.pop((stage.owner, stage.digest), None)


class MemoryStage:
    """An artifact that is still arriving."""

    def __init__(self, store: MemoryArtifacts, owner: Address, digest: Digest, length: int) -> None:
        self.owner, self.digest, self.length = owner, digest, length
        self.written_s = time.time()
        self._store, self._data = store, bytearray()

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return len(self._data)

    def append(self, data: bytes) -> None:
        """Add bytes; raise `LimitExceeded` beyond the length that was opened."""
        check_room(self.digest, self.offset + len(data), self.length)
        self._data += data
        self.written_s = time.time()

    def finish(self) -> None:
        """Make it an artifact; drop it and raise `ArtifactError` if the digest is another."""
        self._store._forget(self)
        check_finished(self.digest, digest_of(bytes(self._data)), self.offset, self.length)
        self._store._stand(self.digest, bytes(self._data))
