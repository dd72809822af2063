"""The coordinator's calls: hand each to the engine's one thread, wait where there is nothing yet.

No rule stands here: requests arrive proven and parsed (`wire.serving`), the engine decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from coordinator import limits
from coordinator.engine import Engine
from coordinator.handing_in import HandingIn
from coordinator.jobs import Jobs
from coordinator.nodes import Nodes
from coordinator.store import Entry
from gensyn_lightning.identity import Caller
from gensyn_lightning.protocol import job
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.wire import jobs as jobs_wire
from gensyn_lightning.wire import nodes as nodes_wire

Result = TypeVar("Result")
Answer = Callable[[Any, Caller], Any]


class EngineThread:
    """The one thread that uses the engine, and a bell that rings when something has changed."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do work in the engine's thread; what has begun is finished even if nobody waits."""
        return await self._loop.run_in_executor(self._pool, lambda: work(*arguments))

    def ring(self) -> None:
        """Wake everyone who waits; for any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)

    def bell(self) -> asyncio.Event:
        """Return the event that the next change sets; take it before looking."""
        return self._bell

    async def wait(self, bell: asyncio.Event, seconds: float) -> None:
        """Wait for a change, at most so long."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await bell.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Finish what has begun."""
        self._pool.shutdown(wait=True)

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()


class _Desk:
    """Answers every call by the method of the same name of one of `targets`."""

    def __init__(self, thread: EngineThread, targets: Sequence[object]) -> None:
        self._thread, self._targets = thread, targets

    def __getattr__(self, name: str) -> Answer:
        """Return the coroutine that answers a call in the engine's thread."""
        method = next(getattr(each, name) for each in self._targets if hasattr(each, name))

        async def answer(request: Any, caller: Caller) -> Any:
            return await self._thread.run(method, request, caller)

        return answer


class NodeDesk(_Desk):
    """The Nodes service."""

    def __init__(self, thread: EngineThread, nodes: Nodes, handing_in: HandingIn) -> None:
        super().__init__(thread, (nodes, handing_in))
        self._nodes, self._handing_in = nodes, handing_in
        self._examining = asyncio.Semaphore(limits.EXAMINATIONS_MAX)

    async def claim(
        self, request: nodes_wire.ClaimRequest, caller: Caller
    ) -> nodes_wire.ClaimResponse:
        """Return work or commands; wait for them as long as the node wants."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + min(request.wait_ms, limits.CLAIM_WAIT_MS_MAX) / 1000
        while True:
            bell = self._thread.bell()
            found: nodes_wire.ClaimResponse = await self._thread.run(
                self._nodes.claim, request, caller
            )
            left_s = until_s - loop.time()
            if found.work or found.commands or left_s <= 0:
                return found
            is_open = await self._thread.run(self._nodes.work_lies_open)
            again_ms = limits.CLAIM_AGAIN_MS if is_open else limits.IDLE_MS
            await self._thread.wait(bell, min(left_s, again_ms / 1000))

    async def commit(
        self, request: nodes_wire.CommitRequest, caller: Caller
    ) -> nodes_wire.CommitResponse:
        """Take a commitment; the bytes behind it are read beside the engine's thread."""
        if await self._thread.run(self._handing_in.awaits, request, caller):
            async with self._examining:
                await asyncio.to_thread(self._handing_in.examine, request)
        return await self._thread.run(self._handing_in.take, request, caller)


class JobDesk(_Desk):
    """The Jobs service."""

    def __init__(self, thread: EngineThread, jobs: Jobs) -> None:
        super().__init__(thread, (jobs,))
        self._engine = jobs.engine

    async def events(
        self, request: jobs_wire.EventsRequest, caller: Caller
    ) -> AsyncIterator[jobs_wire.EventsResponse]:
        """Stream a job's log after a cursor, and progress between its lines, for a while."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + limits.EVENTS_STREAM_MS / 1000
        cursor, shown, ended = request.cursor, b"", False
        while not ended and loop.time() < until_s:
            bell = self._thread.bell()
            entries, ended, progress = await self._thread.run(
                _look, self._engine, request.job, cursor
            )
            for each in entries:
                yield _response(each)
                cursor = each.cursor
            if progress not in {b"", shown}:
                shown = progress
                yield jobs_wire.EventsResponse(cursor, self._engine.now_ms(), "progress", progress)
            if not entries and not ended:
                left_s = until_s - loop.time()
                await self._thread.wait(bell, min(left_s, limits.PROGRESS_AGAIN_MS / 1000))


def _look(engine: Engine, name: Digest, cursor: int) -> tuple[Sequence[Entry], bool, bytes]:
    """Return the next lines of a job's log, whether it ends with them, and the progress."""
    page = engine.page(name)
    entries = engine.entries(name, cursor) if page.job.cursor > cursor else ()
    last = entries[-1].cursor if entries else cursor
    over = not job.TRANSITIONS[page.job.state] and last >= page.job.cursor
    shown = engine.progress.get(name)
    return entries, over, json_bytes(shown) if shown else b""


def _response(entry: Entry) -> jobs_wire.EventsResponse:
    return jobs_wire.EventsResponse(entry.cursor, entry.at_ms, entry.kind, entry.body.encode())
