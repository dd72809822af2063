"""Pooling: the largest or the mean of windows, adaptive or not; gradients; columns of patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.operators.index_writes import write
from gensyn_lightning.repops.operators.pool_windows import (
    POOL_COLUMNS,
    POOL_MAX,
    POOL_MEAN,
    POOL_MEAN_BACKWARD,
    Windows,
)
from gensyn_lightning.repops.plan import Exact, Operand, Plan, numel
from gensyn_lightning.repops.stage import Shape

Sizes = Sequence[int]


def max_pool(
    rank: int,
    plan: Plan,
    self: Operand,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> None:
    """Return each window's largest element and its place."""
    windows = _windows(rank, kernel_size, stride, padding, dilation)
    _largest(plan, self, _outs_of(self, windows, rank, ceil_mode), windows)


def adaptive_max_pool(rank: int, plan: Plan, self: Operand, output_size: Sizes) -> None:
    """Return the largest element, and its place, of windows that cover the input."""
    _largest(plan, self, _each(output_size, rank), Windows(adaptive=True))


def max_pool_backward(
    rank: int,
    plan: Plan,
    grad_output: Operand,
    self: Operand,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    indices: Operand,
) -> None:
    """Add each window's gradient to the element that was largest, in the order of the windows."""
    _to_places(plan, grad_output, self, indices, rank)


def adaptive_max_pool_backward(
    rank: int, plan: Plan, grad_output: Operand, self: Operand, indices: Operand
) -> None:
    """Add each window's gradient to the element that was largest."""
    _to_places(plan, grad_output, self, indices, rank)


def max_unpool(
    rank: int, plan: Plan, self: Operand, indices: Operand, output_size: Sizes, *others: Sizes
) -> None:
    """Put elements where a pooling found them, 0 elsewhere; the last of several stays."""
    if not self.dtype.is_floating or indices.shape != self.shape:
        raise Exact
    _planar(self, rank)
    out = rows.result_in_format(plan, self, (*self.shape[:-rank], *output_size))
    made = out if out.is_contiguous else plan.new(out.shape, out.dtype)
    write(plan, "write", _planes(plan, made, rank), *_places(plan, indices, self, rank))
    _returned(plan, out, made)


def avg_pool(
    rank: int,
    plan: Plan,
    self: Operand,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> None:
    """Return each window's mean."""
    windows = _windows(rank, kernel_size, stride, padding, [1])
    outs = _outs_of(self, windows, rank, ceil_mode)
    _means(plan, self, outs, _counting(windows, count_include_pad, divisor_override))


def avg_pool_backward(
    rank: int,
    plan: Plan,
    grad_output: Operand,
    self: Operand,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> None:
    """Share out each window's gradient, in the order of the windows."""
    windows = _windows(rank, kernel_size, stride, padding, [1])
    counting = _counting(windows, count_include_pad, divisor_override)
    _means_backward(plan, grad_output, self, rank, counting)


def adaptive_avg_pool(rank: int, plan: Plan, self: Operand, output_size: Sizes) -> None:
    """Return the means of windows that cover the input."""
    _means(plan, self, _each(output_size, rank), Windows(adaptive=True))


def adaptive_avg_pool_backward(rank: int, plan: Plan, grad_output: Operand, self: Operand) -> None:
    """Share out each window's gradient."""
    _means_backward(plan, grad_output, self, rank, Windows(adaptive=True))


for _rank in (2, 3):
    for _name, _out, _lower in (
        ("max_pool{}d_with_indices", "{0}.out", max_pool),
        ("max_pool{}d_with_indices_backward", "{0}.grad_input", max_pool_backward),
        ("adaptive_max_pool{}d", "{0}.out", adaptive_max_pool),
        ("adaptive_max_pool{}d_backward", "{0}.grad_input", adaptive_max_pool_backward),
        ("max_unpool{}d", "{0}.out", max_unpool),
        ("avg_pool{}d", "{0}.out", avg_pool),
        ("avg_pool{}d_backward", "{0}.grad_input", avg_pool_backward),
        ("_adaptive_avg_pool{}d", "{0}.out adaptive_avg_pool{1}d.out", adaptive_avg_pool),
        ("_adaptive_avg_pool{}d_backward", "{0}.out", adaptive_avg_pool_backward),
    ):
        _full = _name.format(_rank)
        covers(_full, out=_out.format(_full, _rank))(partial(_lower, _rank))
covers(out="adaptive_avg_pool3d_backward.grad_input")(partial(adaptive_avg_pool_backward, 3))


@covers("col2im", out="col2im.out")
def col2im(
    plan: Plan,
    self: Operand,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes,
    padding: Sizes,
    stride: Sizes,
) -> None:
    """Add up patches where they overlap, in row-major order of an element's place in the patch."""
    _computable(self.dtype)
    windows = _windows(2, kernel_size, stride, padding, dilation)
    outs = _outs(tuple(output_size), windows, 2, ceil_mode=False)
    batch, count = self.shape[:-2], self.shape[-2]
    channels = count // numel(tuple(kernel_size))
    out = plan.result((*batch, channels, *output_size), self.dtype)
    columns = rows.contiguous(plan, self, Dtype.F32)
    planes = numel(batch) * channels
    laid = columns.reshape((planes, *kernel_size, *outs))
    made = out
    if out.dtype is not Dtype.F32 or not out.is_contiguous:
        made = plan.new(out.shape, Dtype.F32)
    params = [
        each[at] for at in (1, 2) for each in (windows.step, windows.padding, windows.spacing)
    ]
    plan.call(POOL_COLUMNS, [made.reshape((planes, *output_size)), laid], params)
    _returned(plan, out, made)


def _largest(plan: Plan, self: Operand, outs: Shape, windows: Windows) -> None:
    _computable(self.dtype)
    rank = len(outs)
    _planar(self, rank)
    shape = (*self.shape[: -len(outs)], *outs)
    values, places = (
        rows.result_in_format(plan, self, shape),
        rows.result_in_format(plan, self, shape, Dtype.I64),
    )
    source = rows.five(rows.computed_as(plan, self), rank)
    made = values if values.dtype is Dtype.F32 else plan.like(values, Dtype.F32)
    windows = _plain(windows, source.shape, outs)
    words = windows.words(source.shape[2:], rows.five(made, rank).shape[2:])
    views = [rows.five(made, rank), rows.five(places, rank), source]
    plan.call(POOL_MAX, views, windows.params(), words)
    if made is not values:
        copy_elements(plan, values, made)
    plan.returns(values, places)


def _means(plan: Plan, self: Operand, outs: Shape, windows: Windows) -> None:
    _computable(self.dtype)
    rank = len(outs)
    _planar(self, rank)
    out = rows.result_in_format(plan, self, (*self.shape[:-rank], *outs))
    source = rows.five(rows.computed_as(plan, self), rank)
    made = out if out.dtype is Dtype.F32 else plan.like(out, Dtype.F32)
    windows = _plain(windows, source.shape, outs)
    words = windows.words(source.shape[2:], rows.five(made, rank).shape[2:])
    plan.call(POOL_MEAN, [rows.five(made, rank), source], windows.params(), words)
    _returned(plan, out, made)


def _means_backward(plan: Plan, grad: Operand, self: Operand, rank: int, windows: Windows) -> None:
    _computable(grad.dtype)
    out = rows.result_in_format(plan, self, self.shape)
    source = rows.five(rows.computed_as(plan, grad), rank)
    made = out if out.dtype is Dtype.F32 else plan.like(out, Dtype.F32)
    windows = _plain(windows, rows.five(made, rank).shape, source.shape[-rank:])
    words = windows.words(rows.five(made, rank).shape[2:], source.shape[2:])
    plan.call(POOL_MEAN_BACKWARD, [rows.five(made, rank), source], windows.params(), words)
    _returned(plan, out, made)


def _to_places(plan: Plan, grad: Operand, self: Operand, indices: Operand, rank: int) -> None:
    _computable(grad.dtype)
    out = rows.result_in_format(plan, self, self.shape)
    made = out if out.is_contiguous else plan.new(out.shape, out.dtype)
    write(plan, "add", _planes(plan, made, rank), *_places(plan, indices, grad, rank))
    _returned(plan, out, made)


def _places(plan: Plan, indices: Operand, source: Operand, rank: int) -> tuple[Operand, Operand]:
    wide = rows.in_dtype(plan, indices, Dtype.I64)
    return _planes(plan, wide, rank), _planes(plan, source, rank)


def _planes(plan: Plan, operand: Operand, rank: int) -> Operand:
    """Return a view (planes, places in one, 1), of a copy if need be."""
    lead = operand.rank - rank
    return rows.grouped(plan, operand, (tuple(range(lead)), tuple(range(lead, operand.rank)), ()))


def _returned(plan: Plan, out: Operand, made: Operand) -> None:
    if made is not out:
        copy_elements(plan, out, made)
    plan.returns(out)


def _windows(rank: int, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Windows:
    window = _each(kernel, rank)
    step = _each(stride, rank) if len(stride) else window
    lead = (1,) * (3 - rank)
    return Windows(
        (*lead, *window),
        (*lead, *step),
        (*(0,) * (3 - rank), *_each(padding, rank)),
        (*lead, *_each(dilation, rank)),
    )


def _counting(windows: Windows, include_pad: bool, divisor: int | None) -> Windows:
    return replace(windows, counts_padding=include_pad, divisor=divisor or 0)


def _planar(self: Operand, rank: int) -> None:
    """Leave to torch, which refuses it, what has no such planes."""
    if self.rank not in (rank + 1, rank + 2):
        raise Exact


def _outs_of(self: Operand, windows: Windows, rank: int, ceil_mode: bool) -> Shape:
    """Return how many windows there are; leave windows that cannot be to torch."""
    _planar(self, rank)
    every = zip(windows.window, windows.step, windows.padding, windows.spacing, strict=True)
    for window, step, padding, spacing in every:
        reach = spacing * (window - 1) + 1
        if min(window, step, spacing) < 1 or not 0 <= 2 * padding <= reach:
            raise Exact
    outs = _outs(self.shape[-rank:], windows, rank, ceil_mode)
    if min(outs) < 1:
        raise Exact
    return outs


def _outs(size: Shape, windows: Windows, rank: int, ceil_mode: bool) -> Shape:
    """Return how many windows there are; with `ceil_mode` the last may reach beyond the end."""
    made = []
    for at, length in enumerate(size, 3 - rank):
        reach = windows.spacing[at] * (windows.window[at] - 1)
        step, padding = windows.step[at], windows.padding[at]
        room = length + 2 * padding - reach - 1
        outs = (room + (step - 1 if ceil_mode else 0)) // step + 1
        if ceil_mode and (outs - 1) * step >= length + padding:
            outs -= 1
        made.append(outs)
    return tuple(made)


def _plain(windows: Windows, size: Shape, outs: Shape) -> Windows:
    """Return adaptive windows as ordinary ones where they are: the same elements in each."""
    full = (1,) * (3 - len(outs)) + tuple(outs)
    whole = all(length % count == 0 for length, count in zip(size[-3:], full, strict=True) if count)
    if not windows.adaptive or not whole or 0 in full:
        return windows
    step = tuple(length // count for length, count in zip(size[-3:], full, strict=True))
    return Windows(window=step, step=step)


def _each(sizes: Sizes, rank: int) -> tuple[int, ...]:
    return tuple(sizes) * rank if len(sizes) == 1 else tuple(sizes)


def _computable(dtype: Dtype) -> None:
    if not dtype.is_floating:
        raise Exact
    rows.single(dtype, "pooling")
