"""Losses of classes by margins, composed of gathers, comparisons and sums."""

from __future__ import annotations

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.operators.loss import MEAN, SUM


@composed("multi_margin_loss", out="multi_margin_loss.out")
def multi_margin_loss(
    self: Tensor,
    target: Tensor,
    p: float = 1,
    margin: float = 1,
    weight: Tensor | None = None,
    reduction: int = MEAN,
) -> Tensor:
    """Return max(0, margin - x[target] + x)**p, the mean of all classes, 0 for the target's."""
    x, named = _rows(self), target.reshape(-1, 1)
    _check_margin(x, named, p, weight)
    gap = _gaps(x, named, margin)
    each = (gap * gap if p == 2 else gap) * _scale(x, named, weight)
    return _reduced(each.sum(1), reduction, self.dim() < 2).to(self.dtype)


@composed("multi_margin_loss_backward", out="multi_margin_loss_backward.grad_input")
def multi_margin_loss_backward(
    grad_output: Tensor,
    self: Tensor,
    target: Tensor,
    p: float,
    margin: float,
    weight: Tensor | None = None,
    reduction: int = MEAN,
) -> Tensor:
    """Return the gradient."""
    x, named = _rows(self), target.reshape(-1, 1)
    _check_margin(x, named, p, weight)
    gap = _gaps(x, named, margin)
    slope = 2.0 * gap if p == 2 else (gap > 0).float()
    each = slope * _scale(x, named, weight) * _spread(grad_output, reduction, x.shape[0])
    found = each.scatter(1, named, -each.sum(1, keepdim=True))
    return found.reshape(self.shape).to(self.dtype)


def _gaps(x: Tensor, named: Tensor, margin: float) -> Tensor:
    """Return by how much every class comes too near to the named one, which itself has 0."""
    gap = (margin - x.gather(1, named) + x).clamp(min=0)
    return gap.scatter(1, named, 0.0)


def _scale(x: Tensor, named: Tensor, weight: Tensor | None) -> Tensor:
    each = torch.full_like(named, 1, dtype=torch.float32) / x.shape[1]
    return each if weight is None else each * weight.float()[named]


def _check_margin(x: Tensor, named: Tensor, p: float, weight: Tensor | None) -> None:
    if p not in (1, 2):
        raise RuntimeError("only p == 1 and p == 2 supported")
    if weight is not None and weight.numel() != x.shape[1]:
        raise RuntimeError("inconsistent weight size")
    if named.shape[0] != x.shape[0]:
        raise RuntimeError("inconsistent target size")
    if bool(((named < 0) | (named >= x.shape[1])).any()):
        raise IndexError("target out of range")


@composed("multilabel_margin_loss_forward", out="multilabel_margin_loss_forward.output")
def multilabel_margin_loss_forward(
    self: Tensor, target: Tensor, reduction: int
) -> tuple[Tensor, Tensor]:
    """Return what classes not named lack in distance, by the count of classes, and the named."""
    x, named = _rows(self), _rows_of_names(self, target)
    valid, is_named = _named(x, named)
    gap = _pairs(x, named, valid, is_named).clamp(min=0)
    each = gap.sum((1, 2)) / x.shape[1]
    marks = is_named.to(self.dtype).reshape(self.shape)
    return _reduced(each, reduction, self.dim() < 2).to(self.dtype), marks


@composed("multilabel_margin_loss_backward", out="multilabel_margin_loss_backward.grad_input")
def multilabel_margin_loss_backward(
    grad_output: Tensor, self: Tensor, target: Tensor, reduction: int, is_target: Tensor
) -> Tensor:
    """Return the gradient."""
    x, named = _rows(self), _rows_of_names(self, target)
    valid, is_named = _named(x, named)
    each = (_pairs(x, named, valid, is_named) > 0).float() / x.shape[1]
    others, own = each.sum(1), each.sum(2)
    found = others.scatter_add(1, named.clamp(min=0), -own)
    found = found * _spread(grad_output, reduction, x.shape[0])
    return found.reshape(self.shape).to(self.dtype)


def _named(x: Tensor, named: Tensor) -> tuple[Tensor, Tensor]:
    """Return which places of the list of names count, and which classes are named there."""
    if bool(((named < -1) | (named >= x.shape[1])).any()):
        raise RuntimeError("argument #3 has out of range target")
    valid = (named < 0).cumsum(1) == 0
    marks = torch.zeros(x.shape, dtype=torch.int64).scatter_add(1, named.clamp(min=0), valid.long())
    return valid, marks > 0


def _pairs(x: Tensor, named: Tensor, valid: Tensor, is_named: Tensor) -> Tensor:
    """Return 1 - x[name] + x[other] for each name and each class not named, 0 for other pairs."""
    own = x.gather(1, named.clamp(min=0))
    gap = 1.0 - own[:, :, None] + x[:, None, :]
    return torch.where(valid[:, :, None] & ~is_named[:, None, :], gap, 0.0)


def _rows(x: Tensor) -> Tensor:
    return x.float().reshape(-1, x.shape[-1] if x.dim() else 1)


def _rows_of_names(x: Tensor, target: Tensor) -> Tensor:
    if target.shape != x.shape:
        raise RuntimeError(f"inconsistent target size: {tuple(target.shape)}")
    return target.reshape(-1, target.shape[-1] if target.dim() else 1)


def _reduced(each: Tensor, reduction: int, single: bool) -> Tensor:
    if reduction == MEAN:
        return each.mean()
    return each.sum() if reduction == SUM or single else each


def _spread(grad: Tensor, reduction: int, count: int) -> Tensor:
    """Return every row's share of the gradient, as a column."""
    wide = grad.float().reshape(-1, 1)
    return wide / count if reduction == MEAN else wide
