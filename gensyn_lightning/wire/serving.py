"""The answering end: proves who asks over the raw bytes, then parses, then calls a plain method.

A service is any object with a coroutine per call, named like the call (`OpenSalt` is `open_salt`):

    async def submit(self, request: SubmitRequest, caller: Caller) -> SubmitResponse
    async def events(self, request: EventsRequest, caller: Caller) -> AsyncIterator[EventsResponse]
    async def put(self, requests: AsyncIterator[PutRequest], caller: Caller) -> PutResponse

It raises our errors and never sees gRPC. Whatever cannot be parsed is INVALID_ARGUMENT, whoever
cannot be proven is UNAUTHENTICATED, a bug is INTERNAL, and nothing is UNKNOWN.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from gensyn_lightning.errors import (
    CoordinatorUnavailable,
    GensynError,
    LimitExceeded,
    Malformed,
    Unauthenticated,
)
from gensyn_lightning.identity.request import EPOCH_KEY, Caller, RequestVerifier
from gensyn_lightning.wire import codec, status
from gensyn_lightning.wire.rpc import MESSAGE_BYTES_MAX, PACKAGE, Rpc

log = logging.getLogger("gensyn.wire")

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls run at once, in all and per account, and how long a stream may say nothing."""

    calls: int = 1024
    calls_per_account: int = 64
    streams_per_connection: int = 128
    silence_s: float = 30.0
    peers_logged: int = 1024


def new_server(limits: Limits | None = None) -> grpc.aio.Server:
    """Return a server with every bound set; add services and a port, then start it."""
    limits = limits or Limits()
    return grpc.aio.server(
        maximum_concurrent_rpcs=limits.calls,
        options=(
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_concurrent_streams", limits.streams_per_connection),
            ("grpc.max_metadata_size", 16_384),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.so_reuseport", 0),
        ),
    )


class Gate:
    """Lets proven, well-formed requests through to services, within limits; one per server."""

    def __init__(self, verifier: RequestVerifier, limits: Limits | None = None) -> None:
        self._verifier, self._limits = verifier, limits or Limits()
        self._running: Counter[bytes] = Counter()
        self._logged: dict[str, float] = {}

    def add(self, server: grpc.aio.Server, rpcs: Sequence[Rpc[Any, Any]], service: object) -> None:
        """Serve every call in `rpcs`, all of one service, by the methods of `service`."""
        handlers = {each.name: self._handler(each, getattr(service, each.handler)) for each in rpcs}
        name = f"{PACKAGE}.{rpcs[0].service}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    def _handler(self, rpc: Rpc[Any, Any], answer: Handler) -> Any:
        if rpc.request_streams:
            return grpc.stream_unary_rpc_method_handler(self._stream_in(rpc, answer))
        if rpc.response_streams:
            return grpc.unary_stream_rpc_method_handler(self._stream_out(rpc, answer))
        return grpc.unary_unary_rpc_method_handler(self._unary(rpc, answer))

    def _unary(self, rpc: Rpc[Any, Any], answer: Handler) -> Handler:
        async def handle(body: bytes, context: Context) -> bytes:
            answered = b""
            async with self._guarded(rpc, context):
                with self._admitted(rpc, body, context) as caller:
                    request = codec.decode(rpc.request, body)
                    answered = codec.encode(await answer(request, caller))
            return answered

        return handle

    def _stream_out(self, rpc: Rpc[Any, Any], answer: Handler) -> Handler:
        async def handle(body: bytes, context: Context) -> AsyncIterator[bytes]:
            async with self._guarded(rpc, context):
                with self._admitted(rpc, body, context) as caller:
                    request = codec.decode(rpc.request, body)
                    async for each in answer(request, caller):
                        yield codec.encode(each)

        return handle

    def _stream_in(self, rpc: Rpc[Any, Any], answer: Handler) -> Handler:
        async def handle(bodies: AsyncIterator[bytes], context: Context) -> bytes:
            answered = b""
            async with self._guarded(rpc, context):
                body = await self._next(bodies)
                if body is None:
                    raise Malformed("the stream is empty")
                with self._admitted(rpc, body, context) as caller:
                    first = codec.decode(rpc.request, body)
                    rest = self._requests(rpc, first, bodies)
                    answered = codec.encode(await answer(rest, caller))
            return answered

        return handle

    async def _requests(
        self, rpc: Rpc[Any, Any], first: Any, bodies: AsyncIterator[bytes]
    ) -> AsyncIterator[Any]:
        yield first
        while (body := await self._next(bodies)) is not None:
            yield codec.decode(rpc.request, body)

    async def _next(self, bodies: AsyncIterator[bytes]) -> bytes | None:
        async with asyncio.timeout(self._limits.silence_s):
            return await anext(bodies, None)

    @contextmanager
    def _admitted(self, rpc: Rpc[Any, Any], body: bytes, context: Context) -> Iterator[Caller]:
        """Prove who asks, and count the call among those of its account."""
        metadata = tuple(context.invocation_metadata() or ())
        caller = self._verifier.verify(rpc.path, body, metadata)
        if self._running[caller.account] >= self._limits.calls_per_account:
            raise CoordinatorUnavailable(
                f"more than {self._limits.calls_per_account} calls at once", hint="try again later"
            )
        self._running[caller.account] += 1
        try:
            yield caller
        finally:
            self._running[caller.account] -= 1
            if not self._running[caller.account]:
                del self._running[caller.account]

    @asynccontextmanager
    async def _guarded(self, rpc: Rpc[Any, Any], context: Context) -> AsyncIterator[None]:
        """Bound the call's time, and end it with a status if anything is raised."""
        try:
            async with asyncio.timeout(_seconds(rpc, context)):
                yield
        except TimeoutError:
            await self._refuse(rpc, context, CoordinatorUnavailable("this took too long"))
        except GensynError as error:
            await self._refuse(rpc, context, error)
        except (grpc.aio.AbortError, grpc.aio.BaseError, asyncio.CancelledError, GeneratorExit):
            raise
        except Exception:
            log.exception("%s failed", rpc.path)
            await self._refuse(
                rpc, context, GensynError("the coordinator failed; its log says why")
            )

    async def _refuse(self, rpc: Rpc[Any, Any], context: Context, error: GensynError) -> None:
        refusal = status.to_status(error)
        metadata = refusal.metadata
        if isinstance(error, Unauthenticated):
            metadata = (*metadata, (EPOCH_KEY, self._verifier.epoch))
        elif isinstance(error, Malformed | LimitExceeded):
            self._log(rpc, context.peer(), error)
        await context.abort(refusal.code, refusal.details, metadata)

    def _log(self, rpc: Rpc[Any, Any], peer: str, error: GensynError) -> None:
        """Write one line a second for each peer at most."""
        host, now = peer.rsplit(":", 1)[0], time.monotonic()
        if now - self._logged.get(host, -1.0) < 1:
            return
        self._logged.pop(host, None)
        if len(self._logged) >= self._limits.peers_logged:
            self._logged.pop(next(iter(self._logged)))
        self._logged[host] = now
        log.warning("%s from %s refused: %s", rpc.path, peer, str(error)[:200])


def _seconds(rpc: Rpc[Any, Any], context: Context) -> float:
    remaining = context.time_remaining()
    if remaining is None:
        raise Malformed("a call needs a deadline", hint=f"at most {rpc.deadline_s:.0f} s")
    return min(remaining, rpc.deadline_s)
