"""Environment variables that a program's own code looked for in a runner and did not find.

A runner has the environment of its normal form and nothing of the submitter's. Code that falls back
on a default when a variable is missing would compute something else than at home, without an error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from gensyn_lightning.training.installed import installed_folders

FILE_NAME = "asked.json"
NAMES_MAX = 1000
_WRAPPERS = frozenset({"os", "_collections_abc", "collections.abc", __name__})


class Asked:
    """The names of the missing variables; what libraries look for is left out."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def install(self) -> None:
        """Listen to every look into `os.environ` of this process; there is no way back.

        A variable that is then set, as `setdefault` does, was not read.
        """
        environ: Any = type(os.environ)
        real, real_set = environ.__getitem__, environ.__setitem__

        def look(variables: Any, name: Any) -> Any:
            try:
                return real(variables, name)
            except KeyError:
                if isinstance(name, str) and len(self.names) < NAMES_MAX and _by_program():
                    self.names.add(name)
                raise

        def put(variables: Any, name: Any, value: Any) -> None:
            self.names.discard(name)
            real_set(variables, name, value)

        environ.__getitem__, environ.__setitem__ = look, put


def _by_program() -> bool:
    """Return whether the code that asked belongs to no installed package."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _WRAPPERS:
        frame = frame.f_back
    here = str(Path(__file__).parent.parent)
    return not frame.f_code.co_filename.startswith((*installed_folders(), here, "<frozen"))
