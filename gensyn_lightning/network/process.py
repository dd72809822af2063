"""What our processes ask of the kernel: to die with a parent, to adopt orphans, to have limits."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Collection

import psutil

from gensyn_lightning.errors import SandboxError

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

FILE_BYTES_MAX = 16 << 30
OPEN_FILES_MAX = 4096
PROCESSES_MAX = 4096


def die_with_parent(parent: int) -> None:
    """Arrange to be killed when `parent` dies; leave at once if it is dead already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_memory() -> None:
    """Keep other processes of the same user, and core files, from reading the keys held here."""
    _prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_resources() -> None:
    """Bound what one runner may take; root is exempt from the count of processes."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, FILE_BYTES_MAX)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES_MAX)
    _limit(resource.RLIMIT_NPROC, PROCESSES_MAX)


def kill_group(leader: int) -> None:
    """Kill a process and everything in its group; being gone already is as good."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def put_down(child: int) -> int | None:
    """Kill a child of this process, and its group, and return its wait status when it is dead."""
    kill_group(child)
    try:
        os.kill(child, signal.SIGKILL)  # it may not lead a group yet
        return os.waitpid(child, 0)[1]
    except (ProcessLookupError, ChildProcessError):
        return None


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None if there is no such process."""
    try:
        return psutil.Process(pid).ppid()
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None


def kill_strays(known: Collection[int]) -> None:
    """Kill children of this process that nobody here started: orphans that were adopted."""
    for child in psutil.Process().children():
        if child.pid not in known:
            for each in (*_descendants(child), child):
                _kill(each)
            _reap(child.pid)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _limit(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (bound, bound))


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise SandboxError(
            f"the kernel refused prctl {option}: {os.strerror(ctypes.get_errno())}",
            hint="nodes need Linux",
        )
