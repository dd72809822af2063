"""The process runners are forked from: it has imported torch and Lightning and run neither.

One connection to its socket is one piece of work. The request is one JSON line; a forked child
answers with JSON lines, the last of which is a result or an error. A client that hangs up ends
its child and every process that child started. The zygote has one thread, runs no operator
(a fork after a parallel one hangs), opened no gRPC channel and holds no key.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from gensyn_lightning.errors import GensynError, LimitExceeded, SandboxError
from gensyn_lightning.network.process import (
    adopt_orphans,
    die_with_parent,
    kill_group,
    kill_strays,
    limit_resources,
)
from gensyn_lightning.node.exchange import (
    REQUEST_BYTES_MAX,
    Order,
    error_line,
    progress_line,
    read_order,
    result_line,
)

Report = Callable[[Mapping[str, Any]], None]
Work = Callable[[Mapping[str, Any], Path, Report], Mapping[str, Any]]

RUNNERS_MAX = 8
CLIENTS_MAX = 64
IMPORTS = (
    "numpy",
    "cloudpickle",
    "safetensors.torch",
    "torch",
    "torch.utils.data",
    "torchmetrics",
    "pytorch_lightning",
    "lightning.pytorch",
    "gensyn_lightning.training.segment",
    "gensyn_lightning.training.numerics",
)
OPTIONAL = ("pytorch_lightning", "lightning.pytorch")


def main() -> None:
    """Serve segments on `--socket` until killed."""
    parser = argparse.ArgumentParser(prog="gensyn_lightning.node.zygote")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--die-with", type=int, help="the parent to die with")
    options = parser.parse_args()
    if options.die_with:
        die_with_parent(options.die_with)
    serve(options.socket, WORK, IMPORTS, _compute_reproducibly)


def serve(
    path: Path,
    work: Mapping[str, Work],
    imports: tuple[str, ...] = (),
    prepare: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Listen at once, so that clients can wait in line, then import, then fork for each of them.

    What takes a while and is the same for every fork belongs into `prepare`.
    """
    listener = _listen(path)
    adopt_orphans()
    for name in imports:
        _import(name)
    prepare()
    if len(os.listdir("/proc/self/task")) > 1:
        raise SandboxError(
            "an import started a thread, so no runner can be forked safely",
            hint="look for packages that start threads when imported",
        )
    gc.collect()
    gc.freeze()
    _Zygote(listener, work).serve()


@dataclass(slots=True)
class _Client:
    """A connection: at first a request in the making, then an order in line, then a child."""

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    order: Order | None = None
    child: int = 0


class _Zygote:
    def __init__(self, listener: socket.socket, work: Mapping[str, Work]) -> None:
        self._listener = listener
        self._work = work
        self._clients: dict[int, _Client] = {}
        self._line: deque[_Client] = deque()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> NoReturn:
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        signal.signal(signal.SIGTERM, self._stop)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj == self._bell:
                    os.read(self._bell, 4096)
                    self._reap()
                else:
                    self._hear(key.data)
            self._start_waiting()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        client = _Client(connection)
        if len(self._clients) >= CLIENTS_MAX:
            _answer(connection, error_line(LimitExceeded(f"more than {CLIENTS_MAX} runners asked")))
            connection.close()
            return
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _hear(self, client: _Client) -> None:
        """Take in a request; anything a client does after that, above all hanging up, ends it."""
        try:
            data = client.connection.recv(REQUEST_BYTES_MAX)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        client.received += data
        if not data or client.order is not None:
            self._end(client)
            return
        try:
            client.order = read_order(bytes(client.received))
        except GensynError as error:
            _answer(client.connection, error_line(error))
            self._end(client)
            return
        if client.order is not None:
            self._line.append(client)

    def _start_waiting(self) -> None:
        running = sum(1 for each in self._clients.values() if each.child)
        while self._line and running < RUNNERS_MAX:
            client = self._line.popleft()
            child = os.fork()
            if child == 0:
                self._become_runner(client)
            client.child = child
            running += 1

    def _reap(self) -> None:
        for child, status in _dead_children():
            for client in [each for each in self._clients.values() if each.child == child]:
                if os.WIFSIGNALED(status):
                    _answer(client.connection, error_line(_killed_by(os.WTERMSIG(status))))
                self._end(client)
        self._kill_strays()

    def _end(self, client: _Client) -> None:
        """Kill what is left of a runner and hang up: whoever waits for the end sees it now."""
        if client.child:
            kill_group(client.child)
            client.child = 0
        if client in self._line:
            self._line.remove(client)
        self._clients.pop(client.connection.fileno(), None)
        self._selector.unregister(client.connection)
        self._kill_strays()
        try:
            client.connection.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            print(f"the client was gone first: {error}", file=sys.stderr)
        client.connection.close()

    def _kill_strays(self) -> None:
        kill_strays({each.child for each in self._clients.values()})

    def _stop(self, number: int, frame: FrameType | None) -> None:
        for client in self._clients.values():
            if client.child:
                kill_group(client.child)
        os._exit(128 + number)

    def _become_runner(self, client: _Client) -> NoReturn:
        status, zygote = 1, os.getppid()
        try:
            order = client.order
            assert order is not None
            connection = client.connection.dup()
            self._forget_everything()
            die_with_parent(zygote)
            _settle_in(order)
            status = _perform(self._work, order, connection)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _forget_everything(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        os.close(self._bell)
        os.close(self._ring)
        for each in self._clients.values():
            each.connection.close()


def _compute_reproducibly() -> None:
    """Put our operators in the place of torch's own; a fork that wants those takes ours out."""
    from gensyn_lightning.repops import registry

    registry.install()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(CLIENTS_MAX)
    return listener


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name not in OPTIONAL:
            raise
        print(f"going on without {name}: {error}", file=sys.stderr)


def _dead_children() -> Iterator[tuple[int, int]]:
    while True:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if child == 0:
            return
        yield child, status


def _killed_by(number: int) -> SandboxError:
    hint = "the machine may be short of memory" if number == signal.SIGKILL else ""
    return SandboxError(f"the runner was killed by signal {number}", hint=hint)


def _wake(number: int, frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor has told the loop already."""


def _answer(connection: socket.socket, line: bytes) -> None:
    try:
        connection.send(line)
    except OSError as error:
        print(f"nobody is left to tell: {error}", file=sys.stderr)


def _settle_in(order: Order) -> None:
    """Make the child a session of its own that starts in its scratch folder, within its limits."""
    os.setsid()
    os.nice(order.nice)
    os.chdir(order.scratch)
    limit_resources()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open("runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)


def _perform(work: Mapping[str, Work], order: Order, connection: socket.socket) -> int:
    connection.setblocking(True)
    try:
        perform = work.get(order.kind)
        if perform is None:
            raise SandboxError(f"a runner cannot do {order.kind!r}")
        result = perform(
            order.request, order.scratch, lambda each: connection.sendall(progress_line(each))
        )
    except BaseException as error:
        traceback.print_exc()
        connection.sendall(error_line(error))
        return 1
    connection.sendall(result_line(result))
    return 0


def _segment(request: Mapping[str, Any], scratch: Path, report: Report) -> Mapping[str, Any]:
    from gensyn_lightning.node import exchange
    from gensyn_lightning.training.segment import run_segment

    result = run_segment(exchange.read_request(request), scratch, lambda each: report(each))
    return exchange.write_result(result)


def _numerics(request: Mapping[str, Any], scratch: Path, report: Report) -> Mapping[str, Any]:
    from gensyn_lightning.training.numerics import ARITHMETICS, version_of

    return {"numerics": [version_of(each) for each in ARITHMETICS]}


def _self_test(request: Mapping[str, Any], scratch: Path, report: Report) -> Mapping[str, Any]:
    from gensyn_lightning.protocol.digest import parse_digest
    from gensyn_lightning.repops import selftest

    return {"outputs": selftest.outputs(parse_digest(request["challenge"])).hex()}


WORK: Mapping[str, Work] = {
    "segment": _segment,
    "numerics": _numerics,
    "self_test": _self_test,
}

if __name__ == "__main__":
    main()
