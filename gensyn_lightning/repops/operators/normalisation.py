"""Layer normalisation, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements
from gensyn_lightning.repops.operators.reduction import require_single
from gensyn_lightning.repops.plan import Kernel, Operand, Plan, Scalar, WordSource, numel
from gensyn_lightning.repops.programs import arithmetic
from gensyn_lightning.repops.programs import normalisation as programs
from gensyn_lightning.repops.programs import reduction as sums
from gensyn_lightning.repops.stage import Shape, Stage
from gensyn_lightning.repops.stages import Stages
from gensyn_lightning.repops.word import float_bits

WEIGHT, BIAS = 1, 2
D_INPUT, D_WEIGHT, D_BIAS, HAS_WEIGHT = 1, 2, 4, 8


@covers("native_layer_norm", out="native_layer_norm.out")
def layer_norm(
    plan: Plan,
    input: Operand,
    normalized_shape: Sequence[int],
    weight: Operand | None,
    bias: Operand | None,
    eps: Scalar,
) -> None:
    """Return the normal of every row times weight plus bias, the rows' means and roots."""
    require_single(input, "layer normalisation")
    lead = len(input.shape) - len(normalized_shape)
    if input.shape[lead:] != tuple(normalized_shape):
        raise RuntimeError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape "
            f"[*, {', '.join(map(str, normalized_shape))}], but got input of size"
            f"{list(input.shape)}"
        )
    kept = input.shape[:lead] + (1,) * len(normalized_shape)
    out = plan.result(input.shape, input.dtype)
    kind = saved_dtype(input, weight, bias)
    saved = [plan.result(kept, kind) for _ in range(2)]
    if out.numel:
        layer_rows(plan, out, saved, [input, weight, bias], (numel(kept), eps))
    plan.returns(out, *saved)


def layer_rows(
    plan: Plan,
    out: Operand,
    saved: Sequence[Operand],
    reads: Sequence[Operand | None],
    rule: tuple[int, Scalar],
) -> None:
    """Normalise the rows of x; reads are x, weight and bias, the rule the count of rows and eps."""
    rows, eps = rule
    x, weight, bias = reads
    if x is None:
        raise ValueError("there is nothing to normalise")
    n = x.numel // rows
    made = out if out.is_contiguous else plan.new(out.shape, out.dtype)
    plain = [each if each.is_contiguous else plan.new(each.shape, each.dtype) for each in saved]
    views = [made.reshape((rows, n)), *(each.reshape((rows, 1)) for each in plain)]
    views.append(contiguous(plan, x).reshape((rows, n)))
    views += [contiguous(plan, each).reshape((n,)) for each in (weight, bias) if each is not None]
    flags = WEIGHT * (weight is not None) + BIAS * (bias is not None)
    plan.call(FORWARD, views, (flags,), [WordSource(eps, "f")])
    for target, source in zip((out, *saved), (made, *plain), strict=True):
        if target is not source:
            copy_elements(plan, target, source)


@covers("native_layer_norm_backward", out="native_layer_norm_backward.out")
def layer_norm_backward(
    plan: Plan,
    grad_out: Operand,
    input: Operand,
    normalized_shape: Sequence[int],
    mean: Operand,
    rstd: Operand,
    weight: Operand | None,
    bias: Operand | None,
    output_mask: Sequence[bool],
) -> None:
    """Return the gradients of input, weight and bias, those that are wanted."""
    wanted = [output_mask[0], output_mask[1] and weight is not None]
    wanted.append(output_mask[2] and bias is not None)
    shapes = [input.shape, tuple(normalized_shape), tuple(normalized_shape)]
    kinds = [input.dtype] + [each.dtype if each else input.dtype for each in (weight, bias)]
    made = [
        plan.result(shape, kind) if want else None
        for want, shape, kind in zip(wanted, shapes, kinds, strict=True)
    ]
    n = numel(normalized_shape)
    layer_gradients(plan, made, [grad_out, input, mean, rstd, weight], n)
    plan.returns(*made)


def layer_gradients(
    plan: Plan, made: Sequence[Operand | None], reads: Sequence[Operand | None], n: int
) -> None:
    """Compute gradients of input, weight and bias; reads are dy, x, mean, rstd and weight.

    Rows are n long.
    """
    dy, x, mean, rstd, weight = reads
    if dy is None or x is None or mean is None or rstd is None:
        raise ValueError("only the weight may be missing")
    rows = mean.numel
    outs = [
        each if each is None or each.is_contiguous else plan.new(each.shape, each.dtype)
        for each in made
    ]
    shapes: list[Shape] = [(rows, n), (1, n), (1, n)]
    views = [
        each.reshape(shape) for each, shape in zip(outs, shapes, strict=True) if each is not None
    ]
    if not views or not any(each.numel for each in views):
        return
    views += [contiguous(plan, each).reshape((rows, n)) for each in (dy, x)]
    views += [contiguous(plan, each).reshape((rows, 1)) for each in (mean, rstd)]
    flags = sum(bit for bit, each in zip((1, 2, 4), outs, strict=True) if each is not None)
    if weight is not None:
        views.append(contiguous(plan, weight).reshape((n,)))
        flags += HAS_WEIGHT
    count = sum(each is not None for each in outs)
    plan.call(BACKWARD[count], views, (flags,))
    for target, source in zip(made, outs, strict=True):
        if target is not None and source is not None and target is not source:
            copy_elements(plan, target, source)


def contiguous(plan: Plan, operand: Operand) -> Operand:
    """Return the operand, copied to be contiguous unless it is."""
    if operand.is_contiguous:
        return operand
    copied = plan.new(operand.shape, operand.dtype)
    copy_elements(plan, copied, operand)
    return copied


def saved_dtype(input: Operand, *parameters: Operand | None) -> Dtype:
    """Return the type of saved means: the parameters' if there are, else the input's."""
    kinds = [each.dtype for each in parameters if each is not None]
    return kinds[0] if kinds else input.dtype


def _define_forward(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    stages = Stages(list(shapes), list(dtypes))
    kept = (shapes[3][0], 1)
    count = stages.constant(float_bits(shapes[3][1]))
    total = stages.fold(sums.sum_["ff"], [3], [1])
    mean = stages.map(arithmetic.div["ff"], kept, [total, count])
    squares = stages.fold(sums.sum_of_squared_differences["fff"], [3, mean], [1])
    rstd = stages.map(programs.root_of_variance["ffF"], kept, [squares, count], words=[0])
    rest = range(4, len(shapes))
    definition = {
        0: programs.normal["fff"],
        WEIGHT: programs.weighted_normal["ffff"],
        BIAS: programs.biased_normal["ffff"],
        WEIGHT + BIAS: programs.affine_normal["fffff"],
    }[params[0]]
    stages.map(definition, shapes[0], [3, mean, rstd, *rest], out=0)
    stages.map(arithmetic.copy["f"], kept, [mean], out=1)
    stages.map(arithmetic.copy["f"], kept, [rstd], out=2)
    return stages.made


def _define_backward(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    stages = Stages(list(shapes), list(dtypes))
    what = params[0]
    first = sum(bool(what & bit) for bit in (D_INPUT, D_WEIGHT, D_BIAS))
    dy, x, mean, rstd = range(first, first + 4)
    weight = [first + 4] if what & HAS_WEIGHT else []
    outs = iter(range(first))
    if what & D_INPUT:
        _define_input_gradient(stages, next(outs), (dy, x, mean, rstd), weight)
    if what & D_WEIGHT:
        term = programs.sum_of_gradient_times_normal["fffff"]
        stages.fold(term, [dy, x, mean, rstd], [0], out=next(outs))
    if what & D_BIAS:
        stages.fold(sums.sum_["ff"], [dy], [0], out=next(outs))
    return stages.made


def _define_input_gradient(
    stages: Stages, out: int, reads: tuple[int, int, int, int], weight: Sequence[int]
) -> None:
    dy, x, mean, rstd = reads
    kept = (stages.shapes[x][0], 1)
    count = stages.constant(float_bits(stages.shapes[x][1]))
    if weight:
        a = stages.fold(programs.sum_of_weighted_gradient["fff"], [dy, *weight], [1])
        term = programs.sum_of_weighted_gradient_times_normal["ffffff"]
        b = stages.fold(term, [dy, x, mean, rstd, *weight], [1])
    else:
        a = stages.fold(sums.sum_["ff"], [dy], [1])
        term = programs.sum_of_gradient_times_normal["fffff"]
        b = stages.fold(term, [dy, x, mean, rstd], [1])
    of_gradient = stages.map(arithmetic.div["ff"], kept, [a, count])
    of_product = stages.map(arithmetic.div["ff"], kept, [b, count])
    definition = programs.layer_gradient["ffffff"]
    if weight:
        definition = programs.weighted_layer_gradient["fffffff"]
    shape = stages.shapes[x]
    stages.map(definition, shape, [dy, x, mean, rstd, of_gradient, of_product, *weight], out=out)


FORWARD = Kernel("repops_layer_norm", 3, _define_forward)
BACKWARD = [Kernel("repops_layer_norm_backward", each, _define_backward) for each in range(4)]

__all__ = ["contiguous", "layer_gradients", "layer_rows", "saved_dtype"]
