"""Gradients of pooling whose windows begin at random places.

Its forward pass is among the other pools; every output names the element it was taken from.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed


@composed("fractional_max_pool2d_backward", out="fractional_max_pool2d_backward.grad_input")
def fractional_max_pool2d_backward(
    grad_output: Tensor,
    self: Tensor,
    kernel_size: Sequence[int],
    output_size: Sequence[int],
    indices: Tensor,
) -> Tensor:
    """Return the gradient: what each element's outputs have, added up in their order."""
    return _spread(grad_output, self, indices, 2)


@composed("fractional_max_pool3d_backward", out="fractional_max_pool3d_backward.grad_input")
def fractional_max_pool3d_backward(
    grad_output: Tensor,
    self: Tensor,
    kernel_size: Sequence[int],
    output_size: Sequence[int],
    indices: Tensor,
) -> Tensor:
    """Return the gradient: what each element's outputs have, added up in their order."""
    return _spread(grad_output, self, indices, 3)


def _spread(grad: Tensor, self: Tensor, indices: Tensor, dimensions: int) -> Tensor:
    if grad.shape != indices.shape:
        raise RuntimeError(f"gradOutput has shape {list(grad.shape)}, not {list(indices.shape)}")
    flat = torch.zeros(self.shape, dtype=grad.dtype).flatten(-dimensions)
    found = flat.scatter_add(-1, indices.flatten(-dimensions), grad.flatten(-dimensions))
    return found.reshape(self.shape)
