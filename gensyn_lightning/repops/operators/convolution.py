"""Convolutions of one, two and three dimensions, transposed ones, and their gradients.

Terms run (channel, kd, kh, kw) in the forward pass and the input gradient, (n, od, oh, ow) in the
weight gradient, in chunks of 256, each a chain of fused multiply-adds; padding is a term with +0.
In the input gradient of a strided convolution only those taps are terms that reach a position's
residue class. A bias is added to the finished sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduce
from gensyn_lightning.repops.operators.rows import single
from gensyn_lightning.repops.plan import Exact, Kernel, Operand, Plan, contiguous_strides
from gensyn_lightning.repops.programs import arithmetic, convolution, reduction
from gensyn_lightning.repops.stage import Dim, Fold, Read, Shape, Stage, same_place

CHUNK = 256
_TERM = reduction.sum_of_products["fff"]

Shapes = Sequence[Shape]
Dtypes = Sequence[Dtype]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a kernel moves over its input, in three dimensions."""

    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int

    @classmethod
    def of(cls, params: Sequence[int]) -> Geometry:
        """Read a kernel's parameters."""
        return cls(tuple(params[:3]), tuple(params[3:6]), tuple(params[6:9]), params[9])

    def params(self, *, biased: bool) -> tuple[int, ...]:
        """Return the parameters kernels take."""
        return (*self.stride, *self.padding, *self.dilation, self.groups, int(biased))


def _forward_stages(shapes: Shapes, dtypes: Dtypes, params: Sequence[int]) -> list[Stage]:
    """Define out[n, g, oc, o] as the sum of x[n, g, ic, s*o + d*k - p] * w[g, oc, ic, k]."""
    (batch, _, *places), x, w = shapes[:3]
    geometry, total = Geometry.of(params), len(shapes)
    out = (batch, geometry.groups, w[0] // geometry.groups, *places)
    reads = (
        Read(1, (*_at(x[0], 0), *_split(x[1], geometry.groups, 1, 6), *_input(x, geometry, 3, 7))),
        Read(2, (*_split(w[0], geometry.groups, 1, 2), *_at(w[1], 6), *_each(w[2:], 7))),
    )
    return [_sums(total, out, reads, w[1:]), *_finished(total, shapes, dtypes)]


def _weight_grad_stages(shapes: Shapes, dtypes: Dtypes, params: Sequence[int]) -> list[Stage]:
    """Define dw[g, oc, ic, k] as the sum of x[n, g, ic, s*o + d*k - p] * dy[n, g, oc, o]."""
    w, dy, x = shapes[:3]
    geometry, total = Geometry.of(params), len(shapes)
    out = (geometry.groups, w[0] // geometry.groups, *w[1:])
    reads = (
        Read(2, (*_at(x[0], 6), *_split(x[1], geometry.groups, 0, 2), *_input(x, geometry, 7, 3))),
        Read(1, (*_at(dy[0], 6), *_split(dy[1], geometry.groups, 0, 1), *_each(dy[2:], 7))),
    )
    terms = (dy[0], *dy[2:])
    return [_sums(total, out, reads, terms), *_finished(total, shapes[:3], dtypes)]


def _input_grad_stages(shapes: Shapes, dtypes: Dtypes, params: Sequence[int]) -> list[Stage]:
    """Define dx residue class by residue class, and put the classes together.

    A position h = c + s*t of class c has the taps k = k0 + m*j, for which s divides h + p - d*k;
    term (oc, j) is dy[n, g, oc, (h + p - d*k) / s] * w[g, oc, ic, k].
    """
    dx, dy, w = shapes[:3]
    geometry, number = Geometry.of(params), len(shapes)
    stages: list[Stage] = []
    total = -1
    for each in product(*(range(min(s, n)) for s, n in zip(geometry.stride, dx[2:], strict=True))):
        taps = [_taps(geometry, w[2 + i], i, c) for i, c in enumerate(each)]
        counts = tuple(
            -(-(n - c) // s) for n, c, s in zip(dx[2:], each, geometry.stride, strict=True)
        )
        part = (dx[0], geometry.groups, w[1], *counts)
        places = tuple(_along(dy[2 + i], taps[i], 3 + i, 7 + i) for i in range(3))
        kernel = tuple(
            Dim(w[2 + i], _row({7 + i: taps[i].step}), offset=taps[i].first) for i in range(3)
        )
        reads = (
            Read(1, (*_at(dy[0], 0), *_split(dy[1], geometry.groups, 1, 6), *places)),
            Read(2, (*_split(w[0], geometry.groups, 1, 6), *_at(w[1], 2), *kernel)),
        )
        terms = (dy[1] // geometry.groups, *(each.count for each in taps))
        stages.append(_sums(number, part, reads, terms))
        stages.append(_joined(number + 1, dx, total, number, counts, each, geometry.stride))
        total, number = number + 1, number + 2
    return [*stages, *_finished(total, shapes, dtypes)]


@dataclass(frozen=True, slots=True)
class _Taps:
    """Taps first, first + step, ... of a class, and where the first and the next ones read."""

    first: int
    step: int
    count: int
    place: int
    back: int


def _taps(geometry: Geometry, size: int, i: int, c: int) -> _Taps:
    s, p, d = geometry.stride[i], geometry.padding[i], geometry.dilation[i]
    found = [k for k in range(size) if (c + p - d * k) % s == 0]
    step = s // gcd(s, d)
    if not found:
        return _Taps(0, step, 0, 0, 0)
    return _Taps(found[0], step, len(found), (c + p - d * found[0]) // s, step * d // s)


def _along(size: int, taps: _Taps, place: int, tap: int) -> Dim:
    return Dim(size, _row({place: 1, tap: -taps.back}), offset=taps.place)


def _joined(
    out: int, dx: Shape, total: int, part: int, counts: Shape, first: Shape, stride: Shape
) -> Stage:
    """Return the map that adds one class's positions to those before it."""
    places = tuple(
        Dim(n, _row({2 + i: 1}, 5), offset=-first[i], divisor=stride[i])
        for i, n in enumerate(counts)
    )
    read = Read(part, (Dim(dx[0], _row({0: 1}, 5)), Dim(dx[1], _row({1: 1}, 5)), *places))
    if total < 0:
        return Stage(out, Dtype.F32, dx, arithmetic.copy["f"].trace()[0], (read,))
    reads = (same_place(total, dx), read)
    return Stage(out, Dtype.F32, dx, convolution.joined_bits.trace()[0], reads)


def _sums(out: int, shape: Shape, reads: tuple[Read, ...], terms: Sequence[int]) -> Stage:
    if _TERM.combine is None:
        raise ValueError("a term of a sum can be added up")
    fold = Fold(tuple(terms), CHUNK, 1, _TERM.init, _TERM.combine.trace()[0])
    return Stage(out, Dtype.F32, shape, _TERM.trace()[0], reads, fold)


def _finished(total: int, shapes: Shapes, dtypes: Dtypes) -> list[Stage]:
    """Return the map that adds the bias, if there is one, and rounds to the output's type."""
    whole = same_place(total, shapes[0])
    if len(shapes) < 4:
        return [Stage(0, dtypes[0], shapes[0], arithmetic.copy["f"].trace()[0], (whole,))]
    bias = Read(3, (Dim(shapes[0][1], _row({1: 1}, 5)),))
    return [Stage(0, dtypes[0], shapes[0], arithmetic.add["ff"].trace()[0], (whole, bias))]


def _row(coefficients: dict[int, int], rank: int = 10) -> Shape:
    return tuple(coefficients.get(at, 0) for at in range(rank))


def _at(size: int, coordinate: int) -> tuple[Dim]:
    return (Dim(size, _row({coordinate: 1})),)


def _each(sizes: Sequence[int], coordinate: int) -> Iterator[Dim]:
    return (Dim(size, _row({coordinate + i: 1})) for i, size in enumerate(sizes))


def _split(channels: int, groups: int, group: int, within: int) -> tuple[Dim, Dim]:
    return Dim(groups, _row({group: 1})), Dim(channels // groups, _row({within: 1}))


def _input(x: Shape, geometry: Geometry, place: int, tap: int) -> Iterator[Dim]:
    for i in range(3):
        row = _row({place + i: geometry.stride[i], tap + i: geometry.dilation[i]})
        yield Dim(x[2 + i], row, offset=-geometry.padding[i])


FORWARD = Kernel("repops_conv_forward", 1, _forward_stages)
INPUT_GRAD = Kernel("repops_conv_input_grad", 1, _input_grad_stages)
WEIGHT_GRAD = Kernel("repops_conv_weight_grad", 1, _weight_grad_stages)


@covers("convolution", out="convolution.out")
def convolve(
    plan: Plan,
    self: Operand,
    weight: Operand,
    bias: Operand | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> None:
    """Convolve, or, transposed, compute the input gradient of a convolution."""
    _checked(self, weight, groups, transposed=transposed)
    geometry = _geometry(self.rank - 2, stride, padding, dilation, groups)
    extra = _three(output_padding, self.rank - 2, 0)
    shape = _output_shape(self, weight, geometry, extra if transposed else None)
    out = plan.result(shape, self.dtype, _strides(shape, self, weight))
    views = [_volume(out), _volume(self), _volume(weight), *([] if bias is None else [bias])]
    kernel = INPUT_GRAD if transposed else FORWARD
    plan.call(kernel, views, geometry.params(biased=bias is not None))
    plan.returns(out)


@covers("_convolution", "_convolution.deprecated")
def convolve_with_settings(
    plan: Plan,
    self: Operand,
    weight: Operand,
    bias: Operand | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    *_settings: bool,
) -> None:
    """Convolve; the settings choose between libraries torch would use."""
    convolve(
        plan, self, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    )


@covers("convolution_backward")
def convolve_backward(
    plan: Plan,
    grad: Operand,
    self: Operand,
    weight: Operand,
    _bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> None:
    """Return the gradients of the input, the weight and the bias, as far as they are asked for."""
    _checked(self, weight, groups, transposed=transposed)
    geometry = _geometry(self.rank - 2, stride, padding, dilation, groups)
    params = geometry.params(biased=False)
    made: list[Operand | None] = [None, None, None]
    if output_mask[0]:
        made[0] = dx = plan.result(self.shape, self.dtype, _strides(self.shape, self, weight))
        kernel = FORWARD if transposed else INPUT_GRAD
        plan.call(kernel, [_volume(dx), _volume(grad), _volume(weight)], params)
    if output_mask[1]:
        made[1] = dw = plan.result(weight.shape, weight.dtype, _strides(weight.shape, self, weight))
        small, large = (self, grad) if transposed else (grad, self)
        plan.call(WEIGHT_GRAD, [_volume(dw), _volume(small), _volume(large)], params)
    if output_mask[2]:
        made[2] = db = plan.result((grad.shape[1],), grad.dtype)
        reduce(plan, reduction.sum_["ff"], [grad], [0, *range(2, grad.rank)], out=db)
    plan.returns(*made)


def _checked(self: Operand, weight: Operand, groups: int, *, transposed: bool) -> None:
    """Refuse what is not defined, and what torch refuses."""
    if not self.dtype.is_floating:
        raise Exact
    single(self.dtype, "the convolution")
    if self.rank not in (3, 4, 5) or weight.rank != self.rank or weight.dtype is not self.dtype:
        raise RuntimeError("a convolution takes an input and a weight of one rank and type")
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    if groups < 1 or self.shape[1] != channels or weight.shape[0] % groups:
        raise RuntimeError(
            f"a weight of {list(weight.shape)} in {groups} groups does not fit"
            f" {self.shape[1]} channels of input"
        )


def _geometry(
    rank: int, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> Geometry:
    made = Geometry(
        _three(stride, rank, 1), _three(padding, rank, 0), _three(dilation, rank, 1), groups
    )
    if min(*made.stride, *made.dilation) < 1 or min(made.padding) < 0:
        raise RuntimeError("stride and dilation have to be positive, padding not negative")
    return made


def _three(values: Sequence[int], rank: int, missing: int) -> Shape:
    """Return one number for each of three dimensions; a single one stands for all that exist."""
    every = list(values) * rank if len(values) == 1 else list(values)
    return (*[missing] * (3 - rank), *every)


def _volume(operand: Operand) -> Operand:
    """Return the view with three dimensions of space."""
    while operand.rank < 5:
        operand = operand.unsqueeze(2)
    return operand


def _output_shape(self: Operand, weight: Operand, g: Geometry, extra: Shape | None) -> Shape:
    x, w = _volume(self).shape, _volume(weight).shape
    sizes = []
    for i in range(3):
        reach = g.dilation[i] * (w[2 + i] - 1) + 1
        if extra is None:
            sizes.append((x[2 + i] + 2 * g.padding[i] - reach) // g.stride[i] + 1)
        else:
            sizes.append((x[2 + i] - 1) * g.stride[i] - 2 * g.padding[i] + reach + extra[i])
    if min(sizes) < 1:
        raise RuntimeError("the kernel is larger than the padded input")
    channels = w[0] if extra is None else w[1] * g.groups
    return (x[0], channels, *sizes[5 - self.rank :])


def _strides(shape: Shape, *like: Operand) -> Shape | None:
    """Return strides with channels innermost if one of the operands has them so."""
    if not any(_channels_last(each) for each in like):
        return None
    moved = contiguous_strides((shape[0], *shape[2:], shape[1]))
    return (moved[0], moved[-1], *moved[1:-1])


def _channels_last(operand: Operand) -> bool:
    if operand.rank < 4 or operand.is_contiguous:
        return False
    order = (0, *range(2, operand.rank), 1)
    moved = replace(
        operand,
        shape=tuple(operand.shape[each] for each in order),
        strides=tuple(operand.strides[each] for each in order),
    )
    return moved.is_contiguous
