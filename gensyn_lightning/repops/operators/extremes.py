"""The largest and the smallest element along dimensions, and where it is.

NaN counts as both the largest and the smallest. Of the zeros, +0 is the larger. The place is that
of the first element that equals the extreme, whichever zero it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import laid_out, reduce, reduced_shape
from gensyn_lightning.repops.operators.reduction import Dims, dims_of
from gensyn_lightning.repops.plan import Exact, Kernel, Operand, Plan, numel
from gensyn_lightning.repops.programs import reduction as programs
from gensyn_lightning.repops.programs.arithmetic import add
from gensyn_lightning.repops.stage import Fold, Shape, Stage, same_place
from gensyn_lightning.repops.word import Definition

Terms = dict[str, Definition]


@covers("amax", out="amax.out")
def amax(plan: Plan, self: Operand, dim: Dims, keepdim: bool) -> None:
    """Return the largest along `dim`."""
    _refuse_empty("amax()", self, dim)
    plan.returns(extreme(plan, programs.largest, self, dims_of(self, dim), keepdim))


@covers("amin", out="amin.out")
def amin(plan: Plan, self: Operand, dim: Dims, keepdim: bool) -> None:
    """Return the smallest along `dim`."""
    _refuse_empty("amin()", self, dim)
    plan.returns(extreme(plan, programs.smallest, self, dims_of(self, dim), keepdim))


@covers("max", out="max.unary_out")
def max_all(plan: Plan, self: Operand) -> None:
    """Return the largest of all elements."""
    _refuse_empty("max()", self, None)
    amax(plan, self, None, False)


@covers("min", out="min.unary_out")
def min_all(plan: Plan, self: Operand) -> None:
    """Return the smallest of all elements."""
    _refuse_empty("min()", self, None)
    amin(plan, self, None, False)


@covers("max.dim", out="max.dim_max")
def max_dim(plan: Plan, self: Operand, dim: int, keepdim: bool) -> None:
    """Return the largest along `dim` and its place."""
    _refuse_empty("max()", self, dims_of(self, dim))
    plan.returns(*with_place(plan, programs.largest, self, dim, keepdim))


@covers("min.dim", out="min.dim_min")
def min_dim(plan: Plan, self: Operand, dim: int, keepdim: bool) -> None:
    """Return the smallest along `dim` and its place."""
    _refuse_empty("min()", self, dims_of(self, dim))
    plan.returns(*with_place(plan, programs.smallest, self, dim, keepdim))


@covers("aminmax", out="aminmax.out")
def aminmax(plan: Plan, self: Operand, dim: int | None, keepdim: bool) -> None:
    """Return the smallest and the largest along `dim`."""
    dims = dims_of(self, dim)
    if dim is None and numel(self.shape) == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
            "identity."
        )
    _refuse_empty("aminmax", self, dims)
    pair = (programs.smallest, programs.largest)
    plan.returns(*[extreme(plan, each, self, dims, keepdim) for each in pair])


@covers("_aminmax", out="_aminmax.out")
def aminmax_all(plan: Plan, self: Operand) -> None:
    """Return the smallest and the largest of all elements."""
    aminmax(plan, self, None, False)


@covers("_aminmax.dim", out="_aminmax.dim_out")
def aminmax_dim(plan: Plan, self: Operand, dim: int, keepdim: bool) -> None:
    """Return the smallest and the largest along `dim`."""
    aminmax(plan, self, dim, keepdim)


def _refuse_empty(name: str, self: Operand, dim: Dims) -> None:
    """Raise what torch raises where there is no largest or smallest element."""
    named = [dim] if isinstance(dim, int) else list(dim or [])
    if not named and numel(self.shape) == 0:
        raise RuntimeError(
            f"{name}: Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )
    for each in named:
        if -self.rank <= each < self.rank and self.shape[each] == 0:
            raise IndexError(f"{name}: Expected reduction dim {each} to have non-zero size.")


def extreme(plan: Plan, term: Terms, self: Operand, dims: Sequence[int], keepdim: bool) -> Operand:
    """Return the extreme along `dims`, which must not be empty."""
    if not self.dtype.is_floating:
        raise Exact
    out = plan.result(reduced_shape(self.shape, dims, keepdim=keepdim), self.dtype)
    return reduce(plan, term[self.dtype.kind * 2], [self], dims, out=out)


def with_place(
    plan: Plan, term: Terms, self: Operand, dim: int, keepdim: bool
) -> tuple[Operand, Operand]:
    """Return the extreme along `dim`, and the number of the first element that equals it."""
    dims = dims_of(self, dim)
    values = extreme(plan, term, self, dims, keepdim)
    places = plan.result(values.shape, Dtype.I64)
    wide, found = values, places
    if self.rank and not keepdim:
        wide, found = values.unsqueeze(dims[0]), places.unsqueeze(dims[0])
    find_first(plan, self, wide, found, dims)
    return values, places


def find_first(
    plan: Plan, self: Operand, values: Operand, out: Operand, dims: Sequence[int]
) -> None:
    """Have the number of the first element along `dims` that equals its value put into `out`."""
    flat = out
    for each in reversed(dims):
        flat = flat.squeeze(each)
    views, count = laid_out(flat, [self, values.expand(self.shape)], dims)
    plan.call(FIND, views, (count,))


def _define(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    kept, full = shapes[0], shapes[1]
    sizes = full[len(kept) :]
    term = programs.first_equal(sizes, dtypes[1].kind)
    none = Fold(sizes, max(numel(sizes), 1), 1, (1 << 64) - 1, add["ii"].trace()[0])
    reads = (same_place(1, full), same_place(2, full))
    coordinates = tuple(range(len(kept), len(full)))
    program = term.trace()[0]
    return [Stage(0, dtypes[0], kept, program, reads, none, coordinates)]


FIND = Kernel("repops_find", 1, _define)

__all__ = ["extreme", "find_first"]
