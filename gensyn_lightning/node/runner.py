"""A segment handed to a fresh fork of the zygote, and what came of it."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import GensynError, LeaseLost, LimitExceeded, SandboxError
from gensyn_lightning.node.exchange import (
    LINE_BYTES_MAX,
    Order,
    order_line,
    read_answer,
    read_result,
    write_request,
)
from gensyn_lightning.protocol.digest import Digest, parse_digest
from gensyn_lightning.training.request import SegmentRequest, SegmentResult

Progress = Callable[[Mapping[str, Any]], None]

POLL_S = 0.25
CONNECT_POLL_S = 0.05
CONNECT_S = 60.0
SEGMENT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs segments in fresh forks of the zygote that listens on `socket_path`.

    `nice` is added to the runner's niceness: whoever only checks yields to whoever trains. Who
    will run more segments of a program in the same folder says so by `again`: then the program is
    loaded once, and each segment runs in a fresh fork of the process that loaded it.
    """

    socket_path: Path
    nice: int = 0
    patience_s: float = 30.0
    again: bool = False

    def run(
        self,
        request: SegmentRequest,
        scratch: Path,
        on_progress: Progress | None = None,
        timeout_s: float = SEGMENT_S,
        stop: threading.Event | None = None,
    ) -> SegmentResult:
        """Run one segment in `scratch`, an existing empty folder, and return its result.

        Raise the runner's own error if it has one, `SandboxError` if it dies or takes longer than
        `timeout_s`, and `LeaseLost` once `stop` is set. When the runner has come to an end of its
        own, nothing of it is alive afterwards; otherwise it is being killed.
        """
        order = Order("segment", write_request(request), scratch, self.nice, self.again)
        return read_result(self.perform(order, on_progress, timeout_s, stop))

    def numerics(self, scratch: Path) -> tuple[str, ...]:
        """Return every arithmetic that runners compute here."""
        answer = self.perform(Order("numerics", {}, scratch))
        return tuple(map(str, answer["numerics"]))

    def answer(self, scratch: Path, challenge: Digest) -> Digest:
        """Return what a runner's operators make of a challenge."""
        answer = self.perform(Order("self_test", {"challenge": challenge.hex()}, scratch))
        return parse_digest(str(answer["outputs"]))

    def perform(
        self,
        order: Order,
        on_progress: Progress | None = None,
        timeout_s: float = CONNECT_S,
        stop: threading.Event | None = None,
    ) -> Mapping[str, Any]:
        """Have any piece of work done and return its result as it came."""
        deadline = time.monotonic() + timeout_s
        result: Mapping[str, Any] | None = None
        with _connected(self.socket_path, self.patience_s, stop) as connection:
            connection.sendall(order_line(order))
            lines = _lines(connection, deadline, stop)
            for line in lines:
                try:
                    kind, value = read_answer(line)
                except GensynError:
                    deque(lines, maxlen=0)  # hear it out: hanging up would mean stop
                    raise
                if kind == "result":
                    result = value
                elif on_progress is not None:
                    on_progress(value)
        if result is None:
            raise SandboxError(
                "the runner ended without a result", hint=f"see {order.scratch / 'runner.log'}"
            )
        return result


@contextmanager
def _connected(
    path: Path, patience_s: float, stop: threading.Event | None
) -> Iterator[socket.socket]:
    """Connect, waiting a while for a zygote that is being started, or started again."""
    deadline = time.monotonic() + patience_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        while True:
            try:
                connection.connect(str(path))
                break
            except OSError as error:
                if time.monotonic() > deadline or (stop is not None and stop.is_set()):
                    raise SandboxError(
                        f"no zygote listens at {path}", hint="start the network with `gensyn up`"
                    ) from error
            time.sleep(CONNECT_POLL_S)
        connection.settimeout(POLL_S)
        yield connection


def _lines(
    connection: socket.socket, deadline: float, stop: threading.Event | None
) -> Iterator[bytes]:
    """Yield whole lines until the zygote hangs up: then nothing of the runner is alive."""
    waiting = bytearray()
    while True:
        if stop is not None and stop.is_set():
            raise LeaseLost("the runner was stopped", hint="its work is no longer wanted")
        if time.monotonic() > deadline:
            raise SandboxError("the runner took too long", hint="shorter segments may help")
        try:
            data = connection.recv(1 << 16)
        except TimeoutError:
            continue
        except ConnectionError:
            return
        if not data:
            return
        waiting += data
        *whole, rest = waiting.split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise LimitExceeded(f"a runner's line exceeds {LINE_BYTES_MAX} bytes")
        waiting = bytearray(rest)
        yield from (bytes(each) for each in whole)
