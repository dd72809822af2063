import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.artifacts import FolderArtifacts, MemoryArtifacts
from gensyn_lightning.artifacts.serving import ArtifactService
from gensyn_lightning.errors import Malformed, NotFound
from gensyn_lightning.identity import Account, Identity, recover
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.wire import transfer as wire
from gensyn_lightning.wire.channel import Channel

DATA = os.urandom(1000)
NAME = digest_of(DATA)
HOLDER = Account.generate()


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FolderArtifacts(tmp_path) if request.param == "folder" else MemoryArtifacts()


@pytest.fixture
def channel(served: Any, store: Any, domain: Domain) -> Iterator[Channel]:
    address = served.start((wire.RPCS, ArtifactService(store, HOLDER, domain)))
    made = Channel(address, Identity(Account.generate(), domain), patience_s=10)
    made.call(wire.MISSING, wire.MissingRequest(()))
    yield made
    made.close()


def put(channel: Channel, first: Any, *rest: Any) -> wire.PutResponse:
    return channel.send(wire.PUT, first, iter(rest), timeout_s=20)


def header(offset: int = 0, length: int = len(DATA)) -> wire.PutRequest:
    return wire.PutRequest(header=wire.PutHeader(NAME, length, offset))


def chunk(offset: int, data: bytes) -> wire.PutRequest:
    return wire.PutRequest(chunk=wire.Chunk(offset, data))


def test_a_put_that_does_not_start_where_the_store_stands_changes_nothing(
    channel: Channel,
) -> None:
    assert put(channel, header(5), chunk(5, b"x")) == wire.PutResponse(0, False)
    assert put(channel, header(), chunk(0, DATA[:10])) == wire.PutResponse(10, False)
    assert channel.call(wire.OPEN, wire.OpenRequest(NAME, 1000)) == wire.OpenResponse(10, False)
    assert put(channel, header(10), chunk(10, DATA[10:])) == wire.PutResponse(1000, True)
    assert put(channel, header()) == wire.PutResponse(1000, True)


@pytest.mark.parametrize(
    "requests",
    [
        [chunk(0, b"x")],
        [wire.PutRequest()],
        [wire.PutRequest(header().header, chunk(0, b"x").chunk)],
        [header(), header()],
        [header(), wire.PutRequest()],
        [header(), chunk(1, b"x")],
    ],
    ids=["chunk first", "nothing", "both", "two headers", "nothing later", "a gap"],
)
def test_a_put_out_of_shape_is_malformed(requests: list[Any], channel: Channel) -> None:
    with pytest.raises(Malformed):
        put(channel, *requests)


def test_a_chunk_over_its_bound_is_refused(channel: Channel) -> None:
    large = chunk(0, bytes(wire.CHUNK_BYTES_MAX + 1))

    with pytest.raises(Exception, match="at most 1048576 bytes"):
        put(channel, header(0, 1 << 24), large)


def test_who_sends_later_has_the_stage(channel: Channel, store: Any) -> None:
    started, go_on = threading.Event(), threading.Event()
    answers: list[wire.PutResponse] = []

    def slow() -> Iterator[wire.PutRequest]:
        yield chunk(0, DATA[:10])
        started.set()
        go_on.wait(20)
        yield chunk(10, bytes(20))

    thread = threading.Thread(
        target=lambda: answers.append(channel.send(wire.PUT, header(), slow(), timeout_s=20))
    )
    thread.start()
    started.wait(20)
    _until(lambda: channel.call(wire.OPEN, wire.OpenRequest(NAME, 1000)).offset == 10)

    assert put(channel, header(10), chunk(10, DATA[10:20])) == wire.PutResponse(20, False)
    go_on.set()
    thread.join(20)

    assert answers == [wire.PutResponse(10, False)]
    assert put(channel, header(20), chunk(20, DATA[20:])) == wire.PutResponse(1000, True)
    assert store.read(NAME) == DATA


def test_a_get_past_the_end_says_how_long_it_is(channel: Channel, store: Any) -> None:
    store.put(DATA)

    for offset in (1000, 5000):
        answers = list(
            channel.receive(wire.GET, wire.ArtifactsGetRequest(NAME, offset), timeout_s=20)
        )
        assert answers == [wire.ArtifactsGetResponse(1000, wire.Chunk(offset, b""))]


def test_the_store_vouches_for_what_it_holds_only(
    channel: Channel, store: Any, domain: Domain
) -> None:
    other = store.put(b"other")
    request = wire.StoreReceiptRequest((NAME, other))
    with pytest.raises(NotFound):
        channel.call(wire.STORE_RECEIPT, request)

    store.put(DATA)
    answer = channel.call(wire.STORE_RECEIPT, request)

    assert answer.receipt.artifacts == (NAME, other)
    assert answer.receipt.length == 1005
    assert recover(answer.receipt, domain, answer.signature) == HOLDER.address


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
    raise AssertionError("it never came to hold")
