"""Sums, means, products and variances along dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduce, reduced_shape
from gensyn_lightning.repops.mapping import copy_elements
from gensyn_lightning.repops.plan import Exact, Operand, Plan, WordSource, numel
from gensyn_lightning.repops.programs import reduction as programs
from gensyn_lightning.repops.word import Definition, double_bits, float_bits

Dims = Sequence[int] | int | None


@covers("sum.dim_IntList", out="sum.IntList_out")
def sum_(plan: Plan, self: Operand, dim: Dims, keepdim: bool, dtype: Dtype | None) -> None:
    """Return the sum along `dim`."""
    _along(plan, programs.sum_, self, dims_of(self, dim), keepdim, dtype)


@covers("sum", out="sum.out")
def sum_all(plan: Plan, self: Operand, dtype: Dtype | None) -> None:
    """Return the sum of all elements."""
    _along(plan, programs.sum_, self, dims_of(self, None), False, dtype)


@covers("nansum", out="nansum.out")
def nansum(plan: Plan, self: Operand, dim: Dims, keepdim: bool, dtype: Dtype | None) -> None:
    """Return the sum along `dim` of what is not NaN."""
    _along(plan, programs.sum_of_numbers, self, dims_of(self, dim), keepdim, dtype)


@covers("prod.dim_int", out="prod.int_out")
def prod(plan: Plan, self: Operand, dim: int, keepdim: bool, dtype: Dtype | None) -> None:
    """Return the product along `dim`."""
    _along(plan, programs.product, self, dims_of(self, dim), keepdim, dtype)


@covers("prod", out="prod.out")
def prod_all(plan: Plan, self: Operand, dtype: Dtype | None) -> None:
    """Return the product of all elements."""
    _along(plan, programs.product, self, dims_of(self, None), False, dtype)


@covers("mean.dim", out="mean.out")
def mean(plan: Plan, self: Operand, dim: Dims, keepdim: bool, dtype: Dtype | None) -> None:
    """Return the sum along `dim`, divided by the number of terms."""
    if not (dtype or self.dtype).is_floating:
        raise RuntimeError("mean(): the result has to be of a floating type")
    dims = dims_of(self, dim)
    count = numel([self.shape[each] for each in dims])
    _along(plan, programs.sum_, self, dims, keepdim, dtype, programs.divided, count)


@covers("mean", out="mean.dtype_out")
def mean_all(plan: Plan, self: Operand, dtype: Dtype | None) -> None:
    """Return the mean of all elements."""
    mean(plan, self, None, False, dtype)


@covers("trace", out="trace.out")
def trace(plan: Plan, self: Operand) -> None:
    """Return the sum of a matrix's diagonal."""
    length = min(self.shape)
    square = self.narrow(0, 0, length).narrow(1, 0, length)
    diagonal = Operand(square.slot, square.dtype, (length,), (sum(square.strides),), square.offset)
    _along(plan, programs.sum_, diagonal, [0], False, None)


@covers("var.correction", out="var.correction_out", static=("correction",))
def var(plan: Plan, self: Operand, dim: Dims, correction: float | None, keepdim: bool) -> None:
    """Return the mean square distance from the mean along `dim`, which is computed first."""
    plan.returns(spread(plan, self, dim, correction, keepdim, programs.divided["fF"])[0])


@covers("std.correction", out="std.correction_out", static=("correction",))
def std(plan: Plan, self: Operand, dim: Dims, correction: float | None, keepdim: bool) -> None:
    """Return the square root of the variance along `dim`."""
    plan.returns(spread(plan, self, dim, correction, keepdim, programs.root_of_divided["fF"])[0])


@covers("var_mean.correction", out="var_mean.correction_out", static=("correction",))
def var_mean(plan: Plan, self: Operand, dim: Dims, correction: float | None, keepdim: bool) -> None:
    """Return the variance and the mean along `dim`."""
    plan.returns(*spread(plan, self, dim, correction, keepdim, programs.divided["fF"], pair=True))


@covers("std_mean.correction", out="std_mean.correction_out", static=("correction",))
def std_mean(plan: Plan, self: Operand, dim: Dims, correction: float | None, keepdim: bool) -> None:
    """Return the square root of the variance and the mean along `dim`."""
    finish = programs.root_of_divided["fF"]
    plan.returns(*spread(plan, self, dim, correction, keepdim, finish, pair=True))


def spread(
    plan: Plan,
    self: Operand,
    dim: Dims,
    correction: float | None,
    keepdim: bool,
    finish: Definition,
    *,
    pair: bool = False,
) -> list[Operand]:
    """Return what `finish` makes of squared distances from the mean; of a `pair`, the mean too."""
    require_single(self, "a variance")
    dims = dims_of(self, dim)
    count = numel([self.shape[each] for each in dims])
    shape = reduced_shape(self.shape, dims, keepdim=keepdim)
    outs = [plan.result(shape, self.dtype)]
    center = reduce(
        plan,
        programs.sum_["ff"],
        [self],
        dims,
        keepdim=True,
        finish=programs.divided["fF"],
        finish_words=[count_word(count, "f")],
    )
    freedom = max(count - (1 if correction is None else correction), 0)
    term = programs.sum_of_squared_differences["fff"]
    words = [count_word(freedom, "f")]
    reduce(plan, term, [self, center], dims, out=outs[0], finish=finish, finish_words=words)
    if pair:
        outs.append(plan.result(shape, self.dtype))
        copy_elements(plan, outs[1], center.reshape(shape))
    return outs


def _along(
    plan: Plan,
    term: dict[str, Definition],
    self: Operand,
    dims: Sequence[int],
    keepdim: bool,
    dtype: Dtype | None,
    finish: dict[str, Definition] | None = None,
    count: int = 0,
) -> None:
    """Fold a term along `dims`; `finish` then sees the total and the count."""
    source = in_dtype(plan, self, dtype)
    kind = source.dtype.kind
    out = plan.result(reduced_shape(self.shape, dims, keepdim=keepdim), source.dtype)
    last = None if finish is None else finish[kind + kind.upper()]
    words = [] if finish is None else [count_word(count, kind)]
    reduce(plan, term[kind * 2], [source], dims, out=out, finish=last, finish_words=words)
    plan.returns(out)


def dims_of(self: Operand, dim: Dims) -> list[int]:
    """Return the dimensions named, counted from the front; all of them where none is."""
    named = [dim] if isinstance(dim, int) else list(dim or [])
    rank = max(self.rank, 1)
    for each in named:
        if not -rank <= each < rank:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], "
                f"but got {each})"
            )
    if not named:
        return list(range(self.rank))
    if len({each % rank for each in named}) != len(named):
        raise RuntimeError("a dimension appears multiple times in the list of dims")
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


def require_single(self: Operand, what: str) -> None:
    """Raise `NotReproducible` unless elements are binary32 or of a half type."""
    if self.dtype.kind != "f":
        raise NotReproducible(
            f"{what} of {self.dtype.name} has no reproducible definition",
            hint="convert to float32 first",
        )


def count_word(count: float, kind: str) -> WordSource:
    """Return a number as a word of kind `f` or `d`."""
    return WordSource(float_bits(count) if kind == "f" else double_bits(float(count)), kind)


__all__ = ["dims_of", "in_dtype", "reduce"]
