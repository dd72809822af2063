"""A node as its owner sees it: whether it runs, what it has in hand, how it is asked to leave.

One node runs in a folder at a time. Whoever may write there owns the node and may ask it to leave:
it then takes nothing new, finishes what it owes and ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network.home import LEAVE, write_json
from gensyn_lightning.wire.nodes import Work

BYTES_MAX = 1 << 20
LOCK_S = 10.0
POLL_S = 0.02
_LOCK, _SHOWN = "node.lock", "node.json"


@dataclass(frozen=True, slots=True)
class Doing:
    """A segment a node has in hand: `kind` is solve, check or arbitrate."""

    kind: str
    job: str
    segment: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a running node says of itself."""

    pid: int
    leaving: bool
    works: tuple[Doing, ...]


class Presence:
    """A node's side: it holds the folder while it runs and shows there what it does."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; raise `ConfigError` when another process has it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._works: Sequence[Work] = ()
        deadline = time.monotonic() + LOCK_S  # somebody who only looks holds it for a moment
        while not _locks(self._lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(self._lock)
                raise ConfigError(f"a node runs in {folder} already", hint="give this another name")
            time.sleep(POLL_S)
        (folder / _SHOWN).unlink(missing_ok=True)

    def show(self, works: Sequence[Work]) -> None:
        """Show what the node has in hand."""
        self._works = works
        doing = [
            Doing(each.kind.name.lower(), each.job_id.hex(), each.task.index) for each in works
        ]
        standing = Standing(os.getpid(), self.asked_to_leave(), tuple(doing))
        write_json(self._folder / _SHOWN, asdict(standing))

    def asked_to_leave(self) -> bool:
        """Whether the owner wants the node to end once it owes nothing."""
        return (self._folder / LEAVE).exists()

    def leaving(self) -> None:
        """Show that the request was heard."""
        self.show(self._works)

    def left(self) -> None:
        """Show that the node has left as it was asked to; the next one here stays."""
        (self._folder / LEAVE).unlink(missing_ok=True)
        (self._folder / _SHOWN).unlink(missing_ok=True)
        os.close(self._lock)


def look(folder: Path) -> Standing | None:
    """Return what the node in `folder` says of itself, or None while none is at work there."""
    try:
        with (folder / _LOCK).open("r") as lock:
            if _locks(lock.fileno(), fcntl.LOCK_SH):
                return None
        with (folder / _SHOWN).open("rb") as file:
            value = json.loads(file.read(BYTES_MAX))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / _SHOWN} cannot be read: {error}", hint="delete it") from error
    try:
        works = tuple(Doing(**each) for each in value["works"])
        return Standing(int(value["pid"]), bool(value["leaving"]), works)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder / _SHOWN} is damaged: {error}", hint="delete it") from error


def ask_to_leave(folder: Path) -> None:
    """Ask the node in `folder` to end once it owes nothing."""
    (folder / LEAVE).touch(mode=0o600)


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
