"""The work a node holds: leases kept by heartbeats, commands obeyed, from a second thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gensyn_lightning.client import Client
from gensyn_lightning.errors import (
    CoordinatorUnavailable,
    GensynError,
    InvalidTransition,
    LeaseLost,
    NotFound,
)
from gensyn_lightning.protocol.canonical import SAFE_INTEGER_MAX, json_bytes
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.wire.nodes import Command, CommandKind, Work

BEAT_S_MAX = 1.0
PROGRESS_TEXT_MAX = 80
PROGRESS_ENTRIES_MAX = 32

Obey = Callable[[Command], None]
Say = Callable[[str], None]
Changed = Callable[[Sequence[Work]], None]


@dataclass(slots=True)
class Held:
    """One piece of work under a lease; `stop` is set when it is no longer this node's.

    Once `handed_in`, the lease ends with the answer and is not kept any longer.
    """

    work: Work
    stop: threading.Event = field(default_factory=threading.Event)
    event: int = 0
    handed_in: bool = False
    progress: dict[str, Any] = field(default_factory=dict)
    _heir: Held | None = None
    _begun: Held | None = None

    def pass_on_to(self, heir: Held) -> None:
        """Have `heir`, whose lease it really is, told of what runs, and end it."""
        heir._begun = self
        if heir.stop.is_set():
            self.stop.set()
        heir.progress, heir.event = self.progress, max(self.event, heir.event)
        self._heir = heir

    def end(self) -> None:
        """Stop whatever runs for this; for any thread."""
        self.stop.set()
        if self._begun is not None:
            self._begun.stop.set()

    def advance(self, progress: Mapping[str, Any]) -> None:
        """Take in what a runner reports; called from the thread that runs it."""
        if self._heir is not None:
            self._heir.advance(progress)
            return
        event = progress.get("event")
        if isinstance(event, int):
            self.event = max(0, event)
        self.progress = _shown(progress)


class Leases:
    """Keeps every lease of a node alive until its work is let go.

    `obey` performs OPEN_SALT and REPORT; it is called from this object's thread. `changed` is told
    all that is held whenever that changes.
    """

    def __init__(self, client: Client, obey: Obey, say: Say, changed: Changed) -> None:
        self._client, self._obey, self._say, self._changed = client, obey, say, changed
        self._held: dict[Digest, Held] = {}
        self._lock = threading.Lock()
        self._beat_s = BEAT_S_MAX
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)

    def start(self, heartbeat_ms: int) -> None:
        """Begin; heartbeats come at least every `heartbeat_ms`."""
        self._beat_s = min(BEAT_S_MAX, heartbeat_ms / 1000)
        if not self._thread.is_alive():
            self._thread.start()

    def take(self, work: Work) -> Held:
        """Hold new work from now on."""
        held = Held(work, event=work.task.first_event)
        with self._lock:
            self._held[work.work_id] = held
            self._tell()
        return held

    def let_go(self, work_id: Digest) -> None:
        """Hold the work no longer."""
        with self._lock:
            held = self._held.pop(work_id, None)
            if held is not None:
                self._tell()
        if held is not None:
            held.end()

    def holding(self) -> list[Digest]:
        """Return the names of what is held."""
        with self._lock:
            return list(self._held)

    def hear(self, commands: tuple[Command, ...]) -> bool:
        """Obey commands that came with an answer; return whether all of them could be obeyed."""
        obeyed = [self._hear(each) for each in commands]
        return all(obeyed)

    def _tell(self) -> None:
        self._changed([each.work for each in self._held.values()])

    def _hear(self, command: Command) -> bool:
        if command.kind is CommandKind.CANCEL:
            self.let_go(command.subject)
            return True
        try:
            self._obey(command)
        except CoordinatorUnavailable as error:
            self._say(f"{command.kind.name} waits: {error}")
            return False
        except GensynError as error:
            self._say(f"{command.kind.name} was refused: {error}")
            self.let_go(command.subject)
            return False
        return True

    def _keep(self) -> None:
        while True:
            began = time.monotonic()
            with self._lock:
                all_held = [each for each in self._held.values() if not each.handed_in]
            for held in all_held:
                self._beat(held)
            time.sleep(max(0.0, self._beat_s - (time.monotonic() - began)))

    def _beat(self, held: Held) -> None:
        try:
            answer = self._client.heartbeat(held.work, held.event, json_bytes(held.progress))
        except CoordinatorUnavailable as error:
            self._say(f"nobody hears the heartbeat: {error}")
        except (LeaseLost, NotFound, InvalidTransition) as error:
            if not held.handed_in and held.work.work_id in self.holding():
                self._say(f"lost segment {held.work.task.index}: {error}")
            self.let_go(held.work.work_id)
        else:
            self.hear(answer.commands)


def _shown(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Return progress as canonical JSON can carry it: bounded, floats as text."""
    few = list(progress.items())[:PROGRESS_ENTRIES_MAX]
    return {str(name)[:PROGRESS_TEXT_MAX]: _value(value) for name, value in few}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _shown(value)
    whole = isinstance(value, int) and abs(value) <= SAFE_INTEGER_MAX
    return value if whole else str(value)[:PROGRESS_TEXT_MAX]
