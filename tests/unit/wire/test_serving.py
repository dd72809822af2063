import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import grpc
import pytest

from gensyn_lightning.errors import (
    CoordinatorUnavailable,
    LeaseLost,
    Malformed,
)
from gensyn_lightning.identity import Account, Identity, sign_request
from gensyn_lightning.identity.request import EPOCH_KEY
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Digest, Nonce
from gensyn_lightning.wire import codec, jobs, nodes, transfer
from gensyn_lightning.wire.channel import Channel
from gensyn_lightning.wire.rpc import Rpc
from gensyn_lightning.wire.serving import Limits

Code = grpc.StatusCode
TABLES = (jobs, nodes, transfer)
RPCS = [each for table in TABLES for each in table.RPCS]
WORK = Digest(b"w" * 32)
NOT_A_BEAT = Rpc("Nodes", "Heartbeat", nodes.OpenSaltRequest, nodes.OpenSaltResponse)
BEAT = nodes.HeartbeatRequest(WORK, 1, 2, b"{}")


class Answering:
    """Answers every call of a table with a record at random."""

    def __init__(self, rpcs: Any, sample: Any, random: Random) -> None:
        for each in rpcs:
            setattr(self, each.handler, self._method(each, sample, random))

    def _method(self, rpc: Rpc[Any, Any], sample: Any, random: Random) -> Any:
        async def unary(request: Any, caller: Any) -> Any:
            assert type(request) is rpc.request
            return sample(rpc.response, random)

        async def stream_in(requests: AsyncIterator[Any], caller: Any) -> Any:
            assert {type(each) async for each in requests} == {rpc.request}
            return sample(rpc.response, random)

        async def stream_out(request: Any, caller: Any) -> AsyncIterator[Any]:
            assert type(request) is rpc.request
            yield sample(rpc.response, random)

        if rpc.request_streams:
            return stream_in
        return stream_out if rpc.response_streams else unary


class Beating(Answering):
    """Answers every heartbeat with what `answer` does."""

    def __init__(self, answer: Any, sample: Any, random: Random) -> None:
        super().__init__(nodes.RPCS, sample, random)
        self.heartbeat = answer


class Raw:
    """Sends bodies as they are, signed or not."""

    def __init__(self, address: str, identity: Identity) -> None:
        self.channel = grpc.insecure_channel(
            address, options=(("grpc.max_send_message_length", 32 << 20),)
        )
        self.identity = identity
        self.epoch = bytes(16)
        _, trailing = self.status(jobs.NETWORK, b"")
        self.epoch = dict(trailing)[EPOCH_KEY]

    def start(self, rpc: Rpc[Any, Any], body: bytes, **options: Any) -> Any:
        metadata = sign_request(self.identity, rpc.path, body, self.epoch)
        options = {"timeout": 20, "metadata": metadata} | options
        if rpc.request_streams:
            return self.channel.stream_unary(rpc.path).future(iter([body]), **options)
        if rpc.response_streams:
            return self.channel.unary_stream(rpc.path)(body, **options)
        return self.channel.unary_unary(rpc.path).future(body, **options)

    def status(self, rpc: Rpc[Any, Any], body: bytes, **options: Any) -> tuple[Code, Any]:
        return self.finish(rpc, self.start(rpc, body, **options))

    def finish(self, rpc: Rpc[Any, Any], call: Any) -> tuple[Code, Any]:
        with suppress(grpc.RpcError):
            list(call) if rpc.response_streams else call.result()
        return call.code(), call.trailing_metadata()


@pytest.fixture
def identity(domain: Domain) -> Identity:
    return Identity(Account.generate(), domain)


@pytest.fixture
def answering(served: Any, sample: Any, random: Random) -> Any:
    served.start(*((each.RPCS, Answering(each.RPCS, sample, random)) for each in TABLES))
    return served


@pytest.fixture
def raw(answering: Any, identity: Identity) -> Iterator[Raw]:
    made = Raw(answering.address, identity)
    yield made
    made.channel.close()


@pytest.fixture
def beating(
    served: Any, sample: Any, random: Random, identity: Identity
) -> Iterator[Callable[..., Channel]]:
    channels: list[Channel] = []

    def start(answer: Any, patience_s: float = 0.0, **limits: Any) -> Channel:
        service = Beating(answer, sample, random)
        address = served.start((nodes.RPCS, service), limits=Limits(**limits))
        channels.append(Channel(address, identity, patience_s=patience_s))
        return channels[0]

    yield start
    for each in channels:
        each.close()


def payload(rpc: Rpc[Any, Any], sample: Any, random: Random) -> bytes:
    """Noise, or a request that was cut or damaged."""
    if random.random() < 0.4:
        return random.randbytes(random.randrange(200))
    data = bytearray(codec.encode(sample(rpc.request, random)))
    if random.random() < 0.5:
        del data[random.randrange(len(data) + 1) :]
    for _ in range(random.randrange(3)):
        if data:
            data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def bombard(raw: Raw, rpc: Rpc[Any, Any], count: int, sample: Any, random: Random) -> None:
    seen: set[Code] = set()
    for _ in range(0, count, 25):
        calls = [raw.start(rpc, payload(rpc, sample, random)) for _ in range(25)]
        seen |= {raw.finish(rpc, each)[0] for each in calls}
    assert seen <= {Code.OK, Code.INVALID_ARGUMENT}
    assert Code.INVALID_ARGUMENT in seen


@pytest.mark.parametrize("rpc", RPCS, ids=lambda each: each.path)
def test_whatever_is_sent_is_answered_or_malformed(
    rpc: Rpc[Any, Any], raw: Raw, sample: Any, random: Random
) -> None:
    bombard(raw, rpc, 100, sample, random)


@pytest.mark.soak
@pytest.mark.parametrize("rpc", RPCS, ids=lambda each: each.path)
def test_two_thousand_payloads_are_answered_or_malformed(
    rpc: Rpc[Any, Any], raw: Raw, sample: Any, random: Random
) -> None:
    bombard(raw, rpc, 2000, sample, random)


@pytest.mark.parametrize("rpc", RPCS, ids=lambda each: each.path)
def test_nobody_gets_in_unproven(rpc: Rpc[Any, Any], raw: Raw, random: Random) -> None:
    body = random.randbytes(50)
    for metadata in ((), sign_request(raw.identity, "/other", body, raw.epoch)):
        assert raw.status(rpc, body, metadata=metadata)[0] is Code.UNAUTHENTICATED
    signed = sign_request(raw.identity, rpc.path, body, raw.epoch)
    raw.status(rpc, body, metadata=signed)
    assert raw.status(rpc, body, metadata=signed)[0] is Code.UNAUTHENTICATED


def test_five_hundred_connections_of_noise_change_nothing(answering: Any, raw: Raw) -> None:
    for index in range(500):
        with socket.create_connection(("127.0.0.1", answering.port)) as connection:
            connection.sendall(os.urandom(1 + index % 64))

    assert raw.status(nodes.HEARTBEAT, codec.encode(BEAT))[0] is Code.OK


def test_a_call_without_a_deadline_is_refused(raw: Raw) -> None:
    code, _ = raw.status(nodes.HEARTBEAT, codec.encode(BEAT), timeout=None)

    assert code is Code.INVALID_ARGUMENT


def test_a_message_over_the_bound_is_refused(raw: Raw) -> None:
    assert raw.status(nodes.HEARTBEAT, bytes(5 << 20))[0] is Code.RESOURCE_EXHAUSTED


def test_an_empty_stream_is_malformed(raw: Raw) -> None:
    metadata = sign_request(raw.identity, transfer.PUT.path, b"", raw.epoch)
    send = raw.channel.stream_unary(transfer.PUT.path)

    call = send.future(iter([]), timeout=20, metadata=metadata)

    assert raw.finish(transfer.PUT, call)[0] is Code.INVALID_ARGUMENT


def test_what_a_service_raises_reaches_the_caller(beating: Callable[..., Channel]) -> None:
    async def lost(request: Any, caller: Any) -> Any:
        raise LeaseLost("someone else has it", hint="claim other work")

    with pytest.raises(LeaseLost, match="someone else has it") as caught:
        beating(lost).call(nodes.HEARTBEAT, BEAT)

    assert caught.value.hint == "claim other work"


def test_a_service_learns_who_asks(beating: Callable[..., Channel], identity: Identity) -> None:
    seen = []

    async def answer(request: Any, caller: Any) -> Any:
        seen.append((request, caller.account))
        return nodes.HeartbeatResponse(5, ())

    assert beating(answer).call(nodes.HEARTBEAT, BEAT) == nodes.HeartbeatResponse(5, ())
    assert seen == [(BEAT, identity.address)]


def test_a_bug_is_internal_and_tells_no_secrets(
    beating: Callable[..., Channel], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: Any, caller: Any) -> Any:
        raise RuntimeError("the password is swordfish")

    with pytest.raises(Exception, match="its log says why") as caught:
        beating(broken).call(nodes.HEARTBEAT, BEAT)

    assert "swordfish" not in str(caught.value)
    assert "swordfish" in caplog.text


def test_a_bad_peer_fills_no_log(raw: Raw, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    started = time.monotonic()

    for _ in range(200):
        assert raw.status(nodes.CLAIM, b"\xff")[0] is Code.INVALID_ARGUMENT

    assert 1 <= len(caplog.records) <= 2 + time.monotonic() - started


def test_one_account_cannot_take_every_place(beating: Callable[..., Channel]) -> None:
    entered = threading.Event()

    async def wait(request: Any, caller: Any) -> Any:
        entered.set()
        await asyncio.sleep(20)

    channel = beating(wait, calls_per_account=1)
    background = channel._grpc.unary_unary(nodes.HEARTBEAT.path)
    with pytest.raises(Malformed):
        channel.call(NOT_A_BEAT, nodes.OpenSaltRequest(WORK, Nonce(bytes(16))))
    body = codec.encode(BEAT)
    signed = sign_request(channel.identity, nodes.HEARTBEAT.path, body, channel._epoch)
    call = background.future(body, timeout=20, metadata=signed)
    assert entered.wait(20)

    with pytest.raises(CoordinatorUnavailable, match="more than 1 calls"):
        channel.call(nodes.HEARTBEAT, BEAT)
    call.cancel()


def test_a_slow_service_is_stopped_at_the_callers_deadline(
    beating: Callable[..., Channel], served: Any
) -> None:
    ended = threading.Event()

    async def sleep(request: Any, caller: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(CoordinatorUnavailable):
        beating(sleep).call(nodes.HEARTBEAT, BEAT, timeout_s=0.3)

    assert ended.wait(20)


def test_a_stream_that_falls_silent_is_ended(
    served: Any, sample: Any, random: Random, identity: Identity
) -> None:
    service = Answering(transfer.RPCS, sample, random)
    channel = Channel(
        served.start((transfer.RPCS, service), limits=Limits(silence_s=0.1)),
        identity,
        patience_s=0,
    )
    channel.call(transfer.MISSING, transfer.MissingRequest(()))
    silent = threading.Event()

    def rest() -> Iterator[transfer.PutRequest]:
        silent.wait(20)
        yield from ()

    with pytest.raises(CoordinatorUnavailable, match="too long"):
        channel.send(transfer.PUT, transfer.PutRequest(), rest(), timeout_s=20)
    silent.set()
    channel.close()
