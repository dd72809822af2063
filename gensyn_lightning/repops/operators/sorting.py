"""Sorting and what follows from an order: the k greatest, medians, the most frequent.

NaN counts as greater than every number, the zeros as equal; of equals the first comes first, also
where stock torch is free to choose. The most frequent element is the least of several, the last
of its equals; no NaN equals another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduced_shape
from gensyn_lightning.repops.mapping import collapse, map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.plan import RANK_MAX, Kernel, Operand, Plan
from gensyn_lightning.repops.programs import indexing
from gensyn_lightning.repops.programs import sorting as programs
from gensyn_lightning.repops.programs.arithmetic import add
from gensyn_lightning.repops.stage import Dim, Fold, Read, Shape, Stage
from gensyn_lightning.repops.word import Definition

_NONE = (1 << 64) - 1
_RANK, _COUNT, _REPEATS, _WANTED = 30, 31, 32, 33  # numbers of tensors in between


class Rule(IntEnum):
    """Which ranks are wanted; `csrc/sort.c` has the same numbers."""

    GIVEN = 0
    MEDIAN = 1
    NANMEDIAN = 2
    MODE = 3


@covers("sort.stable", out="sort.values_stable")
def sort(plan: Plan, self: Operand, stable: bool | None, dim: int, descending: bool) -> None:
    """Return the elements in order along `dim`, and where each was; equals keep their order."""
    values, places = plan.result_like(self), plan.result_like(self, Dtype.I64)
    _order(plan, self, values, places, _dim(self, dim), descending=descending)
    plan.returns(values, places)


@covers("topk", out="topk.values")
def topk(plan: Plan, self: Operand, k: int, dim: int, largest: bool, in_order: bool) -> None:
    """Return the k greatest or least, in order, and where they were."""
    at = _dim(self, dim)
    length = self.shape[at] if self.rank else 1
    if not 0 <= k <= length:
        raise RuntimeError("selected index k out of range")
    shape = (*self.shape[:at], k, *self.shape[at + 1 :]) if self.rank else ()
    values, places = plan.result(shape, self.dtype), plan.result(shape, Dtype.I64)
    _order(plan, self, values, places, at, descending=largest)
    plan.returns(values, places)


@covers(out="kthvalue.values")
def kthvalue(plan: Plan, self: Operand, k: int, dim: int, keepdim: bool) -> None:
    """Return the k-th least along `dim`, and where it was."""
    length = self.shape[_dim(self, dim)] if self.rank else 1
    if not 1 <= k <= length:
        raise RuntimeError("kthvalue(): selected number k out of range for dimension")
    _one(plan, self, dim, keepdim, Rule.GIVEN, k - 1)


@covers(out="median.dim_values")
def median_dim(plan: Plan, self: Operand, dim: int, keepdim: bool) -> None:
    """Return the lower median along `dim`, or the first NaN, and where it was."""
    _one(plan, self, dim, keepdim, Rule.MEDIAN)


@covers(out="nanmedian.dim_values")
def nanmedian_dim(plan: Plan, self: Operand, dim: int, keepdim: bool) -> None:
    """Return the lower median of what is no NaN along `dim`, and where it was."""
    _one(plan, self, dim, keepdim, Rule.NANMEDIAN)


@covers("mode", out="mode.values")
def mode(plan: Plan, self: Operand, dim: int, keepdim: bool) -> None:
    """Return the most frequent element along `dim`, and where its last equal was."""
    _one(plan, self, dim, keepdim, Rule.MODE)


@covers("median")
def median(plan: Plan, self: Operand) -> None:
    """Return the lower median of all elements, or NaN."""
    _of_all(plan, self, Rule.MEDIAN)


@covers("nanmedian")
def nanmedian(plan: Plan, self: Operand) -> None:
    """Return the lower median of all elements that are no NaN."""
    _of_all(plan, self, Rule.NANMEDIAN)


def _dim(self: Operand, dim: int) -> int:
    rank = max(self.rank, 1)
    if not -rank <= dim < rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], "
            f"but got {dim})"
        )
    return dim % rank


def _one(plan: Plan, self: Operand, dim: int, keepdim: bool, rule: Rule, first: int = 0) -> None:
    """Return one element along `dim`, and where it was."""
    at = _dim(self, dim)
    if self.rank and self.shape[at] == 0:
        raise IndexError(f"Expected reduction dim {dim} to have non-zero size.")
    shape = reduced_shape(self.shape, (at,), keepdim=keepdim)
    values, places = plan.result(shape, self.dtype), plan.result(shape, Dtype.I64)
    wide, found = values, places
    if self.rank and not keepdim:
        wide, found = values.unsqueeze(at), places.unsqueeze(at)
    _order(plan, self, wide, found, at, rule=rule, first=first)
    plan.returns(values, places)


def _of_all(plan: Plan, self: Operand, rule: Rule) -> None:
    out = plan.result((), self.dtype)
    if self.numel == 0:
        nothing = float("nan") if self.dtype.is_floating else -(1 << 63)
        word = rows.constant(self.dtype.kind, nothing)
        map_elements(plan, indexing.CONSTANT[self.dtype.kind], out, [], [word])
    else:
        flat = rows.contiguous(plan, self).reshape((self.numel,))
        place = plan.new((1,), Dtype.I64)
        _order(plan, flat, out.unsqueeze(0), place, 0, rule=rule)
    plan.returns(out)


def _order(
    plan: Plan,
    self: Operand,
    values: Operand,
    places: Operand,
    at: int,
    *,
    descending: bool = False,
    rule: Rule = Rule.GIVEN,
    first: int = 0,
) -> None:
    """Have the elements of the wanted ranks along dimension `at`, and their places, written."""
    views = [values, places, self]
    if self.rank == 0:
        views, at = [each.unsqueeze(0) for each in views], 0
    last = [(each.shape[at], each.strides[at]) for each in views]
    outer = [each.narrow(at, 0, 1).squeeze(at) for each in views]
    laid = [
        replace(each, shape=(*each.shape, size), strides=(*each.strides, stride))
        for each, (size, stride) in zip(collapse(outer), last, strict=True)
    ]
    words = [rows.constant("i", first), rows.constant("i", last[2][0])]
    plan.call(SORT, laid, (int(descending), rule), words)


def _stages(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    """Every element's rank, the ranks wanted, the places that have them, what is there."""
    out, full = shapes[0], shapes[2]
    kind, rule, lead = dtypes[2].kind, Rule(params[1]), len(full) - 1
    kept, count = full[:-1], full[-1]
    order = programs.descending_rank if params[0] else programs.ascending_rank
    pair = (_along(2, full, lead), _along(2, full, lead + 1))
    both = (lead, lead + 1)
    stages = [_fold(_RANK, full, order[kind], pair, 0, both)]
    if rule is Rule.GIVEN:
        wanted = programs.order_given.trace()[0]
        stages.append(
            Stage(_WANTED, Dtype.I64, out, wanted, (), coordinates=(lead,), attributes=(0, 1))
        )
    elif rule is Rule.MODE:
        repeats, most = programs.order_repeats[f"i{kind}{kind}ii"], programs.order_most
        stages.append(_fold(_REPEATS, full, repeats, pair, 0, both))
        own = tuple(_along(each, full, lead) for each in (_REPEATS, _RANK))
        stages.append(_fold(_COUNT, kept, most, own[:1], 0, terms=count))
        reads = (own[0], _along(_COUNT, kept, lead - 1), own[1])
        lowest = programs.order_lowest
        stages.append(_fold(_WANTED, kept, lowest, reads, _NONE, terms=count))
    else:
        nans = programs.order_nans[f"i{kind}"]
        stages.append(_fold(_COUNT, kept, nans, (_along(2, full, lead),), 0, terms=count))
        median = programs.order_median if rule is Rule.MEDIAN else programs.order_nanmedian
        read = Read(_COUNT, tuple(Dim(size, _unit(lead, d)) for d, size in enumerate(kept)))
        [program] = median.trace()
        stages.append(Stage(_WANTED, Dtype.I64, kept, program, (read,), attributes=(0, 1)))
    read = _along(_WANTED, out, lead) if rule is Rule.GIVEN else _along(_WANTED, kept, lead - 1)
    found = (_along(_RANK, full, lead + 1), read)
    stages.append(_fold(1, out, programs.order_place, found, _NONE, (lead + 1,), count))
    return [*stages, _taken(out, full, dtypes[2])]


def _taken(out: Shape, full: Shape, dtype: Dtype) -> Stage:
    """Return the stage that reads the element at every place found."""
    rank, lead = len(out), len(full) - 1
    place = Read(1, tuple(Dim(size, _unit(rank, d)) for d, size in enumerate(out)))
    outer = [Dim(size, _unit(rank, d)) for d, size in enumerate(full[:-1])]
    chosen = Read(2, (*outer, Dim(full[lead], (0,) * rank, gathered=(1,))))
    [program] = indexing.second[dtype.kind].trace()
    return Stage(0, dtype, out, program, (place, chosen))


def _along(source: int, shape: Shape, last: int) -> Read:
    """Return the read whose last dimension is at coordinate `last`, the others at their own."""
    dims = [
        Dim(size, _unit(RANK_MAX + 1, last if d == len(shape) - 1 else d))
        for d, size in enumerate(shape)
    ]
    return Read(source, tuple(dims))


def _fold(
    out: int,
    shape: Shape,
    term: Definition,
    reads: tuple[Read, ...],
    init: int,
    coordinates: tuple[int, ...] = (),
    terms: int | None = None,
) -> Stage:
    """Return a fold along one dimension, element by element; `terms` is the last size if None."""
    size = shape[-1] if terms is None else terms
    wide = tuple(
        replace(each, dims=tuple(_cut(dim, len(shape) + 1) for dim in each.dims)) for each in reads
    )
    fold = Fold((size,), max(size, 1), 1, init, add["ii"].trace()[0])
    [program] = term.trace()
    return Stage(out, Dtype.I64, shape, program, wide, fold, coordinates=coordinates)


def _cut(dim: Dim, rank: int) -> Dim:
    return replace(dim, coefficients=dim.coefficients[:rank])


def _unit(rank: int, at: int) -> tuple[int, ...]:
    return tuple(int(each == at) for each in range(rank))


SORT = Kernel("repops_sort", 2, _stages)
