"""Distances between points, and rows made no longer than they may be.

A distance is the norm of a difference, which is written out: in blocks, so that memory stays small.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.plan import broadcast

BLOCK = 1 << 22  # elements of differences at a time


def _blocks(rows: int, size: int) -> list[slice]:
    """Return which rows to take at a time if each makes `size` elements."""
    step = max(1, BLOCK // max(size, 1))
    return [slice(at, at + step) for at in range(0, rows, step)]


def _norm(difference: Tensor, p: float) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(difference, p, -1)
    return found


def _slope(difference: Tensor, distance: Tensor, p: float) -> Tensor:
    """Return the derivative of a norm by its elements: 0 where the norm is 0."""
    size = distance[..., None]
    if p == 0:
        return torch.zeros_like(difference)
    if p == 1:
        return difference.sign()
    if math.isinf(p):
        return torch.where(difference.abs() == size, difference.sign(), 0.0)
    safe = torch.where(size == 0, torch.ones_like(size), size)
    if p == 2:
        found = difference / safe
    else:
        found = difference.sign() * (difference.abs() / safe).pow(p - 1)
        found = torch.where(difference == 0, 0.0, found)
    return torch.where(size == 0, 0.0, found)


@composed("_cdist_forward", out="_cdist_forward.out")
def cdist_forward(x1: Tensor, x2: Tensor, p: float, compute_mode: int | None = None) -> Tensor:
    """Return the distance [..., P, R] of every point of x1 [..., P, M] and of x2 [..., R, M]."""
    batch = broadcast(x1.shape[:-2], x2.shape[:-2])
    others = x2.float()[..., None, :, :]
    parts = [
        _norm(x1[..., rows, :].float()[..., :, None, :] - others, p)
        for rows in _blocks(x1.shape[-2], math.prod((*batch, *x2.shape[-2:])))
    ]
    if not parts:
        return x1.new_empty(*batch, 0, x2.shape[-2])
    return torch.cat(parts, -2).to(x1.dtype)


@composed("_cdist_backward", out="_cdist_backward.out")
def cdist_backward(grad: Tensor, x1: Tensor, x2: Tensor, p: float, cdist: Tensor) -> Tensor:
    """Return the gradient of x1."""
    batch = broadcast(x1.shape[:-2], x2.shape[:-2])
    others = x2.float()[..., None, :, :]
    parts = []
    for rows in _blocks(x1.shape[-2], math.prod((*batch, *x2.shape[-2:]))):
        difference = x1[..., rows, :].float()[..., :, None, :] - others
        slope = _slope(difference, cdist[..., rows, :].float(), p)
        parts.append((slope * grad[..., rows, :].float()[..., None]).sum(-2))
    if not parts:
        return x1.new_zeros(*batch, *x1.shape[-2:])
    return torch.cat(parts, -2).to(x1.dtype)


@composed("_pdist_forward", out="_pdist_forward.out")
def pdist_forward(self: Tensor, p: float = 2) -> Tensor:
    """Return the distance of every pair of points, the first point's pairs first."""
    x = self.float()
    a, b = torch.triu_indices(x.shape[0], x.shape[0], 1)
    parts = [_norm(x[a[pairs]] - x[b[pairs]], p) for pairs in _blocks(a.shape[0], x.shape[1])]
    return torch.cat(parts).to(self.dtype) if parts else self.new_empty(0)


@composed("_pdist_backward", out="_pdist_backward.out")
def pdist_backward(grad: Tensor, self: Tensor, p: float, pdist: Tensor) -> Tensor:
    """Return the gradient of the points."""
    x = self.float()
    a, b = torch.triu_indices(x.shape[0], x.shape[0], 1)
    found = torch.zeros_like(x, memory_format=torch.contiguous_format)
    for pairs in _blocks(a.shape[0], x.shape[1]):
        difference = x[a[pairs]] - x[b[pairs]]
        each = _slope(difference, pdist[pairs].float(), p) * grad[pairs].float()[:, None]
        found.index_add_(0, torch.cat([a[pairs], b[pairs]]), torch.cat([each, -each]))
    return found.to(self.dtype)


@composed("renorm", inplace="renorm_", out="renorm.out")
def renorm(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Return self with every slice along `dim` that is longer than `maxnorm` shortened to it."""
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if self.dim() < 2:
        raise RuntimeError(
            f"renorm: input needs at least 2 dimensions, got {self.dim()} dimensions"
        )
    x = self.float()
    others = [at for at in range(x.dim()) if at != dim % x.dim()]
    size = torch.linalg.vector_norm(x, p, others, keepdim=True)
    factor = torch.where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
    return (x * factor).to(self.dtype)


@composed("linalg_cross", out="linalg_cross.out")
def linalg_cross(self: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """Return the vectors that are orthogonal to both, of three elements along `dim`."""
    if self.dim() != other.dim() or self.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {self.shape[dim]} and "
            f"{other.shape[dim]}"
        )
    shape = broadcast(self.shape, other.shape)
    a, b = self.expand(shape), other.expand(shape)
    return a.roll(-1, dim) * b.roll(1, dim) - a.roll(1, dim) * b.roll(-1, dim)
