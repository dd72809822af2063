"""An array's file as memory of a program: mapped where that can be, so that runners share it.

What a program writes to mapped memory is its own: pages are copied when they are first written to.
The storage is like any other of torch's, and can be resized.
"""

from __future__ import annotations

import os
from io import FileIO

import torch

from gensyn_lightning.errors import ArtifactError
from gensyn_lightning.repops.shim import loader
from gensyn_lightning.training.packing import as_bytes, new_storage

MAPPED_FROM_BYTES = 1 << 20  # below it a copy is cheaper than the faults


def mapped_or_read(file: FileIO, length: int) -> torch.UntypedStorage:
    """Return the bytes of an open file; raise `ArtifactError` unless it is exactly as long."""
    found = os.fstat(file.fileno()).st_size
    if found != length:
        raise ArtifactError(f"an array of {length} bytes lies in a file of {found}")
    shim = loader.load() if length >= MAPPED_FROM_BYTES else None
    if shim is None:
        storage = new_storage(length)
        _read_into(file, as_bytes(storage))
    else:
        storage = new_storage(0)
        shim.map(storage._cdata, file.fileno(), length)
    return storage


def _read_into(file: FileIO, view: memoryview) -> None:
    filled = 0
    while filled < len(view):
        count = file.readinto(view[filled:])
        if not count:
            raise ArtifactError(f"an array of {len(view)} bytes ends after {filled}")
        filled += count
