"""Log gamma and its derivative of binary64 tensors, for composed operators.

They are what is needed where a result is rounded to binary32, and a binary32 function inside would
have lost too much.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SHIFT = 10
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760)


def log_gamma(x: Tensor) -> Tensor:
    """Return log gamma of positive numbers."""
    product = torch.ones_like(x)
    for at in range(_SHIFT):
        product = product * torch.where(x < _SHIFT, x + float(at), 1.0)
    raised = torch.where(x < _SHIFT, x + float(_SHIFT), x)
    inverse = 1.0 / raised
    series = _even(_STIRLING, inverse) * inverse
    half = 0.5 * math.log(2.0 * math.pi)
    return (raised - 0.5) * raised.log() - raised + half + series - product.log()


def digamma(x: Tensor) -> Tensor:
    """Return the derivative of log gamma, of positive numbers."""
    below = torch.zeros_like(x)
    for at in range(_SHIFT):
        below = below + torch.where(x < _SHIFT, 1.0 / (x + float(at)), 0.0)
    raised = torch.where(x < _SHIFT, x + float(_SHIFT), x)
    inverse = 1.0 / raised
    return raised.log() - 0.5 * inverse - _even(_DIGAMMA, inverse) * inverse * inverse - below


def _even(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Return c0 + c1 x**2 + c2 x**4 + ..."""
    square, found = x * x, torch.zeros_like(x)
    for each in reversed(coefficients):
        found = found * square + each
    return found
