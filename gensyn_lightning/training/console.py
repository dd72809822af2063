"""What a program says on its terminal, as bounded lines without control characters."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

from gensyn_lightning.training.outputs import LINE_CHARS_MAX, LINES_MAX, Line

_LOGGERS = (
    "lightning",
    "lightning.pytorch",
    "lightning.fabric",
    "pytorch_lightning",
    "lightning_fabric",
)


class Console:
    """Stands in for the terminal; while `muted`, nothing is kept."""

    def __init__(self) -> None:
        self.event = 0
        self.muted = False
        self.lines: list[Line] = []

    def install(self) -> None:
        """Take over standard output, standard error, Lightning's log and warnings."""
        sys.stdout = _Stream(self, "stdout")
        sys.stderr = _Stream(self, "stderr")
        for name in _LOGGERS:
            for handler in logging.getLogger(name).handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.setStream(sys.stderr)
        warnings.resetwarnings()
        warnings.simplefilter("default")
        warnings.showwarning = self._warn

    def add(self, stream: str, text: str) -> None:
        """Keep a line, or the first part of a long one, up to a limit."""
        if self.muted or len(self.lines) >= LINES_MAX:
            return
        shown = "".join(each if each.isprintable() or each == "\t" else "�" for each in text)
        self.lines.append(Line(self.event, stream, shown[:LINE_CHARS_MAX]))

    def _warn(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        self.add("warning", f"{category.__name__}: {message}")


class _Stream:
    """A text stream whose lines end up with the console."""

    encoding = "utf-8"
    errors = "strict"

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for each in lines:
            self._console.add(self._name, each)
        if len(self._rest) > LINE_CHARS_MAX:
            self._console.add(self._name, self._rest)
            self._rest = ""
        return len(text)

    def writelines(self, lines: Any) -> None:
        for each in lines:
            self.write(each)

    def flush(self) -> None:
        """Do nothing: lines are kept as they end."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return {"stdout": 1, "stderr": 2}[self._name]
