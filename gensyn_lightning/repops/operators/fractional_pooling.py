"""Pooling whose windows begin at random places.

Of the elements of a window that are equal the first counts, as it does if it is no number. An
element's gradient is that of the outputs that were taken from it, added up in their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed

Sizes = Sequence[int]


@composed("fractional_max_pool2d", out="fractional_max_pool2d.output")
def fractional_max_pool2d(
    self: Tensor, kernel_size: Sizes, output_size: Sizes, random_samples: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the largest element of each window and where it is; samples are for columns, rows."""
    return _largest(self, kernel_size, output_size, random_samples.flip(-1))


@composed("fractional_max_pool3d", out="fractional_max_pool3d.output")
def fractional_max_pool3d(
    self: Tensor, kernel_size: Sizes, output_size: Sizes, random_samples: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the largest element of each window and where it is."""
    return _largest(self, kernel_size, output_size, random_samples)


def _largest(self: Tensor, kernel: Sizes, outs: Sizes, samples: Tensor) -> tuple[Tensor, Tensor]:
    rank = len(kernel)
    sizes = self.shape[-rank:]
    lead = self.shape[:-rank]
    place = torch.zeros((), dtype=torch.int64)
    for at, (size, window, out) in enumerate(zip(sizes, kernel, outs, strict=True)):
        if out + window - 1 > size:
            raise RuntimeError(f"fractional_max_pool: pool size {window} too large for {size}")
        begin = _begins(samples[..., at].reshape(lead), size, window, out)
        shape = [1] * (2 * rank)
        shape[at], shape[rank + at] = out, window
        along = (begin[..., None] + torch.arange(window)).reshape(*lead, *shape)
        place = place * size + along
    place = place.flatten(-rank)
    values = self.flatten(-rank).gather(-1, place.reshape(*lead, -1)).reshape(place.shape)
    found = values.max(-1)
    return found.values, place.gather(-1, found.indices[..., None]).squeeze(-1)


def _begins(sample: Tensor, size: int, window: int, out: int) -> Tensor:
    """Return where along one dimension the windows begin; the last one ends at its end."""
    last = torch.full((*sample.shape, 1), size - window, dtype=torch.int64)
    if out == 1:
        return last
    step = torch.full((), float(size - window), dtype=sample.dtype) / (out - 1)
    numbers = torch.arange(out - 1).to(sample.dtype)
    begins = ((numbers + sample[..., None]) * step).long() - (sample * step).long()[..., None]
    return torch.cat([begins, last], -1)


@composed("fractional_max_pool2d_backward", out="fractional_max_pool2d_backward.grad_input")
def fractional_max_pool2d_backward(
    grad_output: Tensor, self: Tensor, kernel_size: Sizes, output_size: Sizes, indices: Tensor
) -> Tensor:
    """Return the gradient."""
    return _spread(grad_output, self, indices, 2)


@composed("fractional_max_pool3d_backward", out="fractional_max_pool3d_backward.grad_input")
def fractional_max_pool3d_backward(
    grad_output: Tensor, self: Tensor, kernel_size: Sizes, output_size: Sizes, indices: Tensor
) -> Tensor:
    """Return the gradient."""
    return _spread(grad_output, self, indices, 3)


def _spread(grad: Tensor, self: Tensor, indices: Tensor, rank: int) -> Tensor:
    if grad.shape != indices.shape:
        raise RuntimeError(f"gradOutput has shape {list(grad.shape)}, not {list(indices.shape)}")
    flat = torch.zeros(self.shape, dtype=grad.dtype).flatten(-rank)
    found = flat.scatter_add(-1, indices.flatten(-rank), grad.flatten(-rank))
    return found.reshape(self.shape)
