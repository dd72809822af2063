"""Tells whether a plain value has changed, without keeping a copy of it.

Two values have equal fingerprints exactly when canonical state would write them alike. What
canonical state cannot write has none.
"""

from __future__ import annotations

import datetime
import enum
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Container, Hashable, Iterable
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from blake3 import blake3

from gensyn_lightning.training import named, untouched
from gensyn_lightning.training.packing import as_bytes

DEPTH_MAX = 48
RUN_MIN = 32
NOTED_BYTES_MIN = 64 << 10
NOTED_MAX = 4096

_ATOMS = (bool, int, str, bytes, bytearray, complex)
_TEXTUAL = (
    datetime.timedelta,
    datetime.datetime,
    datetime.date,
    datetime.time,
    torch.dtype,
    torch.device,
    torch.memory_format,
    range,
    slice,
    type(Ellipsis),
)
_SEQUENCES = (list, tuple, deque)
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)


_NOTED: dict[int, tuple[weakref.ref[torch.Tensor], tuple[object, ...], bytes]] = {}


class NotPlain(Exception):
    """A part of the value has no canonical form."""


def fingerprint(value: Any, known: Container[int] = ()) -> Hashable | None:
    """Return what identifies the value's content, or None when it is not plain.

    Tensors whose `id` is among `known` have a place of their own and are no content.
    """
    try:
        return _Printer(known, hashes=True).of(value, 0)
    except NotPlain:
        return None


def is_plain(value: Any, known: Container[int] = ()) -> bool:
    """Return whether the value has a fingerprint, without reading its tensors."""
    try:
        _Printer(known, hashes=False).of(value, 0)
    except NotPlain:
        return False
    return True


class _Printer:
    def __init__(self, known: Container[int], *, hashes: bool) -> None:
        self._known = known
        self._hashes = hashes

    def of(self, value: Any, depth: int) -> Hashable:
        kind = type(value)
        if value is None or kind in _ATOMS:
            return kind, bytes(value) if kind is bytearray else value
        if kind is float:
            return kind, value.hex()
        if depth > DEPTH_MAX:
            raise NotPlain
        if kind in _SEQUENCES:
            return kind, _bound(value), self._run(list(value), depth)
        if kind in _MAPPINGS or named.is_plain_subclass(value, dict):
            keys = _keys(value, self._run(list(value), depth))
            beside = self.of(vars(value), depth + 1) if getattr(value, "__dict__", None) else None
            return kind, _factory(value), keys, self._run(list(value.values()), depth), beside
        if kind in (set, frozenset):
            return kind, _keys(value, frozenset(self.of(each, depth + 1) for each in value))
        return self._special(value, kind, depth)

    def _special(self, value: Any, kind: type, depth: int) -> Hashable:
        if isinstance(value, torch.Tensor) and id(value) not in self._known:
            return _tensor(value, self._hashes)
        if kind is np.ndarray:
            return _array(value, self._hashes)
        if isinstance(value, np.generic):
            return kind, value.dtype.str, value.tobytes()
        if isinstance(value, PurePath | enum.Enum) or kind in _TEXTUAL:
            return kind, str(value)
        return self._compound(value, kind, depth)

    def _compound(self, value: Any, kind: type, depth: int) -> Hashable:
        if isinstance(value, tuple) or named.is_plain_subclass(value, list):
            return kind, tuple(self.of(each, depth + 1) for each in value)
        if named.is_record(value):
            inner = named.attributes(value)
            return kind, tuple(inner), tuple(self.of(each, depth + 1) for each in inner.values())
        raise NotPlain

    def _run(self, items: list[Any], depth: int) -> Hashable:
        """Fingerprint a sequence; long runs of one type at C speed."""
        kinds = set(map(type, items)) if len(items) >= RUN_MIN else set()
        if len(kinds) == 1 and kinds <= {int, bool, str, bytes}:
            return kinds.pop(), tuple(items)
        if kinds == {float}:
            return float, np.array(items).tobytes()
        return tuple(self.of(each, depth + 1) for each in items)


def _keys(value: Iterable[Any], printed: Hashable) -> Hashable:
    """Return `printed` unless a key or member is something that cannot be one in a state."""
    if any(isinstance(each, torch.Tensor | np.ndarray) for each in value):
        raise NotPlain
    return printed


def _bound(value: Any) -> int | None:
    return value.maxlen if isinstance(value, deque) else None


def _factory(value: Any) -> Hashable:
    if not isinstance(value, defaultdict):
        return None
    factory = value.default_factory
    if factory not in (None, list, dict, set, int, float, str, tuple, bool):
        raise NotPlain
    return factory


def _tensor(value: torch.Tensor, hashes: bool) -> Hashable:
    kind = type(value)
    if kind not in (torch.Tensor, torch.nn.Parameter) or value.layout is not torch.strided:
        raise NotPlain
    if value.device.type == "meta" or value.is_quantized:
        raise NotPlain
    if not hashes:
        return kind
    gradient = value.requires_grad and value.is_leaf
    form = (str(value.dtype), tuple(value.shape), tuple(value.stride()), gradient)
    return kind, form, _content(value)


def _content(value: torch.Tensor) -> bytes:
    """Return the digest of a tensor's numbers; a large one is read again only if torch wrote to it.

    Memory that torch does not own is always read. What a program writes to memory of torch's
    through NumPy goes unnoticed until torch writes there as well.
    """
    if value.nbytes < NOTED_BYTES_MIN or value.is_inference():
        return _digest(value)
    if not value.untyped_storage().resizable():
        return _digest(value)
    stamp = (value.data_ptr(), value._version, value.nbytes, value.stride())
    noted = _NOTED.get(id(value))
    if noted is not None and noted[0]() is value and noted[1] == stamp:
        return noted[2]
    if len(_NOTED) >= NOTED_MAX:
        _NOTED.clear()
    digest = _digest(value)
    _NOTED[id(value)] = (weakref.ref(value), stamp, digest)
    return digest


def _digest(value: torch.Tensor) -> bytes:
    if not value.numel():
        return blake3().digest()
    flat = value.detach().resolve_conj().resolve_neg().contiguous()
    known = untouched.digest_at(flat.data_ptr(), flat.nbytes)
    if known is not None:
        return known
    start = flat.storage_offset() * flat.element_size()
    return blake3(as_bytes(flat.untyped_storage())[start : start + flat.nbytes]).digest()


def _array(value: np.ndarray[Any, Any], hashes: bool) -> Hashable:
    if value.dtype.hasobject:
        raise NotPlain
    if not hashes:
        return np.ndarray
    form = (value.dtype.str, value.shape, value.strides)
    if not value.size:
        return np.ndarray, form, blake3().digest()
    flat: Any = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    known = untouched.digest_at(flat.__array_interface__["data"][0], flat.nbytes)
    return np.ndarray, form, known or blake3(memoryview(flat)).digest()
