"""The gamma function's logarithm and its derivative, of binary32 numbers, computed in binary64."""

from __future__ import annotations

import math

from gensyn_lightning.repops.programs import wide
from gensyn_lightning.repops.programs.power import is_whole
from gensyn_lightning.repops.word import (
    Word,
    absolute,
    equal,
    program,
    to_double,
    to_float,
    where,
)

SHIFT = 8  # arguments are raised by this before the asymptotic series
_STIRLING = (1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)
_DIGAMMA = (1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12)
HALF_LOG_TWO_PI = 0.9189385332046727


@program("f")
def lgamma(x: Word) -> Word:
    """Return log |gamma(x)|.

    At most 1.3 units off above -1/2; below, where it crosses 0 between poles, off by 1e-7 there.
    """
    exact = to_double(x)
    reflected = x < 0.5
    from_half = where(reflected, 1.0 - exact, exact)
    small = from_half < float(SHIFT)
    raised = where(small, from_half + float(SHIFT), from_half)
    inverse = 1.0 / raised
    series = wide.horner(inverse * inverse, _STIRLING) * inverse
    above = (raised - 0.5) * wide.log(raised) - raised + HALF_LOG_TWO_PI + series
    sine, _, _ = wide.sin_cos_of_pi(where(absolute(x) < 2.0**24, exact, 0.0))
    ratio = where(small, _raising(from_half), 1.0) / where(reflected, absolute(sine), 1.0)
    rest = wide.log(ratio)
    value = to_float(where(reflected, rest + math.log(math.pi) - above, above - rest))
    value = where(equal(x, 1.0) | equal(x, 2.0), 0.0, value)
    pole = (x <= 0.0) & is_whole(x)
    return where(pole | equal(absolute(x), math.inf), math.inf, value)


def _raising(x: Word) -> Word:
    """Return x (x + 1) ... (x + 7)."""
    ends = x * (x + 7.0)
    return ends * (ends + 6.0) * ((ends + 10.0) * (ends + 12.0))


@program("f")
def digamma(x: Word) -> Word:
    """Return the derivative of log gamma(x): off by at most 1 unit or, near its zeros, 1e-7."""
    exact = to_double(x)
    reflected = x < 0.5
    raised = where(reflected, 1.0 - exact, exact)
    above = _digamma_from_half(raised)
    sine, cosine, _ = wide.sin_cos_of_pi(where(absolute(x) < 2.0**24, exact, 0.0))
    value = to_float(where(reflected, above - math.pi * cosine / sine, above))
    pole = where(equal(x, 0.0), -(1.0 / x), math.nan)
    return where((x <= 0.0) & is_whole(x), pole, value)


def _digamma_from_half(x: Word) -> Word:
    """Return the derivative of log gamma from 1/2 on."""
    below = 1.0 / x
    for each in range(1, SHIFT):
        below = below + 1.0 / (x + float(each))
    small = x < float(SHIFT)
    raised = where(small, x + float(SHIFT), x)
    inverse = 1.0 / raised
    square = inverse * inverse
    value = wide.log(raised) - inverse * 0.5 - square * wide.horner(square, _DIGAMMA)
    return where(small, value - below, value)
