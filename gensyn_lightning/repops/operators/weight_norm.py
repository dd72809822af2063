"""Weight normalisation, composed of norms, products and sums."""

from __future__ import annotations

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed


@composed("_weight_norm_interface")
def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """Return v times g / |v|, and |v|, norms taken over all dimensions but `dim`."""
    norms = torch.linalg.vector_norm(v, 2, _others(v, dim), keepdim=True)
    return v * (g / norms), norms


@composed("_weight_norm_interface_backward")
def weight_norm_backward(
    grad_w: Tensor, saved_v: Tensor, saved_g: Tensor, saved_norms: Tensor, dim: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of v and g."""
    along = (grad_w * saved_v).sum(_others(saved_v, dim), keepdim=True) / saved_norms
    grad_v = (saved_g / saved_norms) * (grad_w - saved_v * (along / saved_norms))
    return grad_v, along


def _others(v: Tensor, dim: int) -> list[int]:
    return [each for each in range(v.dim()) if each != dim % v.dim()]
