"""Where the coordinator's time comes from."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds since 1970; MUST never go back by more than a lease."""

    def now_ms(self) -> int:
        """Return the time."""


class SystemClock:
    """The machine's clock, held still where it would run backwards."""

    def __init__(self) -> None:
        self._last_ms = 0

    def now_ms(self) -> int:
        """Return the time."""
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
        return self._last_ms
