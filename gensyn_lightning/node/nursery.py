"""A process that has loaded a program and run nothing of it: the program's runners are its forks.

Importing what a program imports takes longer than anything else a segment needs, and is the same
for all of them. A nursery serves orders that differ in where they begin and end, and in nothing
else: the same program, artifacts, folder, environment and niceness. Each runner is a fresh fork,
and nothing of one reaches the next. Where loading left something that forks would share, or lack,
the process runs the one segment itself, as if there were no nurseries.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gensyn_lightning.network.process import die_with_parent
from gensyn_lightning.node.exchange import REQUEST_BYTES_MAX, Order, order_line, read_order
from gensyn_lightning.node.work import Staged, Work, answer, leave_after, refuse, settle_in

MESSAGE_BYTES_MAX = 64
RUNNER = "runner"  # the number is its process
ENDED = "ended"  # the number is the runner's wait status
ALONE = "alone"  # this process runs the order itself and is no nursery


@dataclass(slots=True, eq=False)
class Nursery:
    """A nursery as the zygote knows it; `client` is whose order it is on, if any.

    It `has_served` once a runner of its came to a good end, and `is_clearing` while one that nobody
    waits for any more is being killed.
    """

    key: str
    process: int
    control: socket.socket
    client: Any = None
    has_served: bool = False
    is_clearing: bool = False
    idle_since: float = 0.0

    def send(self, order: Order, connection: socket.socket) -> bool:
        """Pass an order on, with the connection to answer on; return False if nobody is there."""
        try:
            socket.send_fds(self.control, [order_line(order)], [connection.fileno()])
        except OSError as error:
            print(f"a nursery is gone: {error}", file=sys.stderr)
            return False
        return True

    def hear(self) -> tuple[str, int] | None:
        """Return what the nursery says; None if it has ended or talks nonsense."""
        try:
            said = self.control.recv(MESSAGE_BYTES_MAX)
        except OSError as error:
            print(f"a nursery is gone: {error}", file=sys.stderr)
            return None
        kind, _, number = said.decode(errors="replace").partition(" ")
        known = kind in (RUNNER, ENDED, ALONE) and number.isascii() and number.isdecimal()
        return (kind, int(number)) if known else None

    @property
    def is_free(self) -> bool:
        """Whether it can take an order."""
        return self.client is None and not self.is_clearing

    def rest(self) -> None:
        """Wait for the next order from now on."""
        self.client, self.has_served, self.idle_since = None, True, time.monotonic()

    def clear(self) -> None:
        """Be on nobody's order any more, once the runner is gone."""
        self.client, self.is_clearing, self.idle_since = None, True, time.monotonic()


def key_of(work: Mapping[str, Work], order: Order) -> str | None:
    """Return what orders for one nursery have in common; None if `order` asks for none."""
    kind = work.get(order.kind)
    if not order.again or not isinstance(kind, Staged):
        return None
    try:
        about = kind.about(order.request)
    except KeyError:
        return None
    return json.dumps([order.kind, about, str(order.scratch), order.nice], sort_keys=True)


def fork_runners(
    work: Staged, order: Order, connection: socket.socket, control: socket.socket
) -> int:
    """Load for `order`, then fork a runner for it and for each that comes; return a status.

    Called in a fresh fork of the zygote, which holds the other end of `control`. What was loaded
    may hear whatever is printed here, so nothing is.
    """
    try:
        loaded = work.load(work.about(order.request), order.scratch)
    except BaseException as error:
        return refuse(connection, error)
    if not work.forks(loaded):
        _say(control, ALONE, os.getpid())
        return answer(connection, lambda report: work.run(loaded, order.request, report))
    while True:
        _fork_runner(work, loaded, order, connection, control)
        message, files, _, _ = socket.recv_fds(control, REQUEST_BYTES_MAX, 1)
        following = read_order(message) if files else None
        if following is None:
            return 0
        order, connection = following, socket.socket(fileno=files[0])


def _fork_runner(
    work: Staged, loaded: Any, order: Order, connection: socket.socket, control: socket.socket
) -> None:
    """Fork a runner and wait for its end, telling the zygote of both."""

    def run() -> int:
        control.close()
        die_with_parent(parent)
        settle_in(order.scratch)
        return answer(connection, lambda report: work.run(loaded, order.request, report))

    parent = os.getpid()
    child = os.fork()
    if child == 0:
        leave_after(run)
    connection.close()
    _say(control, RUNNER, child)
    _, status = os.waitpid(child, 0)
    _say(control, ENDED, status)


def _say(control: socket.socket, kind: str, number: int) -> None:
    control.send(f"{kind} {number}".encode())
