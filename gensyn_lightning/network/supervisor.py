"""Keeps one embedded network alive: starts its processes, restarts the dead, ends with them all.

It holds the home's lock while it lives. It stops on SIGTERM or SIGINT, when the process it was
told to die with is gone, and, if asked to, some minutes after the last job or client.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gensyn_lightning import __version__
from gensyn_lightning.errors import ConfigError, GensynError, SandboxError
from gensyn_lightning.network.child import Child, last_words
from gensyn_lightning.network.home import Home, NetworkInfo, write_info
from gensyn_lightning.network.plan import Layout, draw_up
from gensyn_lightning.network.process import adopt_orphans, die_with_parent, kill_strays

START_S = 60.0
STOP_S = 5.0
LOCK_S = 1.0
POLL_START_S = 0.02
POLL_S = 3.0
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@dataclass(frozen=True, slots=True)
class Orders:
    """How large a network, on which chain, which faults, and when to stop; 0 minutes means never.

    An empty `chain` means one of its own.
    """

    home: Home
    solvers: int
    verifiers: int
    faults: tuple[str, ...]
    idle_minutes: float
    ready_fd: int
    chain: str = ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a network until told to stop."""
    parser = argparse.ArgumentParser(prog="gensyn_lightning.network.supervisor")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--solvers", type=int, default=2)
    parser.add_argument("--verifiers", type=int, default=1)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--chain", default="")
    parser.add_argument("--idle-minutes", type=float, default=0)
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--die-with", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.die_with:
        die_with_parent(options.die_with)
    orders = Orders(
        Home(options.home.absolute()),
        options.solvers,
        options.verifiers,
        tuple(options.fault),
        options.idle_minutes,
        options.ready_fd,
        options.chain,
    )
    sys.exit(run(orders))


def run(orders: Orders) -> int:
    """Run the network; return the exit status: 0 when told to stop, 1 when it broke."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    adopt_orphans()
    children: list[Child] = []
    try:
        with orders.home.make().lock.open("w") as lock:
            _take(lock.fileno(), orders.home)
            size = (orders.solvers, orders.verifiers)
            layout = draw_up(orders.home, *size, orders.faults, orders.chain)
            children += [Child(plan) for plan in layout.plans]
            try:
                _Supervisor(orders, layout, children).run()
            finally:
                _stop(children)
                orders.home.info.unlink(missing_ok=True)
                _remove_socket(layout.zygote, orders.home)
    except GensynError as error:
        _tell(orders.ready_fd, {"error": str(error.args[0]), "hint": error.hint})
        print(f"the network stopped: {error}", file=sys.stderr)
        return 1
    return 0


class _Supervisor:
    def __init__(self, orders: Orders, layout: Layout, children: list[Child]) -> None:
        self._orders, self._layout, self._children = orders, layout, children
        self._started_ms = time.time_ns() // 1_000_000
        self._busy_s = time.monotonic()

    def run(self) -> None:
        for child in self._children:
            child.start()
        self._await_start()
        self._publish()
        _tell(self._orders.ready_fd, {"ready": True})
        while not self._idle():
            down = (c for c in self._children if c.process is None and not c.left)
            due = min((c.due_s for c in down), default=None)
            wait_s = POLL_S if due is None else min(POLL_S, max(0.0, due - time.monotonic()))
            if _told_to_stop(wait_s):
                return
            changed = [child for child in self._children if child.tend()]
            for child in changed:
                print(f"{child.plan.name} {'left' if child.left else 'started again'}", flush=True)
            if changed:
                self._publish()
            kill_strays({child.pid for child in self._children})

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._layout.answers():
            if time.monotonic() > deadline:
                slow = self._layout.silent()
                raise SandboxError(
                    f"{slow} did not answer within {START_S:.0f} s",
                    hint=last_words(self._orders.home.log(slow)),
                )
            if _told_to_stop(POLL_START_S):
                raise SandboxError("told to stop while starting")
            for child in self._children:
                child.tend()

    def _publish(self) -> None:
        layout, home = self._layout, self._orders.home
        info = NetworkInfo(
            home=str(home.path),
            coordinator=layout.coordinator,
            chain=layout.chain,
            zygote=str(layout.zygote),
            trust=str(home.trust),
            keys=str(home.keys),
            submitter=layout.submitter,
            supervisor=os.getpid(),
            started_ms=self._started_ms,
            version=__version__,
            domain=layout.domain(),
            processes={c.plan.name: c.pid for c in self._children if not c.left},
        )
        write_info(home, info)

    def _idle(self) -> bool:
        """Whether neither a runner nor a client was seen for the stated time."""
        if not self._orders.idle_minutes:
            return False
        limit_s = 60 * self._orders.idle_minutes
        since_client_s = time.time() - self._last_client()
        if since_client_s < limit_s / 2:
            return False  # to look at the runners takes longer
        zygote = next(each for each in self._children if each.plan.name == "zygote")
        if _has_children(zygote.pid):
            self._busy_s = time.monotonic()
        return min(since_client_s, time.monotonic() - self._busy_s) > limit_s

    def _last_client(self) -> float:
        try:
            return self._orders.home.clients.stat().st_mtime
        except FileNotFoundError:
            return 0.0


def _take(lock: int, home: Home) -> None:
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_START_S)  # somebody who only looks holds it for a moment
                continue
            raise ConfigError(
                f"a network runs in {home.path} already", hint="stop it with `gensyn down`"
            ) from None
        return


def _remove_socket(path: Path, home: Home) -> None:
    path.unlink(missing_ok=True)
    if path.parent != home.path:  # a folder made for it, because the home's name is too long
        path.parent.rmdir()


def _told_to_stop(wait_s: float) -> bool:
    """Wait for a signal; a child's death only ends the wait."""
    found = signal.sigtimedwait(_SIGNALS, wait_s)
    return found is not None and found.si_signo != signal.SIGCHLD


def _has_children(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).children())
    except psutil.NoSuchProcess:
        return False


def _stop(children: list[Child]) -> None:
    """Ask all to end, those started last first; what is left after a while is killed."""
    for child in reversed(children):
        child.stop()
    deadline = time.monotonic() + STOP_S
    while any(c.process and c.process.poll() is None for c in children):
        if time.monotonic() > deadline:
            break
        signal.sigtimedwait({signal.SIGCHLD}, POLL_START_S)
    for child in children:
        child.stop(signal.SIGKILL)
    kill_strays(())


def _tell(descriptor: int, value: dict[str, object]) -> None:
    if descriptor < 0:
        return
    try:
        os.write(descriptor, json.dumps(value).encode() + b"\n")
        os.close(descriptor)
    except OSError as error:
        print(f"nobody waits for the network: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
