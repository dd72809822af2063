"""The calling end: signs every request, sends it, and turns a refusal into the error it stands for.

While nobody answers, a unary call is signed and sent again with growing pauses until the channel's
patience is spent. Streams are not repeated here: whoever reads them knows where to go on.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc

from gensyn_lightning.errors import CoordinatorUnavailable, GensynError, Unauthenticated
from gensyn_lightning.identity import Identity, sign_request
from gensyn_lightning.identity.request import EPOCH_BYTES, EPOCH_KEY, NO_EPOCH, Epoch
from gensyn_lightning.wire import codec, status
from gensyn_lightning.wire.rpc import MESSAGE_BYTES_MAX, Rpc

Request = TypeVar("Request")
Response = TypeVar("Response")

Notice = Callable[[GensynError], None]

PATIENCE_S = 60.0
TIMEOUT_S = 30.0
_PAUSE_FIRST_S = 0.05
_PAUSE_LAST_S = 1.0
_OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
# Bodies are signed and checked as they travel, so gRPC neither writes nor reads them.
_AS_BYTES: Any = None


class Retry:
    """Patience for one call, or for one piece of progress in a longer one."""

    def __init__(self, patience_s: float, closed: threading.Event, notice: Notice) -> None:
        self._patience_s, self._closed, self._notice = patience_s, closed, notice
        self._tried = 0
        self._until = 0.0

    def after(self, error: GensynError) -> None:
        """Pause before the next try; raise `error` if trying again is no use, or no more."""
        now = time.monotonic()
        if not self._tried:
            self._until = now + self._patience_s
        pause = self._pause_s()
        self._tried += 1
        if not isinstance(error, CoordinatorUnavailable) or now + pause > self._until:
            raise error
        self._notice(error)
        if self._closed.wait(pause):
            raise error

    def reset(self) -> None:
        """Start anew, since there was progress."""
        self._tried = 0

    def _pause_s(self) -> float:
        """Return the next pause: none at first, then longer and longer."""
        if not self._tried:
            return 0.0
        longest = min(_PAUSE_LAST_S, _PAUSE_FIRST_S * 2.0 ** min(self._tried, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  (spreads clients, hides nothing)


class Channel:
    """One connection to `address` for one identity; safe to use from several threads.

    `notice` is told of every failure after which a call is tried again.
    """

    def __init__(
        self,
        address: str,
        identity: Identity,
        *,
        patience_s: float = PATIENCE_S,
        notice: Notice = lambda _: None,
    ) -> None:
        self.address, self.identity, self.patience_s = address, identity, patience_s
        self._notice = notice
        self._grpc = grpc.insecure_channel(address, options=_OPTIONS)
        self._epoch = NO_EPOCH
        self._closed = threading.Event()

    def close(self) -> None:
        """End every call in flight and let the connection go."""
        self._closed.set()
        self._grpc.close()

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the channel."""
        self._closed.wait(seconds)

    def retry(self) -> Retry:
        """Return fresh patience."""
        return Retry(self.patience_s, self._closed, self._notice)

    def call(
        self, rpc: Rpc[Request, Response], request: Request, *, timeout_s: float = TIMEOUT_S
    ) -> Response:
        """Ask, as often as it takes; raise the error the answer stands for."""
        body = codec.encode(request)
        retry, resigned = self.retry(), False
        while True:
            epoch = self._epoch
            try:
                send = self._grpc.unary_unary(rpc.path, _AS_BYTES, _AS_BYTES)
                answer = send(body, timeout=timeout_s, metadata=self._sign(rpc, body, epoch))
            except (grpc.RpcError, ValueError) as error:
                failure = self._failure(error, epoch)
                if epoch == self._epoch or resigned:
                    retry.after(failure)
                else:
                    resigned = True
            else:
                return codec.decode(rpc.response, answer)

    def receive(
        self, rpc: Rpc[Request, Response], request: Request, *, timeout_s: float
    ) -> Iterator[Response]:
        """Ask once and yield what streams back; raise when the stream breaks."""
        body, epoch, call = codec.encode(request), self._epoch, None
        try:
            send = self._grpc.unary_stream(rpc.path, _AS_BYTES, _AS_BYTES)
            call = send(body, timeout=timeout_s, metadata=self._sign(rpc, body, epoch))
            for answer in call:
                yield codec.decode(rpc.response, answer)
        except (grpc.RpcError, ValueError) as error:
            raise self._failure(error, epoch) from None
        finally:
            if call is not None:
                call.cancel()  # type: ignore[no-untyped-call]

    def send(
        self,
        rpc: Rpc[Request, Response],
        first: Request,
        rest: Iterator[Request],
        *,
        timeout_s: float,
    ) -> Response:
        """Stream `first`, which is signed, then `rest`; return the one answer."""
        body, epoch = codec.encode(first), self._epoch
        try:
            send = self._grpc.stream_unary(rpc.path, _AS_BYTES, _AS_BYTES)
            answer = send(
                _bodies(body, rest), timeout=timeout_s, metadata=self._sign(rpc, body, epoch)
            )
        except (grpc.RpcError, ValueError) as error:
            raise self._failure(error, epoch) from None
        return codec.decode(rpc.response, answer)

    def _sign(self, rpc: Rpc[Any, Any], body: bytes, epoch: Epoch) -> tuple[tuple[str, bytes], ...]:
        return sign_request(self.identity, rpc.path, body, epoch)

    def _failure(self, error: Exception, signed_for: Epoch) -> GensynError:
        """Return our error for gRPC's; a server that has just started is asked again."""
        if self._closed.is_set() or not isinstance(error, grpc.Call):
            return CoordinatorUnavailable(f"the connection to {self.address} is closed")
        metadata: Any = error.trailing_metadata() or ()
        found = status.from_status(error.code(), error.details(), metadata)
        epoch = next((value for key, value in metadata if key == EPOCH_KEY), b"")
        if isinstance(found, Unauthenticated) and len(epoch) == EPOCH_BYTES:
            self._epoch = Epoch(epoch)
            if epoch != signed_for:
                return CoordinatorUnavailable("the coordinator has just started")
        return found


def _bodies(first: bytes, rest: Iterator[Any]) -> Iterator[bytes]:
    yield first
    for each in rest:
        yield codec.encode(each)
