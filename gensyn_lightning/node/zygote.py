"""The process runners are forked from: it has imported torch and Lightning and run neither.

One connection to its socket is one piece of work. The request is one JSON line; a forked child
answers with JSON lines, the last of which is a result or an error. A client that hangs up ends
its child and every process that child started. The zygote has one thread, runs no operator
(a fork after a parallel one hangs), opened no gRPC channel and holds no key.

Who says that more of the same will follow gets a nursery, and its runners are forks of that.
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
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gensyn_lightning.errors import GensynError, LimitExceeded, SandboxError
from gensyn_lightning.network.process import (
    adopt_orphans,
    die_with_parent,
    kill_group,
    kill_strays,
    parent_of,
    put_down,
)
from gensyn_lightning.node.exchange import REQUEST_BYTES_MAX, Order, error_line, read_order
from gensyn_lightning.node.nursery import ALONE, ENDED, RUNNER, Nursery, fork_runners, key_of
from gensyn_lightning.node.work import WORK, Staged, Work, leave_after, perform, settle_in

RUNNERS_MAX = 8
CLIENTS_MAX = 64
NURSERIES_MAX = 4
NURSERY_IDLE_S = 10.0
IMPORTS = (
    "numpy",
    "cloudpickle",
    "safetensors.torch",
    "torch",
    "torch.utils.data",
    "torchmetrics",
    "pytorch_lightning",
    "lightning.pytorch",
    "gensyn_lightning.training.loaded",
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
    """A connection: at first a request in the making, then an order in line, then a child.

    With a nursery, `child` is the nursery's child once there is one.
    """

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    order: Order | None = None
    child: int = 0
    nursery: Nursery | None = None


class _Zygote:
    def __init__(self, listener: socket.socket, work: Mapping[str, Work]) -> None:
        self._listener = listener
        self._work = work
        self._clients: dict[int, _Client] = {}
        self._line: deque[_Client] = deque()
        self._nurseries: list[Nursery] = []
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> NoReturn:
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up descriptor tells the loop
        signal.signal(signal.SIGTERM, self._stop)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._bell, selectors.EVENT_READ, self._reap)
        while True:
            for key, _ in self._selector.select(self._patience_s()):
                if self._selector.get_map().get(key.fd) is key:  # none before it has ended it
                    key.data()
            self._expire()
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
        self._selector.register(connection, selectors.EVENT_READ, partial(self._hear, client))

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
            self._abandon(client)
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
        running = sum(1 for each in self._clients.values() if each.child or each.nursery)
        while self._line and running < RUNNERS_MAX:
            client = self._line.popleft()
            running += 1
            assert client.order is not None
            key = key_of(self._work, client.order)
            if key is None or not self._start_in_nursery(client, client.order, key):
                client.child = self._fork(client, client.order)

    def _start_in_nursery(self, client: _Client, order: Order, key: str) -> bool:
        """Have a nursery run an order, a new one if there is none; return False if none can."""
        found = next((each for each in self._nurseries if each.key == key), None)
        if found is not None and not found.is_free:
            return False
        if found is not None and not found.send(order, client.connection):
            self._drop(found)
            found = None
        if found is None:
            idle = [each for each in self._nurseries if each.is_free]
            if len(self._nurseries) >= NURSERIES_MAX:
                if not idle:
                    return False
                self._drop(min(idle, key=lambda each: each.idle_since))
            found = self._found(client, order, key)
        found.client, client.nursery = client, found
        return True

    def _found(self, client: _Client, order: Order, key: str) -> Nursery:
        """Fork a nursery that runs this order first."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made = Nursery(key, 0, ours)
        self._nurseries.append(made)
        made.process = self._fork(client, order, theirs)
        theirs.close()
        self._selector.register(ours, selectors.EVENT_READ, partial(self._heed, made))
        return made

    def _fork(self, client: _Client, order: Order, control: socket.socket | None = None) -> int:
        """Fork a runner, or with `control` a nursery, and return its process."""
        zygote = os.getpid()

        def run() -> int:
            connection = client.connection.dup()
            self._forget_everything()
            die_with_parent(zygote)
            settle_in(order.scratch, order.nice)
            work = self._work.get(order.kind)
            if control is None or not isinstance(work, Staged):
                return perform(self._work, order, connection)
            return fork_runners(work, order, connection, control)

        child = os.fork()
        if child == 0:
            leave_after(run)
        return child

    def _heed(self, nursery: Nursery) -> None:
        """Take in what a nursery says of the runner it has forked."""
        said, client = nursery.hear(), nursery.client
        if said is not None and said[0] == ENDED and nursery.is_clearing:
            nursery.is_clearing = False
            if said[1] not in {0, signal.SIGKILL}:  # it did not end by being abandoned
                self._drop(nursery)
            return
        if said is None or client is None:
            self._lose(nursery, put_down(nursery.process))
            return
        kind, number = said
        if kind == RUNNER and parent_of(number) == nursery.process:
            client.child = number
        elif kind == ALONE:
            client.child, client.nursery = nursery.process, None
            self._forget(nursery)
        elif kind == ENDED:
            if number == 0:
                nursery.rest()
                client.nursery = None
            self._conclude(client, number)

    def _expire(self) -> None:
        """Drop the nurseries that nobody has come back to."""
        now = time.monotonic()
        for each in [each for each in self._nurseries if each.client is None]:
            if now - each.idle_since >= NURSERY_IDLE_S:
                self._drop(each)

    def _patience_s(self) -> float | None:
        idle = [each.idle_since for each in self._nurseries if each.client is None]
        return max(0.0, min(idle) + NURSERY_IDLE_S - time.monotonic()) if idle else None

    def _drop(self, nursery: Nursery) -> None:
        """End a nursery; a runner it has becomes a stray."""
        self._forget(nursery)
        put_down(nursery.process)

    def _forget(self, nursery: Nursery) -> None:
        self._nurseries.remove(nursery)
        self._selector.unregister(nursery.control)
        nursery.control.close()

    def _lose(self, nursery: Nursery, status: int | None) -> None:
        """Note that a nursery has ended, and with it what it was on, unless that had not begun."""
        self._forget(nursery)
        client: _Client | None = nursery.client
        if client is None:
            return
        client.nursery = None
        if nursery.has_served and not client.child:
            self._line.appendleft(client)
        else:
            self._conclude(client, status or 0)

    def _reap(self) -> None:
        os.read(self._bell, 4096)
        for child, status in _dead_children():
            for nursery in [each for each in self._nurseries if each.process == child]:
                self._lose(nursery, status)
            for client in [each for each in self._clients.values() if each.child == child]:
                self._conclude(client, status)
        self._kill_strays()

    def _conclude(self, client: _Client, status: int) -> None:
        """End a client whose runner ended with a wait status."""
        if os.WIFSIGNALED(status):
            _answer(client.connection, error_line(_killed_by(os.WTERMSIG(status))))
        self._end(client)

    def _abandon(self, client: _Client) -> None:
        """End what nobody waits for any more; a nursery whose runner that was serves the next."""
        if client.nursery is not None and client.child:
            client.nursery.clear()
            client.nursery = None
        self._end(client)

    def _end(self, client: _Client) -> None:
        """Kill what is left of a runner and hang up: whoever waits for the end sees it now."""
        if client.child:
            kill_group(client.child)
            client.child = 0
        if client.nursery is not None:
            self._drop(client.nursery)
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
        runners = {each.child for each in self._clients.values()}
        kill_strays(runners | {each.process for each in self._nurseries})

    def _stop(self, number: int, frame: FrameType | None) -> None:
        for client in self._clients.values():
            if client.child:
                kill_group(client.child)
        for nursery in self._nurseries:
            kill_group(nursery.process)
        os._exit(128 + number)

    def _forget_everything(self) -> None:
        """Close, in a fork, all that is the zygote's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        os.close(self._bell)
        os.close(self._ring)
        for client in self._clients.values():
            client.connection.close()
        for nursery in self._nurseries:
            nursery.control.close()


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


def _answer(connection: socket.socket, line: bytes) -> None:
    try:
        connection.send(line)
    except OSError as error:
        print(f"nobody is left to tell: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
