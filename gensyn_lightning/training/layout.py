"""How tensors and arrays lie in memory: item sizes, strides, extents."""

from __future__ import annotations

import re

from gensyn_lightning.errors import StateError

ITEM_SIZES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "complex32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
NAMED = {"channels_last": 4, "channels_last_3d": 5}
Layout = str | tuple[int, ...]

_ARRAY_DTYPE = re.compile(r"([<>|])([biufcSUmM])([1-9]\d{0,5})(\[\d{0,6}[A-Za-z]{1,7}\])?")
# Long doubles are left out: part of each is padding that nobody wrote.
_ARRAY_SIZES = {
    "b": (1,),
    "i": (1, 2, 4, 8),
    "u": (1, 2, 4, 8),
    "f": (2, 4, 8),
    "c": (8, 16),
    "m": (8,),
    "M": (8,),
}


def tensor_item_size(dtype: str) -> int:
    """Return bytes per element of a torch dtype; raise `StateError` when it cannot be stored."""
    size = ITEM_SIZES.get(dtype)
    if size is None:
        raise StateError(f"a tensor of dtype {dtype[:40]!r} cannot be stored")
    return size


def array_item_size(dtype: str) -> int:
    """Return bytes per element of NumPy's `dtype.str`; raise `StateError` as above."""
    found = _ARRAY_DTYPE.fullmatch(dtype)
    if found is None:
        raise StateError(f"an array of dtype {dtype[:40]!r} cannot be stored")
    _, letter, digits, unit = found.groups()
    size = int(digits)
    if size not in _ARRAY_SIZES.get(letter, (size,)) or (unit and letter not in "mM"):
        raise StateError(f"an array of dtype {dtype[:40]!r} cannot be stored")
    return size * 4 if letter == "U" else size


def dense_strides(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """Return the strides, in elements, of a tensor without gaps."""
    count = len(shape)
    order = list(range(count))
    if layout != "contiguous":
        if count != NAMED[layout]:
            raise StateError(f"{layout} does not fit {count} axes")
        order = [0, *range(2, count), 1]
    steps, step = [0] * count, 1
    for axis in reversed(order):
        steps[axis] = step
        step *= max(shape[axis], 1)
    return tuple(steps)


def layout_of(shape: tuple[int, ...], steps: tuple[int, ...]) -> Layout:
    """Return the name of a layout with these strides (in elements), or the strides themselves."""
    if 0 in shape or steps == dense_strides(shape, "contiguous"):
        return "contiguous"
    for name, count in NAMED.items():
        if count == len(shape) and steps == dense_strides(shape, name):
            return name
    return steps


def loosened(shape: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...]:
    """Return strides in the same order with small gaps, for a view that skips most memory."""
    spread, step = list(steps), 2
    for axis in sorted(range(len(shape)), key=lambda each: (steps[each], -each)):
        if steps[axis] and shape[axis] > 1:
            spread[axis] = step
            step *= shape[axis]
        elif steps[axis]:
            spread[axis] = step
    return tuple(spread)


def extent(shape: tuple[int, ...], byte_strides: tuple[int, ...], item: int) -> int:
    """Return how many bytes of memory are spanned, gaps included."""
    if 0 in shape:
        return 0
    return item + sum((n - 1) * step for n, step in zip(shape, byte_strides, strict=True))
