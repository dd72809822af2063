"""Digests of what is large: computed by all processors, and saying how far they have come.

Not for a process that will be forked: the threads would be missing from the fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO

from blake3 import blake3

from gensyn_lightning.protocol.digest import Digest

RUN_BYTES = 8 << 20

Passed = Callable[[int], None]


def unheard(count: int) -> None:
    """Take no notice of how many bytes were hashed."""


def digest_of_memory(data: memoryview, passed: Passed = unheard) -> Digest:
    """Return the digest of `data`, read where it lies; `passed` hears the length of every run."""
    hasher, view = _hasher(), data.cast("B")
    for start in range(0, view.nbytes, RUN_BYTES):
        run = view[start : start + RUN_BYTES]
        hasher.update(run)
        passed(run.nbytes)
    return Digest(hasher.digest())


def digest_of_open(file: FileIO, passed: Passed = unheard) -> Digest:
    """Return the digest of the rest of a file, in little memory: a mapped one would count whole."""
    length = os.fstat(file.fileno()).st_size
    hasher, room = _hasher(), memoryview(bytearray(max(1, min(length, RUN_BYTES))))
    while count := file.readinto(room):
        hasher.update(room[:count])
        passed(count)
    return Digest(hasher.digest())


def _hasher() -> blake3:
    return blake3(max_threads=blake3.AUTO)
