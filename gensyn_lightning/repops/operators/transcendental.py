"""The exponential, the logarithm and log gamma's kin of binary64 tensors, for composed operators.

The exponential and the logarithm are at most 3 units in the last place off, the others a few more.
They are what is needed where a result is rounded to binary32, and a binary32 function inside would
have lost too much; `exp` and `log` of binary64 tensors are these, too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MANTISSA = (1 << 52) - 1
_BIAS = 1023
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62E42FEFA3800p-1"), float.fromhex("0x1.EF35793C76730p-45")
_TERMS_OF_LOG = 12
_TERMS_OF_EXP = 14
_SHIFT = 10
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760)


def log(x: Tensor) -> Tensor:
    """Return the logarithm: of 0 minus infinity, of negative numbers NaN."""
    normal = torch.where((x > 0) & (x < math.inf), x, 1.0)
    tiny = normal < 2.0**-1022
    bits = torch.where(tiny, normal * 2.0**54, normal).view(torch.int64)
    exponent = (bits >> 52) - _BIAS - torch.where(tiny, 54, 0)
    part = ((bits & _MANTISSA) | (_BIAS << 52)).view(torch.float64)
    high = part > math.sqrt(2.0)
    part = torch.where(high, part * 0.5, part)
    exponent = torch.where(high, exponent + 1, exponent).double()
    s = (part - 1.0) / (part + 1.0)
    square = s * s
    series = torch.zeros_like(s)
    for at in range(_TERMS_OF_LOG, 0, -1):
        series = (series + 1.0 / (2 * at + 1)) * square
    found = exponent * _LN2_LOW + 2.0 * (s + s * series) + exponent * _LN2_HIGH
    edge = torch.where(x == 0, -math.inf, torch.where(x == math.inf, math.inf, math.nan))
    return torch.where((x > 0) & (x < math.inf), found, edge)


def exp(x: Tensor) -> Tensor:
    """Return e to each number."""
    inside = x.clamp(-746.0, 710.0)
    inside = torch.where(x.isnan(), 0.0, inside)
    whole = (inside * (1.0 / math.log(2.0))).round()
    rest = inside - whole * _LN2_HIGH - whole * _LN2_LOW
    found = torch.ones_like(rest)
    for at in range(_TERMS_OF_EXP, 0, -1):
        found = found * rest * (1.0 / at) + 1.0
    number = whole.long()
    found = found * _power_of_two(number >> 1) * _power_of_two(number - (number >> 1))
    return torch.where(x.isnan(), math.nan, found)


def _power_of_two(number: Tensor) -> Tensor:
    return ((number + _BIAS) << 52).view(torch.float64)


def log_gamma(x: Tensor) -> Tensor:
    """Return log gamma of positive numbers."""
    product = torch.ones_like(x)
    for at in range(_SHIFT):
        product = product * torch.where(x < _SHIFT, x + float(at), 1.0)
    raised = torch.where(x < _SHIFT, x + float(_SHIFT), x)
    inverse = 1.0 / raised
    series = _even(_STIRLING, inverse) * inverse
    half = 0.5 * math.log(2.0 * math.pi)
    return (raised - 0.5) * log(raised) - raised + half + series - log(product)


def digamma(x: Tensor) -> Tensor:
    """Return the derivative of log gamma, of positive numbers."""
    below = torch.zeros_like(x)
    for at in range(_SHIFT):
        below = below + torch.where(x < _SHIFT, 1.0 / (x + float(at)), 0.0)
    raised = torch.where(x < _SHIFT, x + float(_SHIFT), x)
    inverse = 1.0 / raised
    return log(raised) - 0.5 * inverse - _even(_DIGAMMA, inverse) * inverse * inverse - below


def _even(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Return c0 + c1 x**2 + c2 x**4 + ..."""
    square, found = x * x, torch.zeros_like(x)
    for each in reversed(coefficients):
        found = found * square + each
    return found
