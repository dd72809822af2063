"""Sums, means, products and extremes along dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduce, reduced_shape
from gensyn_lightning.repops.mapping import copy_elements
from gensyn_lightning.repops.plan import Exact, Operand, Plan, WordSource
from gensyn_lightning.repops.programs import reduction as programs
from gensyn_lightning.repops.stage import Shape
from gensyn_lightning.repops.word import double_bits, float_bits

Dims = Sequence[int] | int | None


@covers("sum.dim_IntList", out="sum.IntList_out")
def sum_(plan: Plan, self: Operand, dim: Dims, keepdim: bool, dtype: Dtype | None) -> None:
    """Return the sum along `dim`."""
    source = in_dtype(plan, self, dtype)
    dims = dims_of(self, dim)
    out = plan.result(reduced_shape(self.shape, dims, keepdim=keepdim), source.dtype)
    term = programs.sum_[source.dtype.kind * 2]
    plan.returns(reduce(plan, term, [source], dims, out=out))


@covers("sum", out="sum.out")
def sum_all(plan: Plan, self: Operand, dtype: Dtype | None) -> None:
    """Return the sum of all elements."""
    sum_(plan, self, None, False, dtype)


def dims_of(self: Operand, dim: Dims) -> list[int]:
    """Return the dimensions named, counted from the front; all of them where none is."""
    named = [dim] if isinstance(dim, int) else list(dim or [])
    rank = max(self.rank, 1)
    for each in named:
        if not -rank <= each < rank:
            raise IndexError(f"dimension {each} is out of range for {self.rank} dimensions")
    if not named:
        return list(range(self.rank))
    if len({each % rank for each in named}) != len(named):
        raise RuntimeError("a dimension is named twice")
    return sorted(each % rank for each in named) if self.rank else []


def in_dtype(plan: Plan, self: Operand, dtype: Dtype | None) -> Operand:
    """Return the operand as `dtype`; raise `Exact` where that is no floating type."""
    wanted = self.dtype if dtype is None else dtype
    if not wanted.is_floating:
        raise Exact
    if wanted is self.dtype:
        return self
    converted = plan.like(self, wanted)
    copy_elements(plan, converted, self)
    return converted


def count_word(count: int, kind: str) -> WordSource:
    """Return a whole number as a word of kind `f` or `d`."""
    return WordSource(float_bits(count) if kind == "f" else double_bits(float(count)), kind)


__all__ = ["Shape", "dims_of", "in_dtype", "reduce"]
