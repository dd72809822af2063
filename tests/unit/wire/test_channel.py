import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gensyn_lightning.errors import (
    CoordinatorUnavailable,
    GensynError,
    LeaseLost,
    Malformed,
    Unauthenticated,
)
from gensyn_lightning.identity import Account, Identity
from gensyn_lightning.identity.request import NO_EPOCH
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.wire import nodes
from gensyn_lightning.wire.channel import Channel, Retry
from gensyn_lightning.wire.rpc import Rpc

BEAT = nodes.HeartbeatRequest(Digest(b"w" * 32), 1, 2, b"{}")
ONE_RPC = (nodes.HEARTBEAT,)


class Counting:
    """Answers heartbeats with how many came."""

    def __init__(self) -> None:
        self.count = 0
        self.refusals: list[Exception] = []

    async def heartbeat(self, request: Any, caller: Any) -> nodes.HeartbeatResponse:
        self.count += 1
        if self.refusals:
            raise self.refusals.pop()
        return nodes.HeartbeatResponse(self.count, ())


@pytest.fixture
def counting(served: Any) -> Counting:
    made = Counting()
    served.start((ONE_RPC, made))
    return made


@pytest.fixture
def channel(served: Any, counting: Counting, domain: Domain) -> Iterator[Channel]:
    made = Channel(served.address, Identity(Account.generate(), domain), patience_s=20)
    yield made
    made.close()


def beat(channel: Channel) -> int:
    return channel.call(nodes.HEARTBEAT, BEAT).lease_until_ms


def test_a_call_is_answered(channel: Channel) -> None:
    assert [beat(channel), beat(channel)] == [1, 2]


def test_calls_survive_a_restart(channel: Channel, served: Any) -> None:
    assert beat(channel) == 1
    served.restart()
    assert beat(channel) == 2


def test_a_call_waits_for_a_server_that_is_away(channel: Channel, served: Any) -> None:
    beat(channel)
    served.stop()
    back = threading.Timer(0.3, served.start)
    back.start()

    assert beat(channel) == 2
    back.join()


def test_many_threads_share_a_channel_through_a_restart(channel: Channel, served: Any) -> None:
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(beat(channel) for _ in range(20)))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    served.restart()
    for each in threads:
        each.join(60)

    assert len(seen) == 160


def test_a_busy_server_is_asked_again(channel: Channel, counting: Counting) -> None:
    counting.refusals = [CoordinatorUnavailable("busy")] * 3

    assert beat(channel) == 4


@pytest.mark.parametrize("error", [LeaseLost("gone"), Malformed("odd"), Unauthenticated("no")])
def test_a_refusal_is_final(error: Exception, channel: Channel, counting: Counting) -> None:
    beat(channel)
    counting.refusals = [error]

    with pytest.raises(type(error)):
        beat(channel)

    assert counting.count == 2


def test_a_stranger_is_refused_however_often_the_server_restarts(
    served: Any, counting: Counting
) -> None:
    foreign = Domain(1, Address(bytes(20)))
    channel = Channel(served.address, Identity(Account.generate(), foreign), patience_s=20)

    with pytest.raises(Unauthenticated):
        beat(channel)
    channel.close()

    assert counting.count == 0


def test_patience_is_spent_where_nobody_answers(domain: Domain) -> None:
    channel = Channel("127.0.0.1:1", Identity(Account.generate(), domain), patience_s=0.3)
    started = time.monotonic()

    with pytest.raises(CoordinatorUnavailable):
        beat(channel)
    channel.close()

    assert time.monotonic() - started < 20


def test_closing_ends_a_call_that_waits(domain: Domain) -> None:
    channel = Channel("127.0.0.1:1", Identity(Account.generate(), domain), patience_s=600)
    closing = threading.Timer(0.2, channel.close)
    closing.start()

    with pytest.raises(CoordinatorUnavailable):
        beat(channel)
    with pytest.raises(CoordinatorUnavailable, match="closed"):
        beat(channel)
    closing.join()


def test_a_stream_is_not_repeated(channel: Channel, served: Any) -> None:
    streaming = Rpc(
        "Nodes", "Heartbeat", nodes.HeartbeatRequest, nodes.HeartbeatResponse, False, True
    )
    with pytest.raises(CoordinatorUnavailable, match="has just started"):
        list(channel.receive(streaming, BEAT, timeout_s=20))

    assert [each.lease_until_ms for each in channel.receive(streaming, BEAT, timeout_s=20)] == [1]


def test_a_server_that_changes_its_epoch_for_ever_wears_patience_out(
    channel: Channel, counting: Counting
) -> None:
    class Restless(type(channel)):  # type: ignore[misc]
        def _sign(self, rpc: Any, body: bytes, epoch: Any) -> Any:
            return super()._sign(rpc, body, NO_EPOCH)

    restless = Restless(channel.address, channel.identity, patience_s=0.2)

    with pytest.raises((CoordinatorUnavailable, Unauthenticated)):
        beat(restless)
    restless.close()


def test_pauses_grow_and_progress_shortens_them() -> None:
    noticed: list[GensynError] = []
    retry = Retry(600, threading.Event(), noticed.append)
    pauses = []
    for _ in range(12):
        pauses.append(retry._pause_s())
        retry._tried += 1

    assert pauses[0] == 0
    assert 0.05 <= pauses[1] <= 0.1
    assert all(0.5 <= each <= 1.0 for each in pauses[8:])
    retry.reset()
    assert retry._pause_s() == 0
    failure = CoordinatorUnavailable("nobody answers")
    retry.after(failure)
    assert noticed == [failure]
