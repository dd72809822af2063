"""One process of the network: started, watched, and started again when it dies, within bounds.

One that ends with the status `LEFT` was asked to, and stays down.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from gensyn_lightning.errors import SandboxError
from gensyn_lightning.network.process import die_with_parent, kill_group

RESTARTS_MAX = 40
RESTARTS_WINDOW_S = 600.0
BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 5.0
STEADY_S = 30.0
LOG_BYTES_MAX = 64 << 20
LOG_TAIL_BYTES = 2000
REFUSED_TO_START = 78
LEFT = 79


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: `once` is added to the command of the first start only."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    once: tuple[str, ...] = ()


@dataclass(slots=True)
class Child:
    """The process of a plan, and how often it had to be started again."""

    plan: Plan
    process: subprocess.Popen[bytes] | None = None
    due_s: float = 0.0
    started_s: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S
    left: bool = False
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS_MAX))

    @property
    def pid(self) -> int:
        """The process id, 0 while there is none."""
        return self.process.pid if self.process is not None else 0

    def start(self) -> None:
        """Start the process; it dies with this one and is the leader of a group of its own."""
        now = time.monotonic()
        command = [*self.plan.command, *(self.plan.once if not self.starts else ())]
        with _appending(self.plan.log) as log:
            self.process = subprocess.Popen(  # noqa: S603 - the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.plan.environment),
                cwd="/",
                process_group=0,
                preexec_fn=partial(_prepare, os.getpid()),
            )
        self.started_s = now
        self.starts.append(now)

    def tend(self) -> bool:
        """Start the process again if it died; return whether its process id has changed.

        Raise `SandboxError` when it refuses to start or keeps dying: the network is then broken.
        """
        now = time.monotonic()
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                _bound(self.plan.log)
                return False
            self._bury(status, now)
            if self.left:
                return True
        if self.left or now < self.due_s:
            return False
        self.start()
        return True

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask the process to end, or with SIGKILL end it and its group."""
        if self.process is None or self.process.poll() is not None:
            return
        if number == signal.SIGKILL:
            kill_group(self.process.pid)
        else:
            self.process.send_signal(number)

    def _bury(self, status: int, now: float) -> None:
        assert self.process is not None
        kill_group(self.process.pid)
        name, self.process = self.plan.name, None
        self.left = status == LEFT
        if status == REFUSED_TO_START:
            raise SandboxError(f"{name} refused to start", hint=last_words(self.plan.log))
        if len(self.starts) == RESTARTS_MAX and now - self.starts[0] < RESTARTS_WINDOW_S:
            raise SandboxError(
                f"{name} died {RESTARTS_MAX} times in {RESTARTS_WINDOW_S:.0f} s",
                hint=last_words(self.plan.log),
            )
        steady = now - self.started_s > STEADY_S
        self.backoff_s = BACKOFF_FIRST_S if steady else min(2 * self.backoff_s, BACKOFF_LAST_S)
        self.due_s = now + self.backoff_s


def last_words(log: Path) -> str:
    """Return the last line of a log, for an error's hint."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{lines[-1].strip()} - see {log}" if lines else f"see {log}"


def _prepare(parent: int) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o077)
    die_with_parent(parent)


def _appending(log: Path) -> BinaryIO:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _bound(log: Path) -> None:
    if log.stat().st_size > LOG_BYTES_MAX:
        os.truncate(log, 0)
