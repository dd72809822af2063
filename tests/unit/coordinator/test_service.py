"""Waiting: for work, for the next line of a log; and the one thread everything happens in."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coordinator import limits
from coordinator.service import EngineThread, JobDesk, NodeDesk
from gensyn_lightning.errors import NotFound
from gensyn_lightning.protocol.digest import keccak
from gensyn_lightning.wire import jobs as jobs_wire
from gensyn_lightning.wire import nodes as wire


async def take(stream: AsyncIterator[Any], count: int) -> list[Any]:
    found = []
    async for each in stream:
        found.append(each)
        if len(found) == count:
            break
    return found


def test_a_waiting_node_gets_work_the_moment_there_is_some(simulated: Any) -> None:
    world = simulated.World(5)
    node = simulated.Node(world, "solver-1")

    async def play() -> wire.ClaimResponse:
        thread = EngineThread()
        world.engine.wake = thread.ring
        desk = NodeDesk(thread, world.nodes, world.handing_in)
        waiting = asyncio.create_task(desk.claim(wire.ClaimRequest(20_000, ()), node.caller))
        await asyncio.sleep(0)
        assert not waiting.done()
        await thread.run(world.submit)
        await thread.run(world.errands)
        found = await asyncio.wait_for(waiting, 5)
        thread.close()
        return found

    answer = asyncio.run(play())
    assert answer.work is not None
    assert answer.work.task.index == 0


def test_a_node_that_does_not_want_to_wait_does_not(simulated: Any) -> None:
    world = simulated.World(5)
    node = simulated.Node(world, "solver-1")

    async def play() -> wire.ClaimResponse:
        thread = EngineThread()
        desk = NodeDesk(thread, world.nodes, world.handing_in)
        found = await asyncio.wait_for(desk.claim(wire.ClaimRequest(0, ()), node.caller), 5)
        thread.close()
        return found

    assert asyncio.run(play()) == wire.ClaimResponse(None, ())


def test_a_log_is_streamed_from_a_cursor_to_the_end_of_the_job(world: Any) -> None:
    world.run()

    async def play(cursor: int) -> list[jobs_wire.EventsResponse]:
        thread = EngineThread()
        desk = JobDesk(thread, world.jobs)
        request = jobs_wire.EventsRequest(world.job, cursor)
        found = [each async for each in desk.events(request, world.caller)]
        thread.close()
        return found

    whole = asyncio.run(play(0))
    assert [each.cursor for each in whole] == list(range(1, world.page.job.cursor + 1))
    assert [each.kind for each in whole] == world.kinds()
    assert asyncio.run(play(7)) == whole[7:]
    assert asyncio.run(play(10**6)) == []


def test_new_lines_and_progress_arrive_while_waiting(world: Any) -> None:
    async def play() -> list[jobs_wire.EventsResponse]:
        thread = EngineThread()
        world.engine.wake = thread.ring
        desk = JobDesk(thread, world.jobs)
        cursor = world.page.job.cursor
        stream = desk.events(jobs_wire.EventsRequest(world.job, cursor), world.caller)
        first = asyncio.create_task(take(stream, 2))
        await asyncio.sleep(0)

        def work() -> None:
            solver = next(
                each
                for each in world.actors
                if world.nodes.claim(wire.ClaimRequest(0, ()), each.caller).work
            )
            leased = next(iter(world.page.held_by(solver.address)))
            name = world.engine.page(world.job)
            found = wire.HeartbeatRequest(
                _work_id(name.job.id, leased.fence), leased.fence, 4, b'{"batch":"4"}'
            )
            world.nodes.heartbeat(found, solver.caller)

        await thread.run(work)
        found = await asyncio.wait_for(first, 5)
        thread.close()
        return found

    line, progress = asyncio.run(play())
    assert line.kind == "leased"
    assert progress.kind == "progress"
    assert progress.cursor == line.cursor
    assert json.loads(progress.body)["solve"]["said"] == {"batch": "4"}


def test_a_quiet_stream_ends_by_itself(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENTS_STREAM_MS", 50)

    async def play() -> int:
        thread = EngineThread()
        desk = JobDesk(thread, world.jobs)
        request = jobs_wire.EventsRequest(world.job, world.page.job.cursor)
        count = len([each async for each in desk.events(request, world.caller)])
        thread.close()
        return count

    assert asyncio.run(play()) == 0


def test_an_error_of_ours_reaches_the_caller(world: Any) -> None:
    async def play() -> None:
        thread = EngineThread()
        desk = JobDesk(thread, world.jobs)
        try:
            await desk.get(jobs_wire.JobsGetRequest(keccak(b"x")), world.caller)
        finally:
            thread.close()

    with pytest.raises(NotFound):
        asyncio.run(play())


def test_everything_runs_in_one_thread() -> None:
    async def play() -> set[int]:
        thread = EngineThread()
        found = await asyncio.gather(*(thread.run(threading.get_ident) for _ in range(20)))
        thread.close()
        return set(found)

    threads = asyncio.run(play())
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def _work_id(job: Any, fence: int) -> Any:
    from coordinator.rows import work_id

    return work_id(job, fence)
