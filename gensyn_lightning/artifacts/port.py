"""What every store of artifacts does.

An artifact is put once, under the BLAKE3 digest of its bytes, and never changes. Bytes that are
still arriving are staged per owner, so that nobody can spoil what another one sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gensyn_lightning.errors import ArtifactError, LimitExceeded
from gensyn_lightning.protocol.digest import Address, Digest

ARTIFACT_BYTES_MAX = 64 << 30
READ_BYTES_MAX = 16 << 20
NOBODY = Address(bytes(20))


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one owner may have staged, and how large an artifact and the store may grow."""

    artifact_bytes: int = ARTIFACT_BYTES_MAX
    store_bytes: int = 1 << 40
    staged_bytes: int = ARTIFACT_BYTES_MAX
    stages: int = 64

    def check(self, length: int, stored: int, staged: Sequence[int]) -> None:
        """Raise `LimitExceeded` unless one more artifact of `length` bytes may be staged.

        `stored` is what the store holds, `staged` the lengths its owner has open already.
        """
        for what, amount, most in (
            ("an artifact", length, self.artifact_bytes),
            ("the store", stored + length, self.store_bytes),
            ("what is being sent", sum(staged) + length, self.staged_bytes),
        ):
            if amount > most:
                raise LimitExceeded(f"{what} would take {amount} bytes, more than {most}")
        if len(staged) >= self.stages:
            raise LimitExceeded(f"more than {self.stages} artifacts are being sent at once")


class Stage(Protocol):
    """An artifact that is still arriving; for one writer at a time.

    It needs no closing: what was appended MUST be there when the artifact is staged again.
    """

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        ...

    def append(self, data: bytes) -> None:
        """Add bytes at `offset`; MUST raise `LimitExceeded` beyond the length that was opened."""
        ...

    def finish(self) -> None:
        """Make it an artifact; MUST drop it and raise `ArtifactError` if the digest is another."""
        ...


class Artifacts(Protocol):
    """A store of artifacts; MUST be safe to use from several threads."""

    def has(self, digest: Digest) -> bool:
        """Whether the artifact stands, whole."""
        ...

    def length(self, digest: Digest) -> int:
        """Return its length; MUST raise `NotFound` if it does not stand."""
        ...

    def put(self, data: bytes | memoryview) -> Digest:
        """Store bytes and return their digest; storing them again changes nothing."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Store a copy of a file's bytes and return their digest."""
        ...

    def stage(self, digest: Digest, length: int, owner: Address = NOBODY) -> Stage:
        """Begin to receive an artifact, or go on where `owner` stopped.

        MUST charge `length` against the quota before the first byte.
        """
        ...

    def read(self, digest: Digest, offset: int = 0, size: int | None = None) -> bytes:
        """Return bytes of an artifact, at most `READ_BYTES_MAX`; fewer where it ends."""
        ...

    def materialise(self, digest: Digest, into: Path) -> None:
        """Make the file `into` hold the artifact, shared with the store where that is possible.

        The file is read-only: whoever writes to it writes to the store.
        """
        ...

    def collect(self, before_s: float) -> int:
        """Drop stages nobody wrote to since `before_s` (seconds since 1970); return how many."""
        ...


def check_read(digest: Digest, length: int, offset: int, size: int | None) -> int:
    """Return how many bytes to read; raise `LimitExceeded` for too many."""
    wanted = max(0, length - offset) if size is None else size
    if wanted > READ_BYTES_MAX:
        raise LimitExceeded(f"{wanted} bytes in one read exceed {READ_BYTES_MAX}")
    if offset < 0 or wanted < 0:
        raise ArtifactError(f"{digest.hex()} has no bytes at {offset}")
    return wanted


def check_room(digest: Digest, end: int, length: int) -> None:
    """Raise `LimitExceeded` when more bytes arrive than were announced."""
    if end > length:
        raise LimitExceeded(f"{end} bytes sent for {digest.hex()}, announced were {length}")


def check_finished(digest: Digest, found: bytes, offset: int, length: int) -> None:
    """Raise `ArtifactError` unless all bytes arrived and are those that were named."""
    if offset != length:
        raise ArtifactError(f"{offset} of {length} bytes of {digest.hex()} arrived")
    if found != digest:
        raise ArtifactError(
            f"the bytes sent as {digest.hex()} are others", hint="send them again from the start"
        )
