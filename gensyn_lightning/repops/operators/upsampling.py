"""Interpolation: linear, cubic and smoothed, along one to three dimensions, and its gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.operators.index_writes import write
from gensyn_lightning.repops.operators.resampling import Table, resample
from gensyn_lightning.repops.plan import Exact, Operand, Plan, WordSource
from gensyn_lightning.repops.programs import upsampling
from gensyn_lightning.repops.word import Definition

Sizes = Sequence[int]
Scale = float | None
MakeTable = Callable[[Plan, int, int, bool, Scale], Table | None]
SCALES = ("scales", "scales_d", "scales_h", "scales_w")


def forward(
    make: MakeTable,
    plan: Plan,
    self: Operand,
    output_size: Sizes,
    align_corners: bool,
    *scales: Scale,
) -> None:
    """Resample to a size."""
    _computable(self.dtype)
    rank = len(output_size)
    out = rows.result_in_format(plan, self, (*self.shape[:-rank], *output_size))
    tables = _tables(make, plan, self.shape[-rank:], output_size, align_corners, scales)
    resample(plan, out, self, tables, adjoint=False)
    plan.returns(out)


def backward(
    make: MakeTable,
    plan: Plan,
    grad_output: Operand,
    output_size: Sizes,
    input_size: Sizes,
    align_corners: bool,
    *scales: Scale,
) -> None:
    """Return to every element what outputs took from it, in their order."""
    _computable(grad_output.dtype)
    rank = len(output_size)
    out = rows.result_in_format(plan, grad_output, tuple(input_size))
    tables = _tables(make, plan, input_size[-rank:], output_size, align_corners, scales)
    resample(plan, out, grad_output, tables, adjoint=True)
    plan.returns(out)


def nearest_backward(
    make: MakeTable,
    plan: Plan,
    grad_output: Operand,
    output_size: Sizes,
    input_size: Sizes,
    *scales: Scale,
) -> None:
    """Return to every element the sum of its copies."""
    backward(make, plan, grad_output, output_size, input_size, False, *scales)


def refuse_lanczos(plan: Plan, *arguments: object) -> None:
    """Refuse: its weights are sines."""
    raise NotReproducible("lanczos interpolation is not defined", hint="use mode='bicubic'")


def _tables(
    make: MakeTable,
    plan: Plan,
    size: Sizes,
    output_size: Sizes,
    align_corners: bool,
    scales: Sequence[Scale],
) -> list[Table | None]:
    """Return a table for each dimension; the same one where they are alike."""
    made: dict[tuple[int, int, Scale], Table | None] = {}
    tables = []
    for length, outs, scale in zip(size, output_size, scales, strict=True):
        key = (length, outs, scale)
        if key not in made:
            made[key] = make(plan, length, outs, align_corners, scale)
        tables.append(made[key])
    return tables


def _interpolated(
    program: Definition,
    taps: int,
    plan: Plan,
    size: int,
    outs: int,
    align_corners: bool,
    scale: Scale,
) -> Table:
    places, weights = plan.new((outs, taps), Dtype.I64), plan.new((outs, taps), Dtype.F32)
    step = _step(size, outs, align_corners, scale)
    words = [rows.constant("d", step), rows.constant("i", size)]
    words.append(rows.constant("i", int(align_corners)))
    columns = [_column(each, at) for each in (places, weights) for at in range(taps)]
    map_elements(plan, program, columns, [rows.counted(plan, outs)], words)
    return Table(places, weights)


def _smooth(
    program: Definition,
    reach: float,
    plan: Plan,
    size: int,
    outs: int,
    align_corners: bool,
    scale: Scale,
) -> Table | None:
    """Return taps under a kernel that is as wide as what one output covers; they add up to 1."""
    step = _step(size, outs, align_corners, scale)
    support = reach * step if step >= 1.0 else reach
    taps = math.ceil(support) * 2 + 1
    places, raw = plan.new((outs, taps), Dtype.I64), plan.new((outs, taps), Dtype.F32)
    words = [rows.constant("d", each) for each in (step, support, 1 / step if step >= 1 else 1.0)]
    words.append(rows.constant("i", size))
    out = rows.counted(plan, outs)
    reads = [out.unsqueeze(1), rows.counted(plan, taps)]
    map_elements(plan, program, [places, raw], reads, words)
    total = plan.new((outs,), Dtype.F32)
    index = plan.new((outs, taps), Dtype.I64)
    copy_elements(plan, index, out.unsqueeze(1))
    flat = (1, outs * taps, 1)
    write(plan, "add", total.reshape((1, outs, 1)), index.reshape(flat), raw.reshape(flat))
    weights = plan.new((outs, taps), Dtype.F32)
    map_elements(plan, upsampling.normal_weight, weights, [raw, total.unsqueeze(1)])
    return Table(places, weights)


def _nearest(
    program: Definition, plan: Plan, size: int, outs: int, align_corners: bool, scale: Scale
) -> Table:
    step = _step(size, outs, False, scale)
    words = [rows.constant("f", step), rows.constant("i", size)]
    return copying(plan, program, outs, words)


def copying(plan: Plan, program: Definition, outs: int, words: Sequence[WordSource]) -> Table:
    """Return the table of outputs that are copies of one element each."""
    places = plan.new((outs, 1), Dtype.I64)
    map_elements(plan, program, _column(places, 0), [rows.counted(plan, outs)], words)
    return Table(places, rows.filled(plan, (outs, 1), Dtype.F32, 1.0))


def _column(operand: Operand, at: int) -> Operand:
    return operand.narrow(1, at, 1).squeeze(1)


def _step(size: int, outs: int, align_corners: bool, scale: Scale) -> float:
    """Return how far apart outputs are, in elements."""
    if align_corners:
        return (size - 1) / (outs - 1) if outs > 1 else 0.0
    return 1.0 / scale if scale is not None and scale > 0 else size / outs


def _computable(dtype: Dtype) -> None:
    if not dtype.is_floating:
        raise Exact
    rows.single(dtype, "interpolation")


def _cover() -> None:
    linear = partial(_interpolated, upsampling.linear_taps, 2)
    cubic = partial(_interpolated, upsampling.cubic_taps, 4)
    smooth_linear = partial(_smooth, upsampling.smooth_linear_taps, 1.0)
    smooth_cubic = partial(_smooth, upsampling.smooth_cubic_taps, 2.0)
    for name, make in (
        ("upsample_linear1d", linear),
        ("upsample_bilinear2d", linear),
        ("upsample_trilinear3d", linear),
        ("upsample_bicubic2d", cubic),
        ("_upsample_bilinear2d_aa", smooth_linear),
        ("_upsample_bicubic2d_aa", smooth_cubic),
    ):
        _register(name, partial(forward, make), "out")
        _register(f"{name}_backward", partial(backward, make), "grad_input")
    for name, tap in (
        ("upsample_nearest", upsampling.nearest_tap),
        ("_upsample_nearest_exact", upsampling.nearest_exact_tap),
    ):
        lower = partial(nearest_backward, partial(_nearest, tap))
        for rank in (1, 2, 3):
            _register(f"{name}{rank}d_backward", lower, "grad_input")
    _register("_upsample_lanczos2d_aa", refuse_lanczos, "out")
    _register("_upsample_lanczos2d_aa_backward", refuse_lanczos, "grad_input")


def _register(name: str, lower: Callable[..., None], out: str) -> None:
    covers(name, out=f"{name}.{out}", static=SCALES)(lower)


_cover()
