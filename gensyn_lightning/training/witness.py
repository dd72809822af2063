"""Proof that a segment's batches were worked on: one cheap record per event, under one root.

A record holds the digest of the batch's tensors, of what the step returned and logged, and of 64
slices of 4 KiB from parameters and gradients at places drawn from (start root, event). Somebody who
knows only the public roots cannot make one. It does not prove that the work was right: the replayed
end state does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from blake3 import blake3

from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import Digest

SLICES = 64
SLICE_BYTES = 4096
LEAVES_PER_BATCH_MAX = 10_000
DEPTH_MAX = 16
JOINED_BYTES_MAX = 1 << 20


class Witness:
    """The records of a segment's events, in order."""

    def __init__(self, start_root: Digest) -> None:
        self._start_root = start_root
        self._batch = self._output = blake3().hexdigest()
        self.records: list[dict[str, Any]] = []

    def batch(self, batch: Any) -> None:
        """Take in the batch an event is about to use."""
        self._batch = tensors_digest(batch)

    def output(self, output: Any) -> None:
        """Take in what the step returned, the loss above all."""
        self._output = tensors_digest(output)

    def close(
        self,
        event: int,
        kind: str,
        logged: Mapping[str, Any],
        tensors: Sequence[torch.Tensor],
    ) -> None:
        """Write the record of `event`; `tensors` are the parameters and their gradients."""
        self.records.append(
            {
                "event": event,
                "kind": kind,
                "batch": self._batch,
                "output": self._output,
                "logged": tensors_digest(dict(logged)),
                "slices": slices_digest(self._start_root, event, tensors),
            }
        )
        self._batch = self._output = blake3().hexdigest()

    def root(self) -> Digest:
        """Return the Merkle root over the records, unsalted."""
        return merkle.root([json_bytes(each) for each in self.records])


def tensors_digest(value: Any) -> str:
    """Return the digest of every tensor and number in a nested value, in order."""
    parts: list[bytes | memoryview] = []
    for each in islice(_leaves(value, 0), LEAVES_PER_BATCH_MAX):
        if isinstance(each, torch.Tensor):
            parts.append(f"{each.dtype}{tuple(each.shape)}".encode())
            parts.append(raw(each))
        else:
            parts.append((each.hex() if isinstance(each, float) else repr(each)).encode())
        parts.append(b"\0")
    return _digest(parts)


def slices_digest(start_root: Digest, event: int, tensors: Sequence[torch.Tensor]) -> str:
    """Return the digest of the slices that (start root, event) draws from `tensors`."""
    ends = np.cumsum([each.nbytes for each in tensors], dtype=np.uint64)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        return blake3().hexdigest()
    seed = blake3(b"witness" + start_root + event.to_bytes(8, "big"))
    offsets = np.frombuffer(seed.digest(length=8 * SLICES), dtype=">u8") % np.uint64(total)
    indices = np.searchsorted(ends, offsets, side="right")
    starts = np.concatenate([np.zeros(1, np.uint64), ends])[indices]
    views: dict[int, memoryview] = {}
    parts = []
    for index, inside in zip(indices.tolist(), (offsets - starts).tolist(), strict=True):
        view = views.get(index)
        if view is None:
            view = views[index] = raw(tensors[index])
        parts.append(view[inside : inside + SLICE_BYTES])
    return _digest(parts)


def raw(tensor: torch.Tensor) -> memoryview:
    """Return the tensor's logical bytes, without a copy where it is contiguous."""
    flat = tensor.detach().reshape(-1)
    if not flat.numel():
        return memoryview(b"")
    data: Any = flat.view(torch.uint8).numpy()
    return memoryview(data)


def _digest(parts: Sequence[bytes | memoryview]) -> str:
    """Hash the parts as one: a single call is far cheaper than one for each small part."""
    if sum(map(len, parts)) <= JOINED_BYTES_MAX:
        return blake3(b"".join(parts)).hexdigest()
    hasher = blake3()
    for each in parts:
        hasher.update(each)
    return hasher.hexdigest()


def _leaves(value: Any, depth: int) -> Iterator[Any]:
    if (
        isinstance(value, torch.Tensor)
        or value is None
        or isinstance(value, bool | int | float | str)
    ):
        yield value
    elif depth < DEPTH_MAX:
        if isinstance(value, Mapping):
            for key in value:
                yield str(key)
                yield from _leaves(value[key], depth + 1)
        elif isinstance(value, Sequence):
            for each in value:
                yield from _leaves(each, depth + 1)
