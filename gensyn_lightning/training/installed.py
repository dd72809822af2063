"""Where installed packages lie, as against a program's own code."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from pathlib import Path


@functools.cache
def installed_folders() -> tuple[str, ...]:
    """Return the folders of installed packages, the standard library among them, each with `/`."""
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {os.path.realpath(sysconfig.get_path(kind)) for kind in kinds}
    found |= {sysconfig.get_path(kind) for kind in kinds}
    found |= {each for each in sys.path if Path(each).name in ("site-packages", "dist-packages")}
    return tuple(each.rstrip("/") + "/" for each in sorted(found))
