"""Moves artifacts to and from the coordinator's store, and goes on where a cut left off."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blake3 import blake3

from gensyn_lightning.artifacts.port import ARTIFACT_BYTES_MAX
from gensyn_lightning.errors import ArtifactError, CoordinatorUnavailable, LimitExceeded
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.wire import transfer as wire
from gensyn_lightning.wire.channel import Channel
from gensyn_lightning.wire.rpc import STREAM_S

Source = bytes | memoryview | Path
Progress = Callable[[int, int], None]

_RESTARTS_MAX = 2
_SHORT = "the store stopped sending early"


def missing(channel: Channel, digests: Sequence[Digest]) -> list[Digest]:
    """Return those of `digests` the store lacks."""
    lacking: list[Digest] = []
    for start in range(0, len(digests), wire.DIGESTS_MAX):
        request = wire.MissingRequest(tuple(digests[start : start + wire.DIGESTS_MAX]))
        lacking.extend(channel.call(wire.MISSING, request).digests)
    return lacking


def upload(
    channel: Channel, artifacts: Mapping[Digest, Source], progress: Progress | None = None
) -> int:
    """Send what the store lacks and return how many bytes that was.

    `progress(done, total)` counts the bytes of what was lacking. Raises `ArtifactError` if a source
    is not what its digest says, `CoordinatorUnavailable` when patience is spent without progress.
    """
    wanted = {each: artifacts[each] for each in missing(channel, list(artifacts))}
    total, done = sum(_length(source) for source in wanted.values()), 0

    def report(sent: int) -> None:
        if progress is not None:
            progress(done + sent, total)

    report(0)
    for digest, source in wanted.items():
        _upload_one(channel, digest, source, report)
        done += _length(source)
        report(0)
    return total


def download(
    channel: Channel,
    digest: Digest,
    into: Path,
    progress: Progress | None = None,
    *,
    bytes_max: int = ARTIFACT_BYTES_MAX,
) -> int:
    """Fetch an artifact to the file `into`, checked, and return its length.

    What arrived before a cut waits in `<into>.part`. Raises `NotFound` if the store has no such
    artifact, `ArtifactError` if it keeps sending other bytes, `LimitExceeded` over `bytes_max`.
    """
    part = into.with_name(into.name + ".part")
    for _ in range(_RESTARTS_MAX):
        length, found = _fetch_file(channel, digest, part, progress, bytes_max)
        if found == digest:
            part.replace(into)
            return length
        part.unlink()
    raise _other_bytes(digest)


def read(channel: Channel, digest: Digest, *, bytes_max: int) -> bytes:
    """Fetch a small artifact into memory, checked; the same errors as `download`."""
    data = bytearray()
    _fetch(channel, digest, 0, lambda _, chunk: data.extend(chunk), bytes_max)
    if blake3(data).digest() != digest:
        raise _other_bytes(digest)
    return bytes(data)


def _upload_one(
    channel: Channel, digest: Digest, source: Source, report: Callable[[int], None]
) -> None:
    length, retry, furthest, refused = _length(source), channel.retry(), 0, 0
    while not (stand := channel.call(wire.OPEN, wire.OpenRequest(digest, length))).complete:
        if stand.offset > furthest:
            furthest = stand.offset
            retry.reset()
        report(stand.offset)
        header = wire.PutRequest(header=wire.PutHeader(digest, length, stand.offset))
        try:
            with _reader(source) as read_at:
                pieces = _pieces(read_at, stand.offset, length, report)
                stands = channel.send(wire.PUT, header, pieces, timeout_s=STREAM_S).complete
        except CoordinatorUnavailable as error:
            retry.after(error)
            continue
        except ArtifactError:
            refused += 1
            if refused >= _RESTARTS_MAX:
                raise
        else:
            if stands:
                return
            retry.after(CoordinatorUnavailable("the store does not take an artifact"))


def _pieces(
    read_at: Callable[[int, int], bytes],
    offset: int,
    length: int,
    report: Callable[[int], None],
) -> Iterator[wire.PutRequest]:
    while offset < length:
        data = read_at(min(wire.CHUNK_BYTES_MAX, length - offset), offset)
        if not data:
            return
        yield wire.PutRequest(chunk=wire.Chunk(offset, data))
        offset += len(data)
        report(offset)


def _fetch_file(
    channel: Channel, digest: Digest, part: Path, progress: Progress | None, bytes_max: int
) -> tuple[int, bytes]:
    hasher = blake3()
    if part.exists() and part.stat().st_size:
        hasher.update_mmap(part)
    with part.open("ab") as file:

        def take(length: int, data: bytes) -> None:
            file.write(data)
            hasher.update(data)
            if progress is not None:
                progress(file.tell(), length)

        length = _fetch(channel, digest, file.tell(), take, bytes_max)
        file.flush()
        os.fsync(file.fileno())
    return length, hasher.digest()


def _fetch(
    channel: Channel,
    digest: Digest,
    offset: int,
    take: Callable[[int, bytes], Any],
    bytes_max: int,
) -> int:
    """Give `take` every byte from `offset` on, whatever is cut; return the artifact's length."""
    retry, length = channel.retry(), -1
    while length < 0 or offset < length:
        start, error = offset, CoordinatorUnavailable(_SHORT)
        try:
            for length, data in _chunks(channel, digest, start, bytes_max):
                take(length, data)
                offset += len(data)
        except CoordinatorUnavailable as broken:
            error = broken
        if offset > start:
            retry.reset()
        if length < 0 or offset < length:
            retry.after(error)
    return length


def _chunks(
    channel: Channel, digest: Digest, offset: int, bytes_max: int
) -> Iterator[tuple[int, bytes]]:
    request = wire.ArtifactsGetRequest(digest, offset)
    for answer in channel.receive(wire.GET, request, timeout_s=STREAM_S):
        data = answer.chunk.data
        if answer.length > bytes_max:
            raise LimitExceeded(f"an artifact of {answer.length} bytes exceeds {bytes_max}")
        if answer.chunk.offset != offset or (data and offset + len(data) > answer.length):
            raise ArtifactError("the store sent a piece that was not asked for")
        offset += len(data)
        yield answer.length, data


def _other_bytes(digest: Digest) -> ArtifactError:
    return ArtifactError(
        f"the store sent other bytes for {digest.hex()}", hint="start again, or ask another store"
    )


def _length(source: Source) -> int:
    if isinstance(source, Path):
        return source.stat().st_size
    return source.nbytes if isinstance(source, memoryview) else len(source)


@contextmanager
def _reader(source: Source) -> Iterator[Callable[[int, int], bytes]]:
    """Give a function that reads `size` bytes at `offset`, without loading the whole source."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield lambda size, offset: os.pread(file.fileno(), size, offset)
    else:
        view = memoryview(source).cast("B")
        yield lambda size, offset: bytes(view[offset : offset + size])
