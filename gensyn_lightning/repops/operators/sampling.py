"""Draws of places by weight, composed of sums, uniform draws and searches."""

from __future__ import annotations

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed


@composed("multinomial")
def multinomial(
    self: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return `num_samples` places of each row, drawn with chances in proportion to its weights.

    With replacement a place is the first whose running sum of weights exceeds a uniform share of
    the total. Without, a row's places are those with the largest weight ÷ exponential draw, which
    has the same chances (Efraimidis and Spirakis, 2006). Raises `RuntimeError` for weights that
    are negative, not finite, or too few.
    """
    weights = self if self.dtype is torch.float64 else self.float()
    _check(weights, num_samples, replacement)
    if replacement:
        sums = weights.cumsum(-1)
        shares = torch.rand(
            (*weights.shape[:-1], num_samples), dtype=weights.dtype, generator=generator
        )
        found = torch.searchsorted(sums, shares * sums[..., -1:], right=True)
        # A share that rounds up to the whole finds no sum above it: the last place that can be.
        last = (weights > 0).long().cumsum(-1).argmax(-1, keepdim=True)
        return torch.minimum(found, last)
    waits = torch.empty(weights.shape, dtype=weights.dtype).exponential_(generator=generator)
    ranked = torch.where(weights > 0, weights / waits, torch.full_like(weights, -1.0))
    order = torch.sort(ranked, dim=-1, descending=True, stable=True).indices
    return order[..., :num_samples].contiguous()


def _check(weights: Tensor, num_samples: int, replacement: bool) -> None:
    """Raise as torch does."""
    if weights.dim() not in (1, 2) or num_samples <= 0:
        raise RuntimeError("prob_dist must be 1 or 2 dim, and n_sample > 0")
    fine = (weights >= 0) & (weights < float("inf"))
    if not bool(fine.all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    possible = (weights > 0).sum(-1)
    if not bool((possible > 0).all()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
