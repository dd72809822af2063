"""Says on stderr what a job is doing, in the style of the user's progress bar.

On a terminal one line is kept up to date, drawn by rich or by tqdm like the trainer's own bar;
anywhere else a line is printed now and then. Nodes and the network have a part in what is said, so
nothing in it reaches the terminal that could steer it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from gensyn_lightning.errors import GensynError
from gensyn_lightning.launcher.board import Board
from gensyn_lightning.report.finding import printable

PLAIN_EVERY_S = 2.0
DRAW_EVERY_S = 0.1
RATE_AFTER_S = 0.5  # a rate over less says nothing


class Line(Protocol):
    """A way to keep one line up to date and to print others above it."""

    def update(self, text: str) -> None:
        """Show `text` as the line that is kept up to date."""

    def say(self, text: str) -> None:
        """Print `text` for good."""

    def close(self) -> None:
        """Leave the last line as it is and stop."""


class Display:
    """What a submission tells the user; silent when `quiet`."""

    def __init__(self, bar: Any, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._line: Line | None = None if quiet else _line_for(bar, self._stream)
        self._drawn_s = 0.0

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._line is not None:
            self._line.say(f"gensyn: {printable(text)}")

    def update(self, text: str, *, always: bool = False) -> None:
        """Show how far things are; at most ten times a second."""
        now = time.monotonic()
        if self._line is not None and (always or now - self._drawn_s >= DRAW_EVERY_S):
            self._drawn_s = now
            self._line.update(f"gensyn: {printable(text)}")

    def moved(self, verb: str) -> Callable[[int, int], None]:
        """Return a callback that shows how many bytes of how many were moved, and how fast.

        What was done at the first call was done before, and does not count as fast.
        """
        first: tuple[float, int] | None = None

        def progress(done: int, total: int) -> None:
            nonlocal first
            now = time.monotonic()
            since, before = first = first or (now, done)
            text = f"{verb} {size(done)} of {size(total)}"
            if now - since >= RATE_AFTER_S and done > before:
                text += f", {size(round((done - before) / (now - since)))}/s"
            if total:
                self.update(text, always=done >= total)

        return progress

    def follow(self, board: Board, said: str = "") -> None:
        """Show how a job stands; `said` is worth a line of its own."""
        if said:
            self.say(f"{board.name}: {said}")
        self.update(f"{board.name}: {board.line()}")

    def lost(self, error: GensynError) -> None:
        """Show that the network does not answer and is asked again."""
        self.update(f"reconnecting: {error}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._line is not None:
            self._line.close()


def size(count: int) -> str:
    """Return a number of bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


class _Plain:
    """Lines for a log file: the line that is kept up to date appears every two seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = ""
        self._printed_s = 0.0

    def update(self, text: str) -> None:
        now = time.monotonic()
        if text != self._last and now - self._printed_s >= PLAIN_EVERY_S:
            self._printed_s = now
            self._last = text
            self.say(text)

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        self._stream.flush()


class _Tqdm:
    def __init__(self, stream: TextIO) -> None:
        from tqdm import tqdm  # type: ignore[import-untyped]

        self._stream = stream
        self._bar = tqdm(bar_format="{desc} [{elapsed}]", file=stream, leave=False)

    def update(self, text: str) -> None:
        self._bar.set_description_str(text)

    def say(self, text: str) -> None:
        self._bar.write(text, file=self._stream)

    def close(self) -> None:
        self._bar.close()


class _Rich:
    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        self._status = self._console.status("gensyn")
        self._status.start()

    def update(self, text: str) -> None:
        from rich.text import Text

        self._status.update(Text(text))

    def say(self, text: str) -> None:
        self._console.print(text)

    def close(self) -> None:
        self._status.stop()


def _line_for(bar: Any, stream: TextIO) -> Line:
    if not stream.isatty():
        return _Plain(stream)
    rich_like = any(each.__name__ == "RichProgressBar" for each in type(bar).__mro__)
    return _Rich(stream) if rich_like else _Tqdm(stream)
