"""What a program reads from outside its state (clocks, entropy), recorded per event and fed back.

Only the program's own reads count: Lightning and the user's code are the program, the standard
library, torch and NumPy are not, since how often those look at the clock is nobody's promise.

A program never sees this machine's clock. Its time stands still while it sets itself up and runs
from the first event on, from segment to segment without a gap; a tape holds how many nanoseconds
of it had passed at each reading. A replay that asks for something else than the recording holds
gets a made-up value, the same on every machine, and records it: its tape, and with it the tape
root, differs, and two who replay a forged tape still agree with each other.
Other threads and processes of a program see the time of its last reading and entropy of their own.
"""

from __future__ import annotations

import datetime as datetimes
import os
import random
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from blake3 import blake3

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes, parse_json
from gensyn_lightning.protocol.digest import Digest

ENTRIES_MAX = 1_000_000
BYTES_MAX = 64 << 20
ENTROPY_BYTES_MAX = 1 << 20
SCHEMA = "gensyn-tape/1"
MADE_UP_STEP_NS = 10**6

# When a program's time begins: 2026-01-01 by the calendar, an hour after its machine started.
CALENDAR_NS = 1_767_225_600 * 10**9
UPTIME_NS = 3600 * 10**9
_CLOCKS = {
    "time": CALENDAR_NS,
    "monotonic": UPTIME_NS,
    "perf_counter": UPTIME_NS,
    "process_time": 0,
    "thread_time": 0,
}
_TRANSPARENT = frozenset({"random", "secrets", "uuid", "datetime", __name__})
_NOT_PROGRAM = (sys.stdlib_module_names - {"__main__"}) | {
    "cloudpickle",
    "fsspec",
    "gensyn_lightning",
    "numpy",
    "rich",
    "torch",
    "tqdm",
}
_REAL_URANDOM = os.urandom
_REAL_NS = time.monotonic_ns


class Tape:
    """Everything read from outside since the segment began, in order, by event.

    `seed` gives the entropy a program gets while it sets itself up.
    """

    def __init__(self, recorded: bytes | None = None, *, seed: bytes = b"") -> None:
        self.offset_ns = 0
        self._events: dict[int, list[list[str]]] = {}
        self._event = 0
        self._count = 0
        self._began: int | None = None
        self._seed = seed
        self._drawn = 0
        self._process = os.getpid()
        self._recorded = _read(recorded) if recorded is not None else None

    def replay(self, recorded: bytes) -> None:
        """Feed a recording back from now on."""
        self._recorded = _read(recorded)

    def start(self, offset_ns: int) -> None:
        """Let time run on from `offset_ns` and record readings, now that the set-up is over."""
        self.offset_ns = offset_ns
        self._process = os.getpid()
        self._began = _REAL_NS() - offset_ns

    def stop(self) -> None:
        """Record nothing any more and let time stand still: the segment is over."""
        self._began = None

    def skip(self, seconds: float) -> None:
        """Leave out time that has just passed while the program was kept waiting."""
        if self._began is not None:
            self._began += round(1e9 * seconds)

    def at(self, event: int) -> None:
        """Say which event the program is in."""
        self._event = event

    def note(self, source: str, value: str) -> None:
        """Record something that happened to the program, such as a stop by its user."""
        self._count += 1
        if self._count > ENTRIES_MAX:
            raise LimitExceeded(f"a program read the outside more than {ENTRIES_MAX} times")
        self._events.setdefault(self._event, []).append([source, value])

    def read(self, source: str, real: Callable[[], str], made_up: Callable[[], str]) -> str:
        """Return the next value of `source`: the recorded or a made-up one in a replay, or real."""
        value = self._next(source)
        if value is None:
            value = real() if self._recorded is None else made_up()
        self.note(source, value)
        return value

    def recorded_stop(self, source: str) -> bool:
        """Whether the recording says that `source` happened next in this event."""
        return self._next(source) is not None

    def encoded(self) -> bytes:
        """Return the tape as canonical JSON."""
        events = [[event, self._events[event]] for event in sorted(self._events)]
        return json_bytes({"schema": SCHEMA, "events": events})

    def root(self) -> Digest:
        """Return the Merkle root over one leaf per event that read anything."""
        return merkle.root(
            [json_bytes([each, self._events[each]]) for each in sorted(self._events)]
        )

    def install(self) -> None:
        """Put the tape between this process and its clocks and entropy; there is no way back."""
        for name, start in _CLOCKS.items():
            seconds = self._clock(name, start, getattr(time, name), lambda ns: ns / 1e9)
            setattr(time, name, seconds)
            whole = self._clock(name, start, getattr(time, f"{name}_ns"), int)
            setattr(time, f"{name}_ns", whole)
        for name in ("gmtime", "localtime", "ctime"):
            setattr(time, name, _at_now(getattr(time, name)))
        time.strftime = _of_now(time.strftime, 1)
        time.asctime = _of_now(time.asctime, 0)
        os.urandom = self._urandom
        random._urandom = self._urandom  # type: ignore[attr-defined]
        uuid.uuid1 = lambda *_, **__: uuid.uuid4()
        datetimes.datetime = _datetime()  # type: ignore[misc, assignment]

    def _next(self, source: str) -> str | None:
        if self._recorded is None:
            return None
        waiting = self._recorded.get(self._event)
        if not waiting or waiting[0][0] != source:
            return None
        return waiting.popleft()[1]

    def _is_recording(self) -> bool:
        return (
            self._began is not None
            and os.getpid() == self._process
            and threading.current_thread() is threading.main_thread()
        )

    def _passed(self, name: str) -> int:
        """Return how many nanoseconds of the program's time have passed."""
        if self._is_recording():
            began = self._began or 0
            # Made-up time runs on, so that nobody who waits for it waits for ever.
            made_up = str(self.offset_ns + MADE_UP_STEP_NS)
            text = self.read(name, lambda: str(_REAL_NS() - began), lambda: made_up)
            if text.isdecimal() and len(text) < 20:
                self.offset_ns = int(text)
        return self.offset_ns

    def _clock(
        self, name: str, start: int, real: Callable[[], Any], form: Callable[[int], Any]
    ) -> Callable[[], Any]:
        def clock() -> Any:
            return form(start + self._passed(name)) if _asked_by_program() else real()

        clock.__name__ = clock.__qualname__ = name
        return clock

    def _urandom(self, size: int) -> bytes:
        if not _asked_by_program():
            return _REAL_URANDOM(size)
        if size > ENTROPY_BYTES_MAX:
            raise LimitExceeded(f"a program asked for {size} bytes of entropy at once")
        if self._began is None:
            return self._drawn_from_seed(size)
        if not self._is_recording():
            return _REAL_URANDOM(size)
        text = self.read(
            "urandom",
            lambda: _REAL_URANDOM(size).hex(),
            lambda: self._drawn_from_seed(size).hex(),
        )
        return bytes.fromhex(text) if len(text) == 2 * size else bytes(size)

    def _drawn_from_seed(self, size: int) -> bytes:
        self._drawn += 1
        return blake3(self._seed + self._drawn.to_bytes(8, "big")).digest(length=size)


def _read(recorded: bytes) -> dict[int, deque[list[str]]]:
    value = parse_json(recorded, bytes_max=BYTES_MAX)
    try:
        if value["schema"] != SCHEMA:
            raise Malformed(f"a tape of another kind: {value['schema']!r}")
        events = {int(event): deque(_entries(entries)) for event, entries in value["events"]}
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"no tape: {error}") from None
    return events


def _entries(entries: Iterable[Any]) -> Iterable[list[str]]:
    for source, value in entries:
        if not isinstance(source, str) or not isinstance(value, str):
            raise Malformed("a tape's entry is two strings")
        if source == "urandom" and set(value) - set("0123456789abcdef"):
            raise Malformed("a tape's entropy is not hexadecimal")
        yield [source, value]


def _asked_by_program() -> bool:
    """Whether the code that asked is the program's, looking through wrappers such as `secrets`."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module not in _TRANSPARENT:
            return module.partition(".")[0] not in _NOT_PROGRAM
        frame = frame.f_back
    return False


def _at_now(real: Callable[..., Any]) -> Callable[..., Any]:
    """Return `gmtime` and its like with the program's idea of now."""

    def convert(seconds: float | None = None) -> Any:
        if seconds is None and _asked_by_program():
            seconds = time.time()
        return real(seconds)

    return convert


def _of_now(real: Callable[..., Any], given: int) -> Callable[..., Any]:
    """Return `strftime` and its like with the program's idea of now."""

    def write(*args: Any) -> Any:
        if len(args) == given and _asked_by_program():
            return real(*args, time.localtime())
        return real(*args)

    return write


def _datetime() -> type:
    """Return `datetime.datetime` with a `now` that asks `time.time`, and so the tape."""
    real: Any = datetimes.datetime

    class Meta(type):
        def __instancecheck__(cls, each: object) -> bool:
            return isinstance(each, real)

        def __subclasscheck__(cls, each: type) -> bool:
            return issubclass(each, real)

    class Clocked(real, metaclass=Meta):  # type: ignore[misc]
        """`datetime.datetime` whose idea of now comes from the tape; its instances are plain."""

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real(*args, **kwargs)

        @classmethod
        def now(cls, tz: datetimes.tzinfo | None = None) -> Any:
            return real.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return real.fromtimestamp(time.time(), datetimes.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return real.fromtimestamp(time.time())

    Clocked.__module__, Clocked.__qualname__, Clocked.__name__ = "datetime", "datetime", "datetime"
    return Clocked
