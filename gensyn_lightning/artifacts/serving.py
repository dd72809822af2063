"""The Artifacts service over any store: what a coordinator answers about artifacts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from gensyn_lightning.artifacts.port import Artifacts
from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.identity import Account, Caller, sign_record
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.commitment import StoreReceipt
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.wire import transfer as wire

P = ParamSpec("P")
Result = TypeVar("Result")

DISK_CALLS_MAX = 4


@dataclass(slots=True)
class _Turn:
    """One account's sending of one artifact; who came last holds the stage."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holder: object = None
    users: int = 0


class ArtifactService:
    """Answers the Artifacts calls; `account` signs that the store holds what it holds."""

    def __init__(self, store: Artifacts, account: Account, domain: Domain) -> None:
        self._store, self._account, self._domain = store, account, domain
        self._turns: dict[tuple[Address, Digest], _Turn] = {}
        self._disk = asyncio.Semaphore(DISK_CALLS_MAX)

    async def missing(self, request: wire.MissingRequest, caller: Caller) -> wire.MissingResponse:
        """Say which of the named artifacts the store lacks."""

        def lacking() -> tuple[Digest, ...]:
            return tuple(each for each in request.digests if not self._store.has(each))

        return wire.MissingResponse(await self._run(lacking))

    async def open(self, request: wire.OpenRequest, caller: Caller) -> wire.OpenResponse:
        """Say from which byte on the store wants an artifact."""

        def stand() -> wire.OpenResponse:
            if self._store.has(request.digest):
                return wire.OpenResponse(self._store.length(request.digest), True)
            stage = self._store.stage(request.digest, request.length, caller.account)
            return wire.OpenResponse(stage.offset, False)

        return await self._run(stand)

    async def put(
        self, requests: AsyncIterator[wire.PutRequest], caller: Caller
    ) -> wire.PutResponse:
        """Take an artifact from where the store stands; a later sender of the same account wins."""
        header = _header(await anext(requests))
        if await self._run(self._store.has, header.digest):
            return wire.PutResponse(header.length, True)
        key = (caller.account, header.digest)
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            return await self._take(requests, header, turn, caller.account)
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]

    async def get(
        self, request: wire.ArtifactsGetRequest, caller: Caller
    ) -> AsyncIterator[wire.ArtifactsGetResponse]:
        """Send an artifact from an offset; at or past its end, only its length."""
        offset, length = request.offset, await self._run(self._store.length, request.digest)
        if offset >= length:
            yield wire.ArtifactsGetResponse(length, wire.Chunk(offset, b""))
        while offset < length:
            data = await self._run(self._store.read, request.digest, offset, wire.CHUNK_BYTES_MAX)
            yield wire.ArtifactsGetResponse(length, wire.Chunk(offset, data))
            offset += len(data)

    async def store_receipt(
        self, request: wire.StoreReceiptRequest, caller: Caller
    ) -> wire.StoreReceiptResponse:
        """Sign that the store holds the named artifacts; raise `NotFound` if it lacks one."""

        def length() -> int:
            return sum(self._store.length(each) for each in request.digests)

        holder = self._account.address
        receipt = StoreReceipt(request.digests, await self._run(length), holder)
        return wire.StoreReceiptResponse(receipt, sign_record(receipt, self._domain, self._account))

    async def _take(
        self,
        requests: AsyncIterator[wire.PutRequest],
        header: wire.PutHeader,
        turn: _Turn,
        owner: Address,
    ) -> wire.PutResponse:
        me = object()
        async with turn.lock:
            turn.holder = me
            stage = await self._run(self._store.stage, header.digest, header.length, owner)
            arrived = stage.offset
        if arrived != header.offset:
            return wire.PutResponse(arrived, False)
        async for each in requests:
            async with turn.lock:
                if turn.holder is not me:
                    return wire.PutResponse(arrived, False)
                await self._run(stage.append, _chunk(each, arrived).data)
                arrived = stage.offset
        async with turn.lock:
            if turn.holder is not me or arrived < header.length:
                return wire.PutResponse(arrived, False)
            await self._run(stage.finish)
        return wire.PutResponse(header.length, True)

    async def _run(self, work: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Do disk work in a thread; a cancelled caller waits for what has begun."""
        async with self._disk:
            task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait([task])
                raise


def _header(request: wire.PutRequest) -> wire.PutHeader:
    if request.header is None or request.chunk is not None:
        raise Malformed("what is put begins with a header alone")
    return request.header


def _chunk(request: wire.PutRequest, offset: int) -> wire.Chunk:
    chunk = request.chunk
    if chunk is None or request.header is not None:
        raise Malformed("after the header come chunks")
    if len(chunk.data) > wire.CHUNK_BYTES_MAX:
        raise LimitExceeded(f"a chunk holds at most {wire.CHUNK_BYTES_MAX} bytes")
    if chunk.offset != offset:
        raise Malformed(f"the chunk at {chunk.offset} does not follow {offset} bytes")
    return chunk
