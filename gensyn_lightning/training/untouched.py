"""Which mapped memory still holds the bytes of its file: then its digest is known without reading.

The kernel knows of every page whether this process, or one it is a fork of, has written to it,
by whatever way. Nothing is known of memory that was read instead of mapped.
"""

from __future__ import annotations

import mmap
import os
from functools import cache

import numpy as np
import torch

from gensyn_lightning.protocol.digest import Digest

KNOWN_MAX = 256
_PRESENT, _SWAPPED, _FROM_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))
_ENTRY_BYTES = 8

# The storages are kept, so that their memory is never given to something else.
_KNOWN: dict[tuple[int, int], tuple[torch.UntypedStorage, Digest]] = {}


def remember(storage: torch.UntypedStorage, digest: Digest) -> None:
    """Note the digest of a storage's bytes, if they are those of a file that it maps."""
    place = storage.data_ptr(), storage.nbytes()
    if (
        storage.nbytes()
        and len(_KNOWN) < KNOWN_MAX
        and _kernel_tells()
        and not _was_written(*place)
    ):
        _KNOWN[place] = storage, digest


def digest_at(address: int, length: int) -> Digest | None:
    """Return the digest of memory that is exactly one mapped file, if it still is that file."""
    storage, digest = _KNOWN.get((address, length), (None, None))
    if storage is None or (storage.data_ptr(), storage.nbytes()) != (address, length):
        return None
    return None if _was_written(address, length) else digest


@cache
def _kernel_tells() -> bool:
    """Whether memory that was written to just now counts as written to."""
    fresh = np.ones(mmap.PAGESIZE, dtype=np.uint8)
    return _was_written(fresh.__array_interface__["data"][0], fresh.nbytes)


def _was_written(address: int, length: int) -> bool:
    """Whether a page is this process's own; yes where that cannot be found out."""
    first, last = address // mmap.PAGESIZE, (address + length - 1) // mmap.PAGESIZE
    count = last - first + 1
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            found = os.pread(file.fileno(), count * _ENTRY_BYTES, first * _ENTRY_BYTES)
    except OSError:
        return True
    pages = np.frombuffer(found, dtype=np.uint64)
    own = (((pages & _PRESENT) != 0) & ((pages & _FROM_FILE) == 0)) | ((pages & _SWAPPED) != 0)
    return pages.size < count or bool(own.any())
