"""Files that are here by name only: whoever opens one for what is in it is told so.

What lies in a submitter's folder does not travel; its names do, because they steer how new files
are called. A file of such a name is empty here. Opened as it is, it would give a program other
content than at home, or come back short in the place of a file that was longer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import StateError

_EVENTS = frozenset({"open", "os.rename", "os.link", "os.truncate"})


class NamesOnly:
    """A set of such files; one that is replaced, or opened to be written anew, leaves it."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._refused: StateError | None = None

    def add(self, path: Path) -> None:
        """Take in an empty file."""
        self._paths.add(os.path.realpath(path))

    def clear(self) -> None:
        """Forget all files."""
        self._paths.clear()

    def has(self, path: Path) -> bool:
        """Return whether a file is here by name only, as it was when it was taken in."""
        return os.path.realpath(path) in self._paths and path.stat().st_size == 0

    def guard(self) -> None:
        """Have this process refuse to use such a file as it is; there is no way back."""
        sys.addaudithook(self._hear)

    def must_be_untouched(self) -> None:
        """Raise what was refused before, should the program have caught it."""
        if self._refused is not None:
            raise self._refused

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not self._paths or isinstance(arguments[0], int):
            return
        path = Path(os.fsdecode(arguments[0]))
        if os.path.realpath(path) not in self._paths:
            return
        flags = arguments[2] if event == "open" else 0
        if flags & os.O_EXCL:
            return  # it is there, and that is all that matters
        if flags & os.O_TRUNC or (path.exists() and path.stat().st_size):
            self._paths.discard(os.path.realpath(path))
            return
        self._refused = StateError(
            f"{path.name} was in its folder before the fit, and what is in it does not travel",
            hint="load it before `fit` is called, or write to a new file",
        )
        raise self._refused
