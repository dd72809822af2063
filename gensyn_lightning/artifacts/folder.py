"""A store in a folder: `objects/` holds artifacts by digest, `stages/` what still arrives.

An artifact appears by renaming a complete, checked and synced file, so that a reader or a crash
never sees half of one. Several processes may use one folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from gensyn_lightning.artifacts.port import NOBODY, Quota, check_finished, check_read, check_room
from gensyn_lightning.errors import ArtifactError, NotFound
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.training.hashing import Passed, digest_of_open, unheard

COPY_BYTES = 1 << 20


class FolderArtifacts:
    """Keeps every artifact as a read-only file."""

    def __init__(self, folder: Path, quota: Quota | None = None) -> None:
        self.objects, self._stages = folder / "objects", folder / "stages"
        for each in (folder, self.objects, self._stages):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._quota = quota or Quota()
        self._lock = threading.Lock()
        self._stored = sum(each.stat().st_size for each in self.objects.iterdir())

    def path(self, digest: Digest) -> Path:
        """Return where the artifact is, or would be."""
        return self.objects / digest.hex()

    def has(self, digest: Digest) -> bool:
        """Whether the artifact stands."""
        return self.path(digest).exists()

    def length(self, digest: Digest) -> int:
        """Return its length; raise `NotFound` if it does not stand."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise _not_found(digest) from None

    def put(self, data: bytes | memoryview) -> Digest:
        """Store bytes and return their digest."""
        digest = Digest(blake3(data).digest())
        if not self.has(digest):
            view = memoryview(data).cast("B")
            self._check(view.nbytes, NOBODY)
            with self._fresh() as file:
                file.write(view)
                self.stand(digest, file)
        return digest

    def put_file(self, path: Path) -> Digest:
        """Store a copy of a file's bytes and return their digest."""
        self._check(path.stat().st_size, NOBODY)
        hasher = blake3()
        with path.open("rb") as source, self._fresh() as file:
            while data := source.read(COPY_BYTES):
                hasher.update(data)
                file.write(data)
            digest = Digest(hasher.digest())
            self.stand(digest, file)
        return digest

    def adopt(self, digest: Digest, path: Path, passed: Passed = unheard) -> None:
        """Take in a file without copying it, once its bytes are those that were named.

        The file shares its bytes with the store from then on, and is read-only. On another file
        system it is copied. `passed` is told of every run of bytes that was checked.
        """
        if self.has(digest):
            return
        self._check(path.stat().st_size, NOBODY)
        staged = self._stages / secrets.token_hex(16)
        try:
            _share(path, staged)
            with staged.open("rb", buffering=0) as file:
                found = digest_of_open(file, passed)
                check_finished(digest, found, file.tell(), file.tell())
                self.stand(digest, file)
        except OSError as error:
            raise _cannot_write(error) from None
        finally:
            staged.unlink(missing_ok=True)

    def stage(self, digest: Digest, length: int, owner: Address = NOBODY) -> FolderStage:
        """Begin to receive an artifact, or go on where `owner` stopped."""
        folder = self._stages / owner.hex()
        path = folder / f"{digest.hex()}.{length}"
        with self._lock:
            if not path.exists():
                self._check(length, owner)
                folder.mkdir(mode=0o700, exist_ok=True)
                path.touch(mode=0o600)
        return FolderStage(self, digest, length, path)

    def read(self, digest: Digest, offset: int = 0, size: int | None = None) -> bytes:
        """Return bytes of an artifact."""
        size = check_read(digest, self.length(digest), offset, size)
        with self.path(digest).open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    def materialise(self, digest: Digest, into: Path) -> None:
        """Make the file `into` a hard link to the artifact, or a copy on another file system."""
        self.length(digest)
        fresh = into.with_name(f".{into.name}.{secrets.token_hex(4)}")
        if not _share(self.path(digest), fresh):
            fresh.chmod(0o444)
        fresh.replace(into)
        fresh.unlink(missing_ok=True)  # renaming a file onto a link to itself leaves both

    def collect(self, before_s: float) -> int:
        """Drop stages nobody wrote to since `before_s`."""
        with self._lock:
            stale = [
                each
                for each in self._stages.rglob("*")
                if each.is_file() and each.stat().st_mtime < before_s
            ]
            for each in stale:
                each.unlink(missing_ok=True)
            return len(stale)

    def stand(self, digest: Digest, file: BinaryIO) -> None:
        """Sync a checked file and give it its name."""
        file.flush()
        os.fchmod(file.fileno(), 0o444)
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
        if not self.has(digest):
            with self._lock:
                self._stored += size
        Path(file.name).replace(self.path(digest))
        parent = os.open(self.objects, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def _check(self, length: int, owner: Address) -> None:
        mine = (self._stages / owner.hex()).glob("*.*")
        self._quota.check(length, self._stored, [int(each.suffix[1:]) for each in mine])

    @contextmanager
    def _fresh(self) -> Iterator[BinaryIO]:
        """Give a new file to write to, gone afterwards unless it got its name."""
        staged = self._stages / secrets.token_hex(16)
        try:
            with staged.open("xb") as file:
                yield file
        except OSError as error:
            raise _cannot_write(error) from None
        finally:
            staged.unlink(missing_ok=True)


class FolderStage:
    """An artifact that is still arriving, as a file that grows."""

    def __init__(self, store: FolderArtifacts, digest: Digest, length: int, path: Path) -> None:
        self.digest, self.length = digest, length
        self._store, self._path = store, path
        self._offset = path.stat().st_size
        self._hasher: blake3 | None = None

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self._offset

    def append(self, data: bytes) -> None:
        """Add bytes; raise `LimitExceeded` beyond the length that was opened."""
        check_room(self.digest, self._offset + len(data), self.length)
        self._hash().update(data)
        try:
            with self._path.open("ab") as file:
                same = file.tell() == self._offset
                file.write(data if same else b"")
        except OSError as error:
            self._hasher, self._offset = None, self._path.stat().st_size
            raise _cannot_write(error) from None
        if not same:
            raise ArtifactError("someone else writes to the same stage", hint="open it again")
        self._offset += len(data)

    def finish(self) -> None:
        """Make it an artifact; drop it and raise `ArtifactError` if the digest is another."""
        try:
            check_finished(self.digest, self._hash().digest(), self._offset, self.length)
            with self._path.open("rb") as file:
                self._store.stand(self.digest, file)
        finally:
            self._path.unlink(missing_ok=True)

    def _hash(self) -> blake3:
        """Return the hasher, which first takes in what arrived before."""
        if self._hasher is None:
            self._hasher = blake3()
            if self._offset:
                self._hasher.update_mmap(self._path)
        return self._hasher


def _share(source: Path, target: Path) -> bool:
    """Make `target` the same file as `source`, or a copy where that cannot be; say which."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        return False
    return True


def _cannot_write(error: OSError) -> ArtifactError:
    return ArtifactError(f"the store cannot write: {error.strerror}", hint="make room on its disk")


def _not_found(digest: Digest) -> NotFound:
    return NotFound(f"no artifact {digest.hex()}", hint="upload it first")
