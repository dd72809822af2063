"""Tensors in as few dimensions as a kernel counts, wide enough to compute in; whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.plan import (
    Kernel,
    Operand,
    Plan,
    WordSource,
    contiguous_strides,
    numel,
)
from gensyn_lightning.repops.programs import indexing
from gensyn_lightning.repops.programs.arithmetic import copy
from gensyn_lightning.repops.stage import Shape, Stage
from gensyn_lightning.repops.word import double_bits, float_bits

Groups = Sequence[Sequence[int]]


def around(rank: int, dim: int) -> Groups:
    """Return the dimensions before `dim`, `dim` itself, and those after it."""
    if rank == 0:
        return ((), (), ())
    at = dim % rank
    return (tuple(range(at)), (at,), tuple(range(at + 1, rank)))


def merged(operand: Operand, groups: Groups) -> Operand | None:
    """Return a view with each group of neighbouring dimensions as one; None if there is none."""
    shape, strides = [], []
    for group in groups:
        size, stride = 1, 1
        for at in reversed([each for each in group if operand.shape[each] != 1]):
            if size == 1:
                stride = operand.strides[at]
            elif operand.strides[at] != stride * size:
                return None
            size *= operand.shape[at]
        shape.append(numel(tuple(operand.shape[each] for each in group)))
        strides.append(stride)
    return replace(operand, shape=tuple(shape), strides=tuple(strides))


def grouped(plan: Plan, operand: Operand, groups: Groups) -> Operand:
    """Return `merged`, of a copy if need be."""
    return merged(operand, groups) or _whole(merged(contiguous(plan, operand), groups))


def contiguous(plan: Plan, operand: Operand, dtype: Dtype | None = None) -> Operand:
    """Return the operand if it is row-major and of the type, else a copy that is."""
    kind = operand.dtype if dtype is None else dtype
    if operand.is_contiguous and kind is operand.dtype:
        return operand
    made = plan.new(operand.shape, kind)
    copy_elements(plan, made, operand)
    return made


def computed_as(plan: Plan, operand: Operand) -> Operand:
    """Return the operand, widened to binary32 if it is of a half type."""
    return in_dtype(plan, operand, computing_dtype(operand.dtype))


def in_dtype(plan: Plan, operand: Operand, dtype: Dtype) -> Operand:
    """Return the operand, converted if it is of another type; its shape, whatever the strides."""
    if operand.dtype is dtype:
        return operand
    made = plan.like(operand, dtype)
    copy_elements(plan, made, operand)
    return made


def computing_dtype(dtype: Dtype) -> Dtype:
    """Return binary32 for the half types, else the type itself."""
    return Dtype.F32 if dtype.kind == "f" else dtype


def five(operand: Operand, rank: int) -> Operand:
    """Return the view (N, C, D, H, W) of a tensor whose last `rank` dimensions are spatial."""
    made = operand
    while made.rank < rank + 2:
        made = made.unsqueeze(0)
    for _ in range(3 - rank):
        made = made.unsqueeze(2)
    return made


def result_in_format(
    plan: Plan, pattern: Operand, shape: Shape, dtype: Dtype | None = None
) -> Operand:
    """Return the next result, channels last if `pattern`, of the same rank, is."""
    order = [0, *range(2, pattern.rank), 1]
    last = pattern.rank in (4, 5) and not pattern.is_contiguous
    last = last and pattern.permute(order).is_contiguous
    laid = contiguous_strides(tuple(shape[at] for at in order)) if last else ()
    strides = tuple(laid[order.index(at)] for at in range(pattern.rank)) if last else None
    return plan.result(shape, pattern.dtype if dtype is None else dtype, strides)


def single(dtype: Dtype, what: str) -> None:
    """Raise `NotReproducible` for binary64."""
    if dtype is Dtype.F64:
        raise NotReproducible(f"{what} of float64 tensors is not defined", hint="use float32")


def filled(plan: Plan, shape: Shape, dtype: Dtype, value: float) -> Operand:
    """Return a view of `shape` all of whose elements are one number."""
    return filled_by(plan, shape, dtype, constant(dtype.kind, value))


def filled_by(plan: Plan, shape: Shape, dtype: Dtype, source: WordSource) -> Operand:
    """Return a view of `shape` all of whose elements are one word of the call."""
    one = plan.new((), dtype)
    map_elements(plan, indexing.CONSTANT[dtype.kind], one, [], [source])
    return one.expand(shape)


def constant(kind: str, value: float) -> WordSource:
    """Return a number as a word of one kind."""
    if kind == "f":
        return WordSource(float_bits(value), kind)
    if kind == "d":
        return WordSource(double_bits(float(value)), kind)
    return WordSource(int(value) % (1 << 64), kind)


def _counts(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    [program] = copy["i"].trace()
    return [Stage(0, Dtype.I64, shapes[0], program, (), linear=True)]


COUNT = Kernel("repops_index_count", 1, _counts)


def counted(plan: Plan, length: int) -> Operand:
    """Return 0, 1, ... length - 1."""
    made = plan.new((length,), Dtype.I64)
    plan.call(COUNT, [made])
    return made


def _whole(operand: Operand | None) -> Operand:
    if operand is None:
        raise ValueError("a row-major tensor has every grouping")
    return operand
