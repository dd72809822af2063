"""Proof that a segment's batches were worked on: one cheap record per event, under one root.

A record holds the digest of the batch's tensors, of what the step returned and logged, and of 16
slices of 2 KiB from parameters and gradients at places drawn from (start root, event). Whoever
knows only the public roots cannot make one. It does not prove that the work was right: the replayed
end state does.

After a training step nothing of this is in any cache, and each line costs more than in a loop. So
in an event's time its bytes are only copied, and the rest is done for many events at once.
"""

from __future__ import annotations

import ctypes
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any

import torch
from blake3 import blake3

from gensyn_lightning.errors import StateError
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import Digest

SLICES = 16
SLICE_BYTES = 2048
LEAVES_PER_BATCH_MAX = 10_000
DEPTH_MAX = 16
HELD_BYTES_MAX = 1 << 16  # what is longer is hashed in its event's time, where it lies
EVENTS_PER_BLOCK = 64  # so many events' places are drawn at once, and their bytes hashed at once

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_LEAVES = (torch.Tensor, float, int, str, type(None))  # the likeliest first
_MAPPINGS = (dict, Mapping)
_SEQUENCES = (list, tuple, Sequence)
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


_Leaf = tuple[Any, ...]
Held = list[_Leaf] | str
_Place = tuple[int, bool, int]  # a parameter, whether its gradient is meant, and the first byte


class Witness:
    """The records of a segment's events, in order."""

    def __init__(self, start_root: Digest) -> None:
        self._start_root = start_root
        self._parameters: Sequence[torch.Tensor] = ()
        self._block, self._places = -1, list[list[_Place]]()
        self._batch: Held = []
        self._output: Any = None
        self._held: list[tuple[int, str, Held, Held, Held, bytes]] = []
        self._records: list[dict[str, Any]] = []

    def watch(self, parameters: Sequence[torch.Tensor]) -> None:
        """Draw from these parameters and their gradients from now on."""
        self._parameters, self._block = parameters, -1

    def batch(self, batch: Any) -> None:
        """Take in the batch an event is about to use."""
        self._batch = _held(batch)

    def output(self, output: Any) -> None:
        """Take in what the step returned, the loss above all, as it will be when the event ends."""
        self._output = output

    def close(self, event: int, kind: str, logged: Mapping[str, Any]) -> None:
        """Make the record of `event`."""
        held = _held(self._output), _held(logged), self._slices(event)
        self._held.append((event, kind, self._batch, *held))
        self._batch, self._output = [], None
        if len(self._held) >= EVENTS_PER_BLOCK:
            self._hash()

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every record made so far."""
        self._hash()
        return self._records

    def root(self) -> Digest:
        """Return the Merkle root over the records, unsalted."""
        return merkle.root([json_bytes(each) for each in self.records])

    def _hash(self) -> None:
        """Write the records of the events that are only held."""
        for event, kind, batch, output, logged, slices in self._held:
            self._records.append(
                {
                    "event": event,
                    "kind": kind,
                    "batch": _digest(batch),
                    "output": _digest(output),
                    "logged": _digest(logged),
                    "slices": blake3(slices).hexdigest(),
                }
            )
        self._held.clear()

    def _slices(self, event: int) -> bytes:
        """Return the slices drawn for an event, one after the other."""
        block, at = divmod(event, EVENTS_PER_BLOCK)
        if block != self._block:
            self._block, self._places = block, self._draw(block)
        parts: list[bytes | memoryview] = []
        views = dict[tuple[int, bool], memoryview]()
        for index, of_gradient, begin in self._places[at]:
            tensor = self._parameters[index]
            if of_gradient:
                gradient = tensor.grad
                if gradient is None or gradient.is_sparse:
                    continue
                tensor = gradient
            if _is_plain(tensor):
                length = min(SLICE_BYTES, tensor.nbytes - begin)
                if length > 0:  # it may have been made smaller since places were drawn
                    parts.append(ctypes.string_at(tensor.data_ptr() + begin, length))
                continue
            view = views.get((index, of_gradient))
            if view is None:
                view = views[index, of_gradient] = raw(tensor)
            parts.append(view[begin : begin + SLICE_BYTES])
        return b"".join(parts)

    def _draw(self, block: int) -> list[list[_Place]]:
        """Return the places for each event of a block; no places where there is nothing."""
        ends = list(accumulate(each.nbytes for each in self._parameters))
        total = ends[-1] if ends else 0
        if not total:
            return [[] for _ in range(EVENTS_PER_BLOCK)]
        seed = blake3(b"witness" + self._start_root + block.to_bytes(8, "big"))
        places: list[_Place] = []
        for (drawn,) in struct.iter_unpack(">Q", seed.digest(length=8 * SLICES * EVENTS_PER_BLOCK)):
            of_gradient, offset = divmod(drawn % (2 * total), total)
            index = bisect_right(ends, offset)
            begin = offset - (ends[index - 1] if index else 0)
            places.append((index, bool(of_gradient), begin))
        return [places[at : at + SLICES] for at in range(0, len(places), SLICES)]


def tensors_digest(value: Any) -> str:
    """Return the digest of every tensor and number in a nested value, in order."""
    return _digest(_held(value))


def _held(value: Any) -> Held:
    """Return what the digest of a nested value is made of, copied; the digest if that is long."""
    leaves: list[Any] = []
    _collect(value, leaves, 0)
    del leaves[LEAVES_PER_BATCH_MAX:]
    length, held = 0, list[_Leaf]()
    for each in leaves:
        if isinstance(each, torch.Tensor):
            length += each.nbytes
            if length > HELD_BYTES_MAX:
                hasher = blake3()
                for part in _parts(_described(each, raw) for each in leaves):
                    hasher.update(part)
                return hasher.hexdigest()
        elif isinstance(each, str):
            length += len(each)
        held.append(_described(each, _copied))
    return held


def _described(leaf: Any, read: Callable[[torch.Tensor], bytes | memoryview]) -> _Leaf:
    """Return a tensor's type, shape and bytes; anything else as it is."""
    if isinstance(leaf, torch.Tensor):
        return leaf.dtype, leaf.shape, read(leaf)
    return (leaf,)


def _copied(tensor: torch.Tensor) -> bytes:
    """Return a tensor's logical bytes."""
    if _is_plain(tensor):
        return ctypes.string_at(tensor.data_ptr(), tensor.nbytes)
    return bytes(raw(tensor))


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor's memory is its logical bytes.

    A complex tensor's memory may be that of its conjugate; those and what is quantized go by torch.
    """
    return (
        type(tensor) in _PLAIN
        and tensor.dtype in _REAL
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and tensor.data_ptr() != 0
    )


def raw(tensor: torch.Tensor) -> memoryview:
    """Return the tensor's logical bytes, without a copy where it is contiguous.

    The bytes are good for as long as the tensor is and keeps its size. Raises `StateError` for a
    tensor that has no memory of its own.
    """
    length = tensor.nbytes
    if length and _is_plain(tensor):
        return memoryview((ctypes.c_ubyte * length).from_address(tensor.data_ptr())).cast("B")
    try:
        if length and not tensor.data_ptr():
            raise RuntimeError("its memory is gone, or elsewhere")
        flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1).contiguous()
        if not flat.numel():
            return memoryview(b"")
        data: Any = flat.view(torch.uint8).numpy()
    except (RuntimeError, TypeError) as error:
        raise StateError(
            f"a {type(tensor).__name__} in a batch or a parameter cannot be read: {error}",
            hint="hand over plain tensors",
        ) from error
    return memoryview(data)


def _digest(held: Held) -> str:
    """Return the digest of what was held."""
    return held if isinstance(held, str) else blake3(b"".join(_parts(held))).hexdigest()


def _parts(leaves: Iterable[_Leaf]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of leaves, in the form that is hashed."""
    for first, *rest in leaves:
        if rest:
            shape, data = rest
            yield f"{first}{tuple(shape)}".encode()
            yield data
        else:
            yield (first.hex() if isinstance(first, float) else repr(first)).encode()
        yield b"\0"


def _collect(value: Any, into: list[Any], depth: int) -> None:
    """Append every tensor and number of a nested value, in order."""
    if isinstance(value, _LEAVES):
        into.append(value)
    elif depth < DEPTH_MAX and len(into) < LEAVES_PER_BATCH_MAX:
        if isinstance(value, _MAPPINGS):
            for key in islice(value, LEAVES_PER_BATCH_MAX):
                into.append(str(key))
                _collect(value[key], into, depth + 1)
        elif isinstance(value, _SEQUENCES):
            for each in islice(value, LEAVES_PER_BATCH_MAX):
                _collect(each, into, depth + 1)
