"""Proof that a segment's batches were worked on: one cheap record per event, under one root.

A record holds the digest of the batch's tensors, of what the step returned and logged, and of 64
slices of 512 bytes from parameters and gradients at places drawn from (start root, event). Whoever
knows only the public roots cannot make one. It does not prove that the work was right: the replayed
end state does.
"""

from __future__ import annotations

import ctypes
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any

import torch
from blake3 import blake3

from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import Digest

SLICES = 64
SLICE_BYTES = 512
LEAVES_PER_BATCH_MAX = 10_000
DEPTH_MAX = 16
JOINED_BYTES_MAX = 1 << 20

_LEAVES = (torch.Tensor, float, int, str, type(None))  # the likeliest first
_MAPPINGS = (dict, Mapping)
_SEQUENCES = (list, tuple, Sequence)
_OFFSETS = struct.Struct(f">{SLICES}Q")
# A complex tensor's memory may be that of its conjugate; those and what is quantized go by torch.
_REAL = frozenset(
    {
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    }
)


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
    ends = list(accumulate(each.nbytes for each in tensors))
    total = ends[-1] if ends else 0
    if not total:
        return blake3().hexdigest()
    seed = blake3(b"witness" + start_root + event.to_bytes(8, "big"))
    views: dict[int, memoryview] = {}
    parts = []
    for drawn in _OFFSETS.unpack(seed.digest(length=_OFFSETS.size)):
        offset = drawn % total
        index = bisect_right(ends, offset)
        view = views.get(index)
        if view is None:
            view = views[index] = raw(tensors[index])
        begin = offset - ends[index] + len(view)
        parts.append(view[begin : begin + SLICE_BYTES])
    return _digest(parts)


def raw(tensor: torch.Tensor) -> memoryview:
    """Return the tensor's logical bytes, without a copy where it is contiguous.

    The bytes are good for as long as the tensor is and keeps its size.
    """
    if tensor.is_cpu and tensor.dtype in _REAL and tensor.is_contiguous() and not tensor.is_neg():
        return _memory(tensor)
    flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1).contiguous()
    if not flat.numel():
        return memoryview(b"")
    data: Any = flat.view(torch.uint8).numpy()
    return memoryview(data)


def _memory(tensor: torch.Tensor) -> memoryview:
    """Return a contiguous tensor's own memory.

    A witness is made between two training steps, when torch's and NumPy's ways to the same bytes
    are in no cache: they take five times as long.
    """
    length = tensor.nbytes
    if not length:
        return memoryview(b"")
    return memoryview((ctypes.c_ubyte * length).from_address(tensor.data_ptr())).cast("B")


def _digest(parts: Sequence[bytes | memoryview]) -> str:
    """Hash the parts as one: a single call is far cheaper than one for each small part."""
    if sum(map(len, parts)) <= JOINED_BYTES_MAX:
        return blake3(b"".join(parts)).hexdigest()
    hasher = blake3()
    for each in parts:
        hasher.update(each)
    return hasher.hexdigest()


def _leaves(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, _LEAVES):
        yield value
    elif depth < DEPTH_MAX:
        if isinstance(value, _MAPPINGS):
            for key in value:
                yield str(key)
                yield from _leaves(value[key], depth + 1)
        elif isinstance(value, _SEQUENCES):
            for each in value:
                yield from _leaves(each, depth + 1)
