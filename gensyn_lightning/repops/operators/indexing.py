"""Writes that follow an index: index_put, index_add, scatter and the gradients of gathers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.operators.index_writes import reduced, write
from gensyn_lightning.repops.plan import (
    Exact,
    Operand,
    Plan,
    Scalar,
    WordSource,
    broadcast,
    fits,
    numel,
)
from gensyn_lightning.repops.programs import arithmetic, indexing

Indices = Sequence[Operand | None]
_SCATTER_REDUCE = {"add": "add", "multiply": "mul"}


def _numbered(values: list[Any]) -> list[Any]:
    """Return `index_put`'s arguments with masks replaced by the numbers of what they choose."""
    self, indices = values[0], values[1]
    made: list[torch.Tensor | None] = []
    for each in indices:
        if each is None or each.dtype not in (torch.bool, torch.uint8) or each.dim() == 0:
            made.append(each)
        elif each.shape != self.shape[len(made) : len(made) + each.dim()]:
            return values
        else:
            made.extend(each.nonzero().unbind(1))
    return [self, made, *values[2:]]


@covers(inplace="_index_put_impl_", prepare=_numbered, elementwise=True)
def index_put(
    plan: Plan,
    self: Operand,
    indices: Indices,
    values: Operand,
    accumulate: bool,
    unsafe: bool,
) -> None:
    """Write values, or add them, at places named by index tensors; the last of several stays."""
    chosen = [at for at, each in enumerate(indices) if each is not None]
    given = [each for each in indices if each is not None]
    if not given or values.dtype is not self.dtype or not all(map(_is_index, given)):
        raise Exact  # nothing to write, or a call that torch refuses
    if accumulate and not self.dtype.is_floating:
        raise Exact
    together = chosen == list(range(chosen[0], chosen[-1] + 1))
    lead = tuple(range(chosen[0])) if together else ()
    rest = tuple(at for at in range(self.rank) if at not in lead and at not in chosen)
    order = (*lead, *chosen, *rest)
    groups = _consecutive(len(lead), len(chosen), len(rest))
    shape = _joined(given)
    index = _flat(plan, given, [self.shape[at] for at in chosen], shape)
    laid = (*(self.shape[at] for at in lead), *shape, *(self.shape[at] for at in rest))
    if not fits(values.shape, laid):
        raise Exact  # torch refuses it
    source = rows.grouped(plan, values.expand(laid), _consecutive(len(lead), len(shape), len(rest)))
    out = plan.result_like(self)
    _write_grouped(
        plan,
        "add" if accumulate else "write",
        out.permute(order),
        self.permute(order),
        groups,
        _along(index, source),
        source,
    )
    plan.returns(out)


@covers(inplace="put_", elementwise=True)
def put(plan: Plan, self: Operand, index: Operand, source: Operand, accumulate: bool) -> None:
    """Write into a tensor taken for one long row."""
    if source.dtype is not self.dtype or (accumulate and not self.dtype.is_floating):
        raise Exact
    out = plan.result_like(self)
    flat = _flat(plan, [index], [self.numel], index.shape)
    groups = _consecutive(0, self.rank, 0)
    laid = rows.grouped(plan, source, _consecutive(0, source.rank, 0))
    name = "add" if accumulate else "write"
    _write_grouped(plan, name, out, self, groups, _along(flat, laid), laid)
    plan.returns(out)


@covers(
    "index_add",
    inplace="index_add_",
    out="index_add.out",
    static=("alpha",),
    elementwise=True,
)
def index_add(
    plan: Plan, self: Operand, dim: int, index: Operand, source: Operand, alpha: float
) -> None:
    """Add rows of `source`, times `alpha`, to the rows the index names."""
    _floating_alike(self, source)
    if alpha != 1:
        scaled = plan.like(source)
        kind = self.dtype.kind
        word = rows.constant(kind, alpha)
        map_elements(plan, arithmetic.mul[kind + kind.upper()], scaled, [source], [word])
        source = scaled
    _along_dim(plan, "add", self, dim, index, source)


@covers("index_copy", inplace="index_copy_", out="index_copy.out", elementwise=True)
def index_copy(plan: Plan, self: Operand, dim: int, index: Operand, source: Operand) -> None:
    """Put rows of `source` where the index says; the last of several stays."""
    _floating_alike(self, source)
    _along_dim(plan, "write", self, dim, index, source)


@covers("index_reduce", inplace="index_reduce_", out="index_reduce.out", elementwise=True)
def index_reduce(
    plan: Plan,
    self: Operand,
    dim: int,
    index: Operand,
    source: Operand,
    reduce: str,
    include_self: bool,
) -> None:
    """Join rows of `source` with the rows the index names."""
    _floating_alike(self, source)
    _rows_alike(self, dim, index, source)
    out = plan.result_like(self)
    groups = rows.around(max(self.rank, 1), dim)
    laid = rows.grouped(plan, _at_least_1d(source), groups)
    places = _along(_flat_row(plan, index), laid)
    reduced(plan, _at_least_1d(out), _at_least_1d(self), groups, places, laid, reduce, include_self)
    plan.returns(out)


@covers("scatter.src", inplace="scatter_.src", out="scatter.src_out", elementwise=True)
def scatter(plan: Plan, self: Operand, dim: int, index: Operand, src: Operand) -> None:
    """Write elements of `src` where the index says along `dim`; the last of several stays."""
    _floating_alike(self, src)
    _scattered(plan, "write", self, dim, index, src)


@covers("scatter.value", inplace="scatter_.value", out="scatter.value_out", elementwise=True)
def scatter_value(plan: Plan, self: Operand, dim: int, index: Operand, value: Scalar) -> None:
    """Write a number where the index says."""
    if not self.dtype.is_floating:
        raise Exact
    _scattered(plan, "write", self, dim, index, _number(plan, self, index, value))


@covers("scatter.reduce", inplace="scatter_.reduce", out="scatter.reduce_out", elementwise=True)
def scatter_joined(
    plan: Plan, self: Operand, dim: int, index: Operand, src: Operand, reduce: str
) -> None:
    """Add or multiply elements of `src` onto those the index names."""
    _floating_alike(self, src)
    _scattered(plan, _SCATTER_REDUCE[reduce], self, dim, index, src)


@covers(
    "scatter.value_reduce",
    inplace="scatter_.value_reduce",
    out="scatter.value_reduce_out",
    elementwise=True,
)
def scatter_number_joined(
    plan: Plan, self: Operand, dim: int, index: Operand, value: Scalar, reduce: str
) -> None:
    """Add a number to, or multiply it onto, the elements the index names."""
    if not self.dtype.is_floating:
        raise Exact
    source = _number(plan, self, index, value)
    _scattered(plan, _SCATTER_REDUCE[reduce], self, dim, index, source)


@covers("scatter_add", inplace="scatter_add_", out="scatter_add.out", elementwise=True)
def scatter_add(plan: Plan, self: Operand, dim: int, index: Operand, src: Operand) -> None:
    """Add elements of `src` to those the index names: the gradient of `gather`, too."""
    _floating_alike(self, src)
    _scattered(plan, "add", self, dim, index, src)


@covers(
    "scatter_reduce.two",
    inplace="scatter_reduce_.two",
    out="scatter_reduce.two_out",
    elementwise=True,
)
def scatter_reduce(
    plan: Plan,
    self: Operand,
    dim: int,
    index: Operand,
    src: Operand,
    reduce: str,
    include_self: bool,
) -> None:
    """Join elements of `src` with those the index names."""
    _floating_alike(self, src)
    _scattered(plan, reduce, self, dim, index, src, include_self)


@covers("unfold_backward", out="unfold_backward.out")
def unfold_backward(
    plan: Plan, grad_in: Operand, input_sizes: Sequence[int], dim: int, size: int, step: int
) -> None:
    """Add up the gradients of the windows an element was in, in the order of the windows."""
    if not grad_in.dtype.is_floating:
        raise Exact
    rank = len(input_sizes)
    out = plan.result(tuple(input_sizes), grad_in.dtype)
    if rank == 0:
        copy_elements(plan, out, grad_in.squeeze(0))
        return plan.returns(out)
    at = dim % rank
    order = (*range(at + 1), rank, *range(at + 1, rank))
    source = rows.grouped(plan, grad_in.permute(order), _consecutive(at, 2, rank - at - 1))
    windows = grad_in.shape[at]
    places = plan.new((windows, size), Dtype.I64)
    starts = rows.counted(plan, windows).unsqueeze(1)
    word = [rows.constant("i", step)]
    map_elements(plan, indexing.affine, places, [rows.counted(plan, size), starts], word)
    index = _along(places.reshape((windows * size,)), source)
    _write_grouped(plan, "add", out, None, rows.around(rank, at), index, source)
    return plan.returns(out)


def _along_dim(
    plan: Plan, name: str, self: Operand, dim: int, index: Operand, source: Operand
) -> None:
    _rows_alike(self, dim, index, source)
    out = plan.result_like(self)
    groups = rows.around(max(self.rank, 1), dim)
    laid = rows.grouped(plan, _at_least_1d(source), groups)
    places = _along(_flat_row(plan, index), laid)
    _write_grouped(plan, name, _at_least_1d(out), _at_least_1d(self), groups, places, laid)
    plan.returns(out)


def _scattered(
    plan: Plan,
    name: str,
    self: Operand,
    dim: int,
    index: Operand,
    src: Operand,
    include_self: bool = True,
) -> None:
    """Write along `dim`; in other dimensions only as far as the index reaches."""
    index = _at_least_1d(index)
    part, source = _at_least_1d(self), _at_least_1d(src)
    at = dim % part.rank
    sizes = list(index.shape)
    if index.numel and not _reaches(part, at, index, source):
        raise Exact  # torch refuses it
    out = plan.result_like(self)
    target = _at_least_1d(out)
    for other in range(len(sizes)):
        source = source.narrow(other, 0, sizes[other])
        if other != at:
            part = part.narrow(other, 0, sizes[other])
            target = target.narrow(other, 0, sizes[other])
    if index.numel == 0 or part.shape != _at_least_1d(self).shape:
        if out.slot != self.slot:
            copy_elements(plan, out, self)
        part = target
    if index.numel:
        groups = rows.around(len(sizes), at)
        laid = rows.grouped(plan, source, groups)
        places = rows.grouped(plan, rows.in_dtype(plan, index, Dtype.I64), groups)
        reduced(plan, target, part, groups, places, laid, name, include_self)
    plan.returns(out)


def _reaches(self: Operand, at: int, index: Operand, source: Operand) -> bool:
    """Return whether an index has numbers, and places within what it is to name and read."""
    ranks = {self.rank, index.rank, source.rank}
    return (
        _is_index(index)
        and len(ranks) == 1
        and all(wanted <= size for wanted, size in zip(index.shape, source.shape, strict=True))
        and all(
            other == at or wanted <= size
            for other, (wanted, size) in enumerate(zip(index.shape, self.shape, strict=True))
        )
    )


def _rows_alike(self: Operand, dim: int, index: Operand, source: Operand) -> None:
    """Leave to torch, which refuses it, what names other rows than it gives."""
    index, self, source = (_at_least_1d(each) for each in (index, self, source))
    at = dim % self.rank
    wanted = (*self.shape[:at], index.shape[0], *self.shape[at + 1 :])
    if index.rank != 1 or not _is_index(index) or source.shape != wanted:
        raise Exact


def _joined(indices: Sequence[Operand]) -> tuple[int, ...]:
    """Return the shape that indices broadcast to; torch refuses those that do not."""
    try:
        return broadcast(*(each.shape for each in indices))
    except ValueError:
        raise Exact from None


def _write_grouped(
    plan: Plan,
    name: str,
    out: Operand,
    start: Operand | None,
    groups: rows.Groups,
    index: Operand,
    source: Operand,
) -> None:
    """Write on views of prefix × rows × suffix, by way of a copy where there is no such view."""
    target = rows.merged(out, groups)
    begin = None if start is None else rows.grouped(plan, start, groups)
    if target is not None:
        return write(plan, name, target, index, source, begin)
    made = plan.new(out.shape, out.dtype)
    write(plan, name, rows.grouped(plan, made, groups), index, source, begin)
    return copy_elements(plan, out, made)


def _flat(
    plan: Plan, indices: Sequence[Operand], sizes: Sequence[int], shape: tuple[int, ...]
) -> Operand:
    """Return one row of row-major places out of an index for each dimension."""
    before: Operand | None = None
    for each, size in zip(indices, sizes, strict=True):
        made = plan.new(shape, Dtype.I64)
        word = [rows.constant("i", size)]
        reads = [each] if before is None else [before, each]
        program = indexing.flat_index if before is None else indexing.flat_index_after
        map_elements(plan, program, made, reads, word)
        before = made
    if before is None:
        raise Exact
    return before.reshape((numel(shape),))


def _flat_row(plan: Plan, index: Operand) -> Operand:
    return rows.in_dtype(plan, _at_least_1d(index), Dtype.I64)


def _along(index: Operand, source: Operand) -> Operand:
    """Return an index row as wide as the source: it names whole rows."""
    prefix, _, suffix = source.shape
    return index.unsqueeze(0).unsqueeze(2).expand((prefix, index.shape[0], suffix))


def _number(plan: Plan, self: Operand, index: Operand, value: Scalar) -> Operand:
    word = WordSource(value, self.dtype.kind)
    return rows.filled_by(plan, index.shape, self.dtype, word)


def _at_least_1d(operand: Operand) -> Operand:
    return operand if operand.rank else operand.unsqueeze(0)


def _consecutive(*lengths: int) -> rows.Groups:
    """Return groups of so many neighbouring dimensions each."""
    starts = [sum(lengths[:at]) for at in range(len(lengths))]
    return tuple(
        tuple(range(start, start + length)) for start, length in zip(starts, lengths, strict=True)
    )


def _is_index(each: Operand) -> bool:
    return each.dtype in (Dtype.I64, Dtype.I32)


def _floating_alike(self: Operand, source: Operand) -> None:
    """Leave integers, and calls torch refuses, to torch."""
    if not self.dtype.is_floating or source.dtype is not self.dtype:
        raise Exact
