"""Losses that compare element by element: as they are, summed, or their mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed, covers
from gensyn_lightning.repops.operators.pointwise import (
    Parameter,
    Programs,
    apply,
    elementwise,
)
from gensyn_lightning.repops.operators.promotion import common_dtype
from gensyn_lightning.repops.operators.reduction import mean_all, sum_all
from gensyn_lightning.repops.plan import Exact, Operand, Plan, Scalar, WordSource, broadcast, numel
from gensyn_lightning.repops.programs import pointwise_loss
from gensyn_lightning.repops.word import double_bits, float_bits

NONE, MEAN, SUM = range(3)


@covers("mse_loss", out="mse_loss.out")
def mse_loss(plan: Plan, self: Operand, target: Operand, reduction: int) -> None:
    """Return (self - target)**2."""
    _reduced(plan, pointwise_loss.squared_error, [self, target], reduction)


@covers("smooth_l1_loss", out="smooth_l1_loss.out")
def smooth_l1_loss(
    plan: Plan, self: Operand, target: Operand, reduction: int, beta: Scalar
) -> None:
    """Return |self - target|, rounded off within beta."""
    _reduced(plan, pointwise_loss.smooth_error, [self, target], reduction, [beta])


@covers("huber_loss", out="huber_loss.out")
def huber_loss(plan: Plan, self: Operand, target: Operand, reduction: int, delta: Scalar) -> None:
    """Return half the square of self - target, straight on beyond delta."""
    _reduced(plan, pointwise_loss.huber_error, [self, target], reduction, [delta])


@composed("kl_div")
def kl_div(
    self: Tensor, target: Tensor, reduction: int = MEAN, *, log_target: bool = False
) -> Tensor:
    """Return target (log target - self), of a target or its logarithm.

    A target's gradient is a sum in the order in which its uses were recorded, and torch's own C++
    leaves to a compiler which of two operands comes first.
    """
    if log_target:
        difference = target - self
        each = target.exp() * difference
    else:
        product = target * self
        each = torch.xlogy(target, target) - product
    if reduction == NONE:
        return each
    return each.mean() if reduction == MEAN else each.sum()


def _shares(values: list[Any]) -> list[Any]:
    """Return the arguments; raise what torch raises unless inputs and targets are in [0, 1].

    The input is passed on as another view, so that every call comes here, and none is left to the
    shim, which knows plans and no values.
    """
    for name, each in zip(("input", "target"), values, strict=False):
        if each.is_floating_point() and each.numel():
            low, high = torch.aminmax(each)
            if not (low >= 0 and high <= 1):
                raise RuntimeError(f"all elements of {name} should be between 0 and 1")
    return [values[0].detach(), *values[1:]]


@covers("binary_cross_entropy", out="binary_cross_entropy.out", prepare=_shares)
def binary_cross_entropy(
    plan: Plan, self: Operand, target: Operand, weight: Operand | None, reduction: int
) -> None:
    """Return -(target log(self) + (1 - target) log(1 - self))."""
    if weight is None:
        _reduced(plan, pointwise_loss.binary_entropy, [self, target], reduction)
    else:
        program = pointwise_loss.binary_entropy_weighted
        _reduced(plan, program, [self, target, weight], reduction)


@covers("mse_loss_backward", out="mse_loss_backward.grad_input", elementwise=True)
def mse_loss_backward(
    plan: Plan, gradient: Operand, self: Operand, target: Operand, reduction: int
) -> None:
    """Return the gradient through mse_loss."""
    values = [gradient, self, target]
    scale = _scale(2.0, reduction, *values)
    elementwise(plan, pointwise_loss.squared_error_backward, *values, parameters=[scale])


@covers("smooth_l1_loss_backward", out="smooth_l1_loss_backward.grad_input", elementwise=True)
def smooth_l1_loss_backward(
    plan: Plan,
    gradient: Operand,
    self: Operand,
    target: Operand,
    reduction: int,
    beta: Scalar,
) -> None:
    """Return the gradient through smooth_l1_loss."""
    values = [gradient, self, target]
    parameters: list[Parameter] = [beta, _scale(1.0, reduction, *values)]
    elementwise(plan, pointwise_loss.smooth_error_backward, *values, parameters=parameters)


@covers("huber_loss_backward", out="huber_loss_backward.out", elementwise=True)
def huber_loss_backward(
    plan: Plan,
    gradient: Operand,
    self: Operand,
    target: Operand,
    reduction: int,
    delta: Scalar,
) -> None:
    """Return the gradient through huber_loss."""
    values = [gradient, self, target]
    parameters: list[Parameter] = [delta, _scale(1.0, reduction, *values)]
    elementwise(plan, pointwise_loss.huber_error_backward, *values, parameters=parameters)


@covers(
    "binary_cross_entropy_backward",
    out="binary_cross_entropy_backward.grad_input",
    elementwise=True,
)
def binary_cross_entropy_backward(
    plan: Plan,
    gradient: Operand,
    self: Operand,
    target: Operand,
    weight: Operand | None,
    reduction: int,
) -> None:
    """Return the gradient through binary_cross_entropy."""
    values = [gradient, self, target]
    scale = _scale(1.0, reduction, self)
    if weight is None:
        elementwise(plan, pointwise_loss.binary_entropy_backward, *values, parameters=[scale])
    else:
        program = pointwise_loss.binary_entropy_weighted_backward
        elementwise(plan, program, *values, weight, parameters=[scale])


def _reduced(
    plan: Plan,
    program: Programs,
    values: list[Operand],
    reduction: int,
    parameters: list[Parameter] | None = None,
) -> None:
    """Make the losses of elements, and their sum or mean if that is wanted."""
    if reduction == NONE:
        elementwise(plan, program, *values, parameters=parameters or [])
        return
    dtype = common_dtype(*values)
    if not dtype.is_floating:
        raise Exact
    losses = plan.new(broadcast(*(each.shape for each in values)), dtype)
    apply(plan, program, losses, values, parameters or [])
    if reduction == MEAN:
        mean_all(plan, losses, None)
    else:
        sum_all(plan, losses, None)


def _scale(factor: float, reduction: int, *values: Operand) -> WordSource:
    """Return the factor, divided by the number of losses where their mean was taken."""
    count = numel(broadcast(*(each.shape for each in values)))
    kind = "d" if common_dtype(*values).kind == "d" else "f"
    size = factor / max(count, 1) if reduction == MEAN else factor
    return WordSource(double_bits(size) if kind == "d" else float_bits(size), kind)
