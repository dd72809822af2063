"""Finds the shim, or has it built on first use, and speaks to it.

It is looked for beside the kernels, then in the user's cache (`$XDG_CACHE_HOME/gensyn`), and built
into the latter. `GENSYN_SHIM=0` does without: operators are then dispatched from Python.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import subprocess
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.repops.build import LIBRARIES
from gensyn_lightning.repops.shim import build

_LOG = logging.getLogger(__name__)


class Shim:
    """The shim, loaded; operators are named by the handles it gave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._library.gensyn_shim_message.restype = ctypes.c_char_p
        self._library.gensyn_shim_operator.restype = ctypes.c_void_p
        for each in ("keep_stock", "forget"):
            getattr(self._library, f"gensyn_shim_{each}").argtypes = (ctypes.c_void_p,)
        self._library.gensyn_shim_map.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
        self._library.gensyn_shim_learn.argtypes = (ctypes.c_void_p, ctypes.c_void_p)

    def operator(
        self, name: str, words: Sequence[bool], written: Sequence[bool], *, elementwise: bool
    ) -> int:
        """Return a handle for an ATen operator, good for as long as the process lives.

        `words` says of each argument whether a number there is handed on to kernels, `written`
        whether a tensor there is written.
        """
        base, _, overload = name.partition(".")
        made = self._library.gensyn_shim_operator(
            base.encode(),
            overload.encode(),
            bytes(words),
            bytes(written),
            ctypes.c_int64(len(words)),
            int(elementwise),
        )
        self._check(0 if made else -1)
        return int(made)

    def keep_stock(self, operator: int) -> None:
        """Keep torch's own kernel: what is registered now is what an exact call is left to."""
        self._check(self._library.gensyn_shim_keep_stock(operator))

    def install(self, operators: Sequence[int], kernels: int) -> None:
        """Go before the operators' kernels in Python; `kernels` is the address of `repops_run`."""
        handles = (ctypes.c_void_p * len(operators))(*operators)
        count = ctypes.c_int64(len(operators))
        self._check(self._library.gensyn_shim_install(handles, count, ctypes.c_void_p(kernels)))

    def uninstall(self) -> None:
        """Step aside: calls go to whatever was registered below."""
        self._check(self._library.gensyn_shim_uninstall())

    def learn(self, operator: int, plan: int | None) -> None:
        """Remember the plan at an address for the call this thread is in; None: it is stock's."""
        self._check(self._library.gensyn_shim_learn(operator, plan))

    def forget(self, operator: int) -> None:
        """Forget an operator's plans."""
        self._check(self._library.gensyn_shim_forget(operator))

    def map(self, storage: int, file: int, length: int) -> None:
        """Have the empty storage at an address hold the bytes of an open file, privately."""
        self._check(self._library.gensyn_shim_map(storage, file, length))

    def _check(self, status: int) -> None:
        if status:
            raise ConfigError(f"{self.path.name}: {self._library.gensyn_shim_message().decode()}")


@cache
def load() -> Shim | None:
    """Return the shim, built first if need be; None where that is not possible or not wanted."""
    if os.environ.get("GENSYN_SHIM") == "0":
        return None
    path = find() or _built()
    return None if path is None else Shim(path)


def find() -> Path | None:
    """Return where the shim for this torch is, if it is built; never one of another user's."""
    for folder in (LIBRARIES, cache_folder()):
        path = folder / build.name()
        if path.is_file() and (folder == LIBRARIES or path.stat().st_uid == os.getuid()):
            return path
    return None


def cache_folder() -> Path:
    """Return the folder that what is built on first use is kept in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gensyn"


def _built() -> Path | None:
    """Build the shim into the cache, one process at a time."""
    command = build.compiler()
    if command is None:
        _LOG.info("no C++ compiler: operators are dispatched from Python")
        return None
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(folder / "shim.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (found := find()) is not None:
                return found
            _LOG.info("compiling the shim for this torch, once")
            return build.build(folder, command)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or b""
        warnings.warn(
            f"the shim was not built, operators are dispatched from Python: {error}\n"
            f"{detail.decode(errors='replace')[-2000:]}",
            stacklevel=2,
        )
        return None
