"""An ATen call's arguments, as a plan sees them: shapes and kinds, and a key that names both.

Two calls with equal keys get the same plan. What may differ between them, values of tensors and
of scalars, is in neither. A Python number that torch passes where a tensor could stand is a scalar.
`shim/key.h` makes the same distinctions in C++.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.hints import COMPLEX
from gensyn_lightning.repops.plan import Key, Operand, Plan, Scalar, Tensor

DTYPES = {
    torch.uint8: Dtype.U8,
    torch.int8: Dtype.I8,
    torch.int16: Dtype.I16,
    torch.int32: Dtype.I32,
    torch.int64: Dtype.I64,
    torch.float16: Dtype.F16,
    torch.float32: Dtype.F32,
    torch.float64: Dtype.F64,
    torch.bool: Dtype.BOOL,
    torch.bfloat16: Dtype.BF16,
}
TORCH = {ours: theirs for theirs, ours in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a schema: its name, what a number there is taken for, and its default."""

    name: str
    is_tensor: bool
    is_scalar: bool
    is_written: bool
    default: Any


def arguments_of(schema: Any, static: frozenset[str] = frozenset()) -> tuple[Argument, ...]:
    """Return the arguments of a schema; numbers named in `static` belong to the plan's key."""
    return tuple(
        Argument(
            each.name,
            str(each.real_type) in ("Tensor", "Optional[Tensor]"),
            each.name not in static and str(each.real_type) in _SCALAR_TYPES,
            each.alias_info is not None and each.alias_info.is_write,
            each.default_value,
        )
        for each in schema.arguments
    )


_SCALAR_TYPES = frozenset(
    {"number", "float", "Tensor", "Optional[number]", "Optional[float]", "Optional[Tensor]"}
)


def in_order(
    arguments: Sequence[Argument], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[Any]:
    """Return a value for each argument, defaults filled in."""
    return [
        args[at] if at < len(args) else kwargs.get(each.name, each.default)
        for at, each in enumerate(arguments)
    ]


def key_of(words: Sequence[bool], values: Sequence[Any]) -> tuple[Any, ...]:
    """Return what a plan for these values depends on; not the numbers that are `words`."""
    return (torch.get_default_dtype(), *_parts(words, values))


def _parts(words: Sequence[bool], values: Sequence[Any]) -> tuple[Any, ...]:
    key: list[Any] = []
    for word, value in zip(words, values, strict=True):
        if isinstance(value, torch.Tensor):
            key += (value.dtype, value.shape, value.stride())
        elif value is None:
            key.append(None)
        elif isinstance(value, list | tuple):
            key.append(_parts((False,) * len(value), value))
        elif isinstance(value, torch.Generator) or (word and isinstance(value, float | int)):
            key.append(type(value))
        else:
            key.append((type(value), repr(value) if isinstance(value, float) else value))
    return tuple(key)


Extent = tuple[int, int, torch.dtype, torch.Size, tuple[int, ...], bool]


def overlaps(
    arguments: Sequence[Argument], values: Sequence[Any], elementwise: bool = False
) -> bool:
    """Return whether a tensor that is written shares memory with another one.

    An operator that works place by place may be given the very same view twice. What two tensors
    span is compared, not their elements: at worst a copy is made in vain.
    """
    spans = sorted(
        _span(each)
        for value in values
        for each in (value if isinstance(value, list | tuple) else (value,))
        if isinstance(each, torch.Tensor)
    )
    if all(before[1] <= after[0] for before, after in pairwise(spans)):
        return False
    return _meet(sorted(_extents(arguments, values), key=lambda each: each[:2]), elementwise)


def overlaps_partly(arguments: Sequence[Argument], values: Sequence[Any]) -> bool:
    """Return whether a tensor that is written shares a part of its memory with one that is read.

    As torch counts it before it works place by place: only tensors without gaps count, and the
    very same places in the same order are no part. Tensors in lists are left out.
    """
    pairs = [
        (value, argument.is_written)
        for argument, value in zip(arguments, values, strict=True)
        if isinstance(value, torch.Tensor) and value.numel() and _without_gaps(value)
    ]
    return any(
        _meet_partly(target, source)
        for target, is_written in pairs
        if is_written
        for source, is_target in pairs
        if not is_target
    )


def _meet_partly(a: torch.Tensor, b: torch.Tensor) -> bool:
    first, second = _span(a), _span(b)
    if first == second:
        return a.stride() != b.stride()
    return first[0] < second[1] and second[0] < first[1]


def _without_gaps(value: torch.Tensor) -> bool:
    """Return whether a tensor's elements fill the memory they span, each place once."""
    expected = 1
    for step, size in sorted(zip(value.stride(), value.shape, strict=True)):
        if size > 1:
            if step != expected:
                return False
            expected *= size
    return True


def _span(value: torch.Tensor) -> tuple[int, int]:
    begin = value.data_ptr()
    if value.is_contiguous():
        return begin, begin + value.nbytes
    if not value.numel():
        return begin, begin
    last = sum((n - 1) * step for n, step in zip(value.shape, value.stride(), strict=True))
    return begin, begin + (last + 1) * value.element_size()


def _meet(extents: Sequence[Extent], elementwise: bool) -> bool:
    """Return whether a written extent meets another; they are sorted by begin, then by end."""
    any_end = written_end = 0
    at = 0
    while at < len(extents):
        begin, end, *view, is_written = extents[at]
        at += 1
        while elementwise and at < len(extents) and [*extents[at][:-1]] == [begin, end, *view]:
            is_written |= extents[at][-1]
            at += 1
        if begin < written_end or (is_written and begin < any_end):
            return True
        any_end = max(any_end, end)
        written_end = max(written_end, end if is_written else 0)
    return False


def _extents(arguments: Sequence[Argument], values: Sequence[Any]) -> list[Extent]:
    found: list[Extent] = []
    for argument, value in zip(arguments, values, strict=True):
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, torch.Tensor) and each.numel():
                view = (each.dtype, each.shape, each.stride(), argument.is_written)
                found.append((*_span(each), *view))
    return found


@dataclass(slots=True)
class Reader:
    """Turns arguments into what a lowering is called with, filling a plan's tensors on the way."""

    plan: Plan = field(default_factory=Plan)

    def read(self, arguments: Sequence[Argument], values: Sequence[Any]) -> list[Any]:
        """Return the arguments for a lowering, in the schema's order."""
        return [
            self._one(at, each, value)
            for at, (each, value) in enumerate(zip(arguments, values, strict=True))
        ]

    def _one(self, at: int, argument: Argument, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value, (at, 0))
        if isinstance(value, list | tuple):
            return self._list(at, value)
        if isinstance(value, torch.Generator):
            return Key(at)
        if isinstance(value, complex):
            raise NotReproducible("complex numbers have no reproducible definition", hint=COMPLEX)
        if argument.is_scalar and isinstance(value, float | int):
            kind = "d" if isinstance(value, float) else "b" if isinstance(value, bool) else "i"
            return Scalar(at, kind)
        return DTYPES.get(value, value) if isinstance(value, torch.dtype) else value

    def _list(self, at: int, values: Sequence[Any]) -> Any:
        made: list[Any] = []
        for element, each in enumerate(values):
            if isinstance(each, torch.Tensor):
                made.append(self._tensor(each, (at, element)))
            else:
                made.append(each)
        return made

    def _tensor(self, value: torch.Tensor, argument: tuple[int, int]) -> Operand:
        if value.is_complex():
            raise NotReproducible("complex numbers have no reproducible definition", hint=COMPLEX)
        kind = DTYPES.get(value.dtype)
        if kind is None or value.layout is not torch.strided or value.device.type != "cpu":
            raise NotReproducible(
                f"a {value.dtype} tensor on {value.device} has no reproducible operators",
                hint="use dense CPU tensors of float32, bfloat16, float16, float64 or integers",
            )
        shape, strides = tuple(value.shape), value.stride()
        self.plan.tensors.append(Tensor(kind, shape, strides, argument))
        return Operand(len(self.plan.tensors) - 1, kind, shape, strides)
