"""A job in a notebook while it runs: a widget that moves, and in the end something that stays.

A widget is no record: it is gone when the notebook is opened again. So whatever became of the job
takes its place in the same output. Nothing here may ever stop a job: a view that cannot be drawn
says so once and is left alone.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any

from gensyn_lightning.errors import GensynError
from gensyn_lightning.launcher.board import Board
from gensyn_lightning.launcher.display import Display
from kernel_ext import picture

DRAW_EVERY_S = 0.2
PICTURES_EVERY_S = 1.0


class LiveView(Display):
    """Shows one job in the output of the cell that made it.

    It is drawn by whoever tells it something, at most five times a second but for what happens
    once: a line, another state. `cancel` is what the button does.
    """

    def __init__(self, cancel: Callable[[str], None]) -> None:
        super().__init__(None, quiet=True)
        self.board: Board | None = None
        self._widgets: _Widgets | None = None
        self._handle: Any = None
        self._cancel = cancel
        self._doing = ""
        self._lines: list[str] = []
        self._broken = False
        self._state = ""
        self._drawn_s = self._pictures_s = 0.0
        self._lock = threading.RLock()  # the cell's thread and the one that follows

    def show(self) -> None:
        """Put the view into the output of the running cell."""

        def put() -> None:
            from IPython.display import display

            self._widgets = _Widgets(self._press)
            self._handle = display(self._widgets.box, display_id=True)  # type: ignore[no-untyped-call]

        self._safely(put)

    def say(self, text: str) -> None:
        """Add a line to the log."""
        if self.board is not None:
            self.board.say(text)
        else:
            self._lines.append(text)
        self._draw(always=True)

    def update(self, text: str, *, always: bool = False) -> None:
        """Say what is being done."""
        self._doing = text
        self._draw(always=always)

    def follow(self, board: Board, said: str = "") -> None:
        """Show how the job stands."""
        with self._lock:
            if self.board is not board:
                before = self._lines if self.board is None else self.board.lines
                board.lines = [each for each in before if each not in board.lines] + board.lines
            self.board, self._doing = board, ""
            changed, self._state = board.state != self._state, board.state
            self._draw(always=changed)

    def lost(self, error: GensynError) -> None:
        """Say that the network does not answer."""
        seen_ms = self.board.seen_ms if self.board else 0
        ago = max(0.0, time.time() - seen_ms / 1000)
        said = f"reconnecting, last seen {ago:.0f} s ago" if seen_ms else "reconnecting"
        self.update(said, always=not self._doing)

    def close(self) -> None:
        """Leave the view as it is."""
        self._draw(always=True)

    def replace(self, shown: Any) -> None:
        """Put something that stays in the place of the widget, and let the widget go."""
        with self._lock:
            handle, widgets, self._handle = self._handle, self._widgets, None
            if handle is None or widgets is None:
                return
            self._broken = False  # whatever could not be drawn before, this may be
            self._safely(lambda: handle.update(shown))
            self._safely(widgets.box.close)

    def freeze(self, note: str) -> None:
        """Put what was last seen in the place of the widget, with a word on why it stopped."""
        self.replace(Still(self.board, note, self._lines))

    def _press(self) -> None:
        if self.board is None:
            self.update("no job to stop yet", always=True)
            return
        try:
            self._cancel(self.board.name)
        except GensynError as error:
            self.say(f"could not be stopped: {error}")
        else:
            self.update("is being stopped", always=True)

    def _draw(self, *, always: bool) -> None:
        with self._lock:
            now = time.monotonic()
            if self._handle is None or (not always and now - self._drawn_s < DRAW_EVERY_S):
                return
            self._drawn_s = now
            with_pictures = always or now - self._pictures_s >= PICTURES_EVERY_S
            if with_pictures:
                self._pictures_s = now
            self._safely(lambda: self._set(with_pictures))

    def _set(self, with_pictures: bool) -> None:
        widgets = self._widgets
        assert widgets is not None
        if self.board is None:
            lines = "".join(f"<div>{escape(each)}</div>" for each in self._lines)
            widgets.set("head", f"<b>gensyn</b> {escape(self._doing)}")
            widgets.set("log", lines)
            return
        widgets.set("head", picture.headline(self.board, self._doing))
        widgets.set("log", picture.log(self.board))
        widgets.move(self.board.batches, self.board.batches_max)
        if with_pictures:
            widgets.set("curves", picture.drawn(self.board))
            widgets.set("segments", picture.segments(self.board))

    def _safely(self, draw: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            draw()
        except Exception as error:
            self._broken = True
            print(f"gensyn: the view cannot be drawn, the job goes on: {error}", file=sys.stderr)


class _Widgets:
    """The widgets of one view; a trait is set only when it changes."""

    def __init__(self, press: Callable[[], None]) -> None:
        import ipywidgets  # type: ignore[import-untyped]

        self._html = {name: ipywidgets.HTML() for name in ("head", "curves", "segments", "log")}
        self._bar = ipywidgets.IntProgress(min=0, max=1, layout={"width": "620px"})
        stop = ipywidgets.Button(
            description="Stop the job", tooltip="what was accepted stays paid", icon="stop"
        )
        stop.on_click(lambda _: press())
        row = ipywidgets.HBox([self._bar, stop])
        html = self._html
        rows = [html["head"], row, html["curves"], html["segments"], html["log"]]
        self.box: Any = ipywidgets.VBox(rows, layout={"max_width": "780px"})

    def set(self, name: str, value: str) -> None:
        """Show HTML under one of the names."""
        if self._html[name].value != value:
            self._html[name].value = value

    def move(self, done: int, most: int) -> None:
        """Move the bar; without an end it is full and only its words count."""
        self._bar.max = max(most, done, 1)
        self._bar.value = min(done, self._bar.max) if most else self._bar.max


class Still:
    """A job as it was last seen, without anything that moves."""

    def __init__(self, board: Board | None, note: str, lines: list[str] | None = None) -> None:
        self._board, self._note, self._lines = board, note, lines or []

    def __repr__(self) -> str:
        if self._board is None:
            return "\n".join([*self._lines, self._note])
        return f"{picture.words(self._board)}\n{self._note}".strip()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if self._board is None:
            return {"text/plain": repr(self)}
        return {"text/plain": repr(self), "text/html": picture.still(self._board, self._note)}
