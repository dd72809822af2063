"""A real server on loopback, a proxy that cuts connections, and records at random."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from random import Random
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import grpc
import pytest

from gensyn_lightning.identity import RequestVerifier, Signature
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce
from gensyn_lightning.wire.serving import Gate, Limits, new_server

DOMAIN = Domain(31_337, Address(b"\x11" * 20))
WAIT_S = 60


class Served:
    """Services on a port, in a loop of their own; `restart` keeps the port, as a crash would."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.services: list[tuple[Any, object]] = []
        self.limits = Limits()
        self.port = 0
        self.server: grpc.aio.Server | None = None
        self._proxies: list[CuttingProxy] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def start(self, *services: tuple[Any, object], limits: Limits | None = None) -> str:
        self.services = list(services) or self.services
        self.limits = limits or self.limits
        self.run(self._start())
        return self.address

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _start(self) -> None:
        self.server = new_server(self.limits)
        gate = Gate(RequestVerifier(DOMAIN), self.limits)
        for rpcs, service in self.services:
            gate.add(self.server, rpcs, service)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.run(self.server.stop(None))
            self.server = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def proxy(self, budgets: Iterator[int]) -> CuttingProxy:
        made = CuttingProxy(self.port, budgets)
        self.run(made.start())
        self._proxies.append(made)
        return made

    def close(self) -> None:
        for each in self._proxies:
            self.run(each.stop())
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()


class CuttingProxy:
    """Passes bytes on, and cuts each connection once it has carried its budget."""

    def __init__(self, target: int, budgets: Iterator[int]) -> None:
        self.cuts = 0
        self.port = 0
        self._target, self._budgets = target, budgets
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        left = [next(self._budgets)]
        try:
            ways = (self._pass(reader, back, left), self._pass(there, writer, left))
            await asyncio.wait(
                [asyncio.ensure_future(each) for each in ways],
                return_when=asyncio.FIRST_COMPLETED,
            )
            self.cuts += left[0] <= 0
        finally:
            writer.transport.abort()
            back.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int]
    ) -> None:
        with suppress(ConnectionError):
            while left[0] > 0 and (data := await reader.read(65_536)):
                writer.write(data[: left[0]])
                left[0] -= len(data)
                await writer.drain()


WIDTHS = {Digest: 32, Address: 20, Nonce: 16, Signature: 65}


def sample(kind: Any, random: Random) -> Any:
    """Return a well-formed value of `kind`, a record type or the type of a field."""
    options = [each for each in get_args(kind) if each is not NoneType]
    if get_origin(kind) is tuple:
        return tuple(sample(options[0], random) for _ in range(random.randrange(3)))
    if get_origin(kind) in {Union, UnionType}:
        return random.choice((None, sample(options[0], random)))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{each.name: sample(hints[each.name], random) for each in fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return random.choice(list(kind))
    if kind in WIDTHS:
        return random.randbytes(WIDTHS[kind])
    atoms: dict[Any, Any] = {
        int: random.choice((0, 1, 2**64 - 1, random.getrandbits(64))),
        Money: random.choice((0, 1, 2**256 - 1, random.getrandbits(256))),
        str: random.choice(("", "native:0", "ü" * 256)),
        bytes: random.randbytes(random.randrange(64)),
        bool: random.choice((False, True)),
    }
    return atoms[kind]


@pytest.fixture(name="sample")
def sample_fixture() -> Callable[[Any, Random], Any]:
    """Make well-formed records at random."""
    return sample


@pytest.fixture
def served() -> Iterator[Served]:
    """A server that the test fills, starts and may restart."""
    made = Served()
    yield made
    made.close()


@pytest.fixture
def random() -> Random:
    """A generator whose seed is printed when the test fails."""
    seed = secrets.randbits(64)
    print(f"seed {seed}")
    return Random(seed)


@pytest.fixture
def domain() -> Domain:
    """The chain and escrow that the served network belongs to."""
    return DOMAIN


@pytest.fixture
def clock() -> Callable[[], int]:
    """A clock that stands still until it is moved: `clock.now_ms += 1000`."""

    class Clock:
        now_ms = 1_700_000_000_000

        def __call__(self) -> int:
            return self.now_ms

    return Clock()
