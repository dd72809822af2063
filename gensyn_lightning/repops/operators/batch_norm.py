"""Batch normalisation with the batch's own statistics or with stored ones, forward and backward.

One kernel takes a channel at a time where its elements lie side by side; else the same stages run
one by one. Terms are numbered along the batch and then along space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduce
from gensyn_lightning.repops.mapping import collapse, copy_elements, map_elements, stages_of
from gensyn_lightning.repops.operators.batch_norm_stages import (
    APPLY,
    BACKWARD,
    BIAS,
    D_INPUT,
    FORWARD,
    OWN_MEANS,
    WEIGHT,
)
from gensyn_lightning.repops.operators.normalisation import saved_dtype
from gensyn_lightning.repops.operators.reduction import count_word, require_single
from gensyn_lightning.repops.plan import (
    Kernel,
    Operand,
    Plan,
    Scalar,
    WordSource,
    dense_strides,
    numel,
)
from gensyn_lightning.repops.programs import arithmetic, batch_norm, normalisation
from gensyn_lightning.repops.programs import reduction as sums
from gensyn_lightning.repops.word import Definition

INNER_LEAST = 8  # shorter rows are no rows to walk along


@dataclass(frozen=True, slots=True)
class Statistics:
    """A channel's mean, one over its root of variance, and its sum of squares, all binary32 [C]."""

    mean: Operand
    rstd: Operand
    squares: Operand | None = None


@covers("native_batch_norm", out="native_batch_norm.out")
def native_batch_norm(
    plan: Plan,
    input: Operand,
    weight: Operand | None,
    bias: Operand | None,
    running_mean: Operand | None,
    running_var: Operand | None,
    training: bool,
    momentum: Scalar,
    eps: Scalar,
) -> None:
    """Return the normal times weight plus bias, and the statistics it was made with."""
    running = (running_mean, running_var)
    plan.returns(*normalised(plan, (input, weight, bias), running, training, (momentum, eps)))


@covers("_native_batch_norm_legit")
def native_batch_norm_legit(
    plan: Plan,
    input: Operand,
    weight: Operand | None,
    bias: Operand | None,
    running_mean: Operand,
    running_var: Operand,
    training: bool,
    momentum: Scalar,
    eps: Scalar,
) -> None:
    """Return the same; the running statistics are arguments that are written."""
    running = (running_mean, running_var)
    plan.returns(*normalised(plan, (input, weight, bias), running, training, (momentum, eps)))


@covers("_native_batch_norm_legit.no_stats", out="_native_batch_norm_legit.no_stats_out")
def native_batch_norm_no_stats(
    plan: Plan,
    input: Operand,
    weight: Operand | None,
    bias: Operand | None,
    training: bool,
    momentum: Scalar,
    eps: Scalar,
) -> None:
    """Return the same without running statistics."""
    plan.returns(*normalised(plan, (input, weight, bias), (None, None), training, (momentum, eps)))


@covers("_batch_norm_with_update")
def batch_norm_with_update(
    plan: Plan,
    input: Operand,
    weight: Operand | None,
    bias: Operand | None,
    running_mean: Operand,
    running_var: Operand,
    momentum: Scalar,
    eps: Scalar,
) -> None:
    """Return the same in training, and an empty reserve."""
    running = (running_mean, running_var)
    made = normalised(plan, (input, weight, bias), running, True, (momentum, eps))
    plan.returns(*made, plan.new((0,), Dtype.U8))


@covers("native_batch_norm_backward", out="native_batch_norm_backward.out")
def native_batch_norm_backward(
    plan: Plan,
    grad_out: Operand,
    input: Operand,
    weight: Operand | None,
    running_mean: Operand | None,
    running_var: Operand | None,
    save_mean: Operand | None,
    save_invstd: Operand | None,
    train: bool,
    eps: Scalar,
    output_mask: Sequence[bool],
) -> None:
    """Return the gradients of input, weight and bias."""
    require_single(input, "batch normalisation")
    used = _stored(plan, running_mean, running_var, eps)
    if train and save_mean is not None and save_invstd is not None:
        used = Statistics(save_mean, save_invstd)
    plan.returns(*_gradients(plan, (grad_out, input, weight), used, train, output_mask))


@covers("batch_norm_backward")
def batch_norm_backward(
    plan: Plan,
    grad_out: Operand,
    input: Operand,
    weight: Operand,
    running_mean: Operand | None,
    running_var: Operand | None,
    save_mean: Operand | None,
    save_var: Operand | None,
    update: bool,
    eps: Scalar,
    output_mask: Sequence[bool],
    reserve: Operand,
) -> None:
    """Return the same for `_batch_norm_with_update`."""
    native_batch_norm_backward(
        plan,
        grad_out,
        input,
        weight,
        running_mean,
        running_var,
        save_mean,
        save_var,
        update,
        eps,
        output_mask,
    )


def normalised(
    plan: Plan,
    reads: tuple[Operand, Operand | None, Operand | None],
    running: tuple[Operand | None, Operand | None],
    training: bool,
    rule: tuple[Scalar, Scalar],
) -> list[Operand]:
    """Return y and the statistics to save, empty unless training; rule is momentum and eps."""
    x, weight, bias = reads
    require_single(x, "batch normalisation")
    momentum, eps = rule
    out = plan.result(x.shape, x.dtype, dense_strides(x.shape, x.strides))
    kind = saved_dtype(x, weight, bias, *running)
    if not training:
        used = _stored(plan, *running, eps)
        if out.numel:
            _apply(plan, out, reads, used)
        return [out, *(plan.result((0,), kind) for _ in range(2))]
    saved = [plan.result((x.shape[1],), kind) for _ in range(2)]
    own = _forward(plan, out, reads, eps)
    count = x.numel // max(x.shape[1], 1)
    for target, source in zip(saved, (own.mean, own.rstd), strict=True):
        copy_elements(plan, target, source)
    word = WordSource(momentum, "f")
    if running[0] is not None:
        reads_ = [running[0], own.mean]
        map_elements(plan, batch_norm.running["ffF"], running[0], reads_, [word])
    if running[1] is not None and own.squares is not None:
        words = [word, count_word(count - 1, "f")]
        reads_ = [running[1], own.squares]
        map_elements(plan, batch_norm.running_variance["ffFF"], running[1], reads_, words)
    return [out, *saved]


def _forward(plan: Plan, out: Operand, reads: Sequence[Operand | None], eps: Scalar) -> Statistics:
    """Normalise by the input's own statistics and return these."""
    x = reads[0]
    if x is None:
        raise ValueError("there is nothing to normalise")
    channels = x.shape[1]
    mean, rstd, squares = (plan.new((channels,), Dtype.F32) for _ in range(3))
    flat, made = flattened(x), flattened(out)
    if flat is not None and made is not None:
        views = [made, mean, rstd, squares, flat, *(each for each in reads[1:] if each)]
        plan.call(FORWARD, views, (_flags(reads),), [WordSource(eps, "f")])
        return Statistics(mean, rstd, squares)
    dims = [at for at in range(x.rank) if at != 1]
    count = count_word(numel([x.shape[each] for each in dims]), "f")
    finish = sums.divided["fF"]
    reduce(plan, sums.sum_["ff"], [x], dims, out=mean, finish=finish, finish_words=[count])
    term = sums.sum_of_squared_differences["fff"]
    reduce(plan, term, [x, along_channels(mean, x)], dims, out=squares)
    words = [count, WordSource(eps, "f")]
    map_elements(plan, normalisation.root_of_variance["fFF"], rstd, [squares], words)
    used = Statistics(mean, rstd, squares)
    _apply(plan, out, reads, used)
    return used


def _stored(
    plan: Plan, running_mean: Operand | None, running_var: Operand | None, eps: Scalar
) -> Statistics:
    """Return what the running statistics amount to; nothing is computed if there are none."""
    if running_mean is None or running_var is None:
        nothing = plan.new((0,), Dtype.F32)
        return Statistics(nothing, nothing)
    rstd = plan.new(running_var.shape, Dtype.F32)
    definition = batch_norm.root_of_stored_variance["fF"]
    map_elements(plan, definition, rstd, [running_var], [WordSource(eps, "f")])
    return Statistics(running_mean, rstd)


def _apply(plan: Plan, out: Operand, reads: Sequence[Operand | None], used: Statistics) -> None:
    """Normalise by given statistics."""
    x, weight, bias = reads
    if x is None:
        raise ValueError("there is nothing to normalise")
    flat, made = flattened(x), flattened(out)
    if flat is not None and made is not None:
        given = [each for each in (weight, bias) if each]
        plan.call(APPLY, [made, flat, used.mean, used.rstd, *given], (_flags(reads),))
        return
    found = [x, along_channels(used.mean, x), along_channels(_scale(plan, used, weight), x)]
    if bias is None:
        map_elements(plan, batch_norm.scaled_difference["fff"], out, found)
        return
    map_elements(plan, batch_norm.affine_difference["ffff"], out, [*found, along_channels(bias, x)])


def _gradients(
    plan: Plan,
    reads: tuple[Operand, Operand, Operand | None],
    used: Statistics,
    train: bool,
    mask: Sequence[bool],
) -> list[Operand | None]:
    dy, x, weight = reads
    kind = saved_dtype(x, weight)
    dx = plan.result(x.shape, x.dtype, dense_strides(x.shape, x.strides)) if mask[0] else None
    outs = [plan.result((x.shape[1],), kind) if each else None for each in mask[1:]]
    of_dy, product = (plan.new((x.shape[1],), Dtype.F32) for _ in range(2))
    views = [flattened(each) for each in (dx, dy, x) if each is not None]
    flags = WEIGHT * (weight is not None) + D_INPUT * mask[0] + OWN_MEANS * train
    if all(each is not None for each in views):
        found = [of_dy, product, *(each for each in views if each), used.mean, used.rstd]
        found += [weight] if weight is not None else []
        plan.call(BACKWARD[mask[0]], found, (flags,))
    else:
        _gradients_by_stages(plan, dx, reads, used, (of_dy, product), train)
    for target, source in zip(outs, (product, of_dy), strict=True):
        if target is not None:
            copy_elements(plan, target, source)
    return [dx, *outs]


def _gradients_by_stages(
    plan: Plan,
    dx: Operand | None,
    reads: tuple[Operand, Operand, Operand | None],
    used: Statistics,
    totals: tuple[Operand, Operand],
    train: bool,
) -> None:
    dy, x, weight = reads
    of_dy, product = totals
    dims = [at for at in range(x.rank) if at != 1]
    count = count_word(numel([x.shape[each] for each in dims]), "f")
    reduce(plan, sums.sum_["ff"], [dy], dims, out=of_dy)
    term = sums.sum_of_products_with_difference["ffff"]
    dot = reduce(plan, term, [x, along_channels(used.mean, x), dy], dims)
    map_elements(plan, arithmetic.mul["ff"], product, [dot, used.rstd])
    if dx is None:
        return
    scale = along_channels(_scale(plan, used, weight), x)
    if not train:
        map_rows(plan, arithmetic.mul["ff"], dx, [dy, scale])
        return
    means = [plan.new(of_dy.shape, Dtype.F32) for _ in range(2)]
    map_elements(plan, sums.divided["fF"], means[0], [of_dy], [count])
    map_elements(plan, batch_norm.mean_product["ffF"], means[1], [product, used.rstd], [count])
    found = [dy, x, along_channels(used.mean, x), scale]
    found += [along_channels(each, x) for each in means]
    map_rows(plan, batch_norm.gradient["ffffff"], dx, found)


def map_rows(plan: Plan, definition: Definition, out: Operand, reads: Sequence[Operand]) -> None:
    """Have a program run over every element, row by row where the channels lie side by side."""
    views = collapse([out, *(each.expand(out.shape) for each in reads)])
    plain = all(each.dtype is Dtype.F32 and each.strides[-1:] == (1,) for each in views)
    if not plain or out.rank < 2 or len(views[0].shape) != 2 or views[0].shape[1] < INNER_LEAST:
        map_elements(plan, definition, out, reads)
        return
    kernel = Kernel("repops_map_rows", 1, stages_of(definition))
    plan.call(kernel, views, (1,), (), (definition,))


def _scale(plan: Plan, used: Statistics, weight: Operand | None) -> Operand:
    if weight is None:
        return used.rstd
    scale = plan.new(used.rstd.shape, Dtype.F32)
    map_elements(plan, arithmetic.mul["ff"], scale, [used.rstd, weight])
    return scale


def _flags(reads: Sequence[Operand | None]) -> int:
    return WEIGHT * (reads[1] is not None) + BIAS * (reads[2] is not None)


def flattened(x: Operand) -> Operand | None:
    """Return the view [N, C, I] if elements of a channel lie side by side in rows of I."""
    inner = numel(x.shape[2:])
    tail = Operand(x.slot, x.dtype, x.shape[2:], x.strides[2:], x.offset)
    if inner < INNER_LEAST or not tail.is_contiguous:
        return None
    shape, strides = (*x.shape[:2], inner), (*x.strides[:2], 1)
    return Operand(x.slot, x.dtype, shape, strides, x.offset)


def along_channels(operand: Operand, x: Operand) -> Operand:
    """Return a view [C] as one that broadcasts to `x`."""
    for _ in range(x.rank - 2):
        operand = operand.unsqueeze(-1)
    return operand
