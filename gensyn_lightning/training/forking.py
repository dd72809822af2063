"""Whether a fork of this process is as good as a process that has done all that this one did."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def alone() -> bool:
    """Whether this process has one thread and no children: a fork would lack the others."""
    return len(os.listdir("/proc/self/task")) == 1 and not psutil.Process().children()


def shared() -> tuple[frozenset[str], tuple[str, ...]]:
    """Return what forks have in common: open files, whose positions they share, and shared memory.

    What is the same before and after some work was left by none of it.
    """
    return _open_files(), _shared_memory()


def _open_files() -> frozenset[str]:
    listed = os.listdir("/proc/self/fd")
    # The descriptor of this very listing is closed by now.
    return frozenset(each for each in listed if os.path.lexists(f"/proc/self/fd/{each}"))


def _shared_memory() -> tuple[str, ...]:
    maps = Path("/proc/self/maps").read_text().splitlines()
    return tuple(each for each in maps if each.split(maxsplit=2)[1].startswith("rw-s"))
