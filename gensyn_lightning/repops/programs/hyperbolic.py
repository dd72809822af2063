"""Hyperbolic functions, their inverses and the logistic function of binary32 numbers.

Errors are the worst over all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

import math

from gensyn_lightning.repops.programs import wide
from gensyn_lightning.repops.programs.exponential import exp, exp_below, polynomial
from gensyn_lightning.repops.word import (
    Word,
    absolute,
    equal,
    fma,
    program,
    sqrt,
    to_double,
    to_float,
    where,
    with_sign_of,
)

_TANH = (-0.00589954341, 0.0207999609, -0.0537850745, 0.133319393, -0.333332986)


@program("f")
def tanh(x: Word) -> Word:
    """Return the hyperbolic tangent: at most 1.41 units off."""
    size = absolute(x)
    square = x * x
    near = fma(square * polynomial(square, _TANH), size, size)
    far = 1.0 - 2.0 / (exp(size + size) + 1.0)
    return with_sign_of(where(size < 0.6, near, far), x)


@program("f")
def sigmoid(x: Word) -> Word:
    """Return 1 / (1 + e**-x): at most 2.41 units off, subnormal results too."""
    shrunk = exp_below(-absolute(x))
    value: Word = where(x < 0.0, shrunk, 1.0) / (shrunk + 1.0)
    return value


@program("f")
def sinh(x: Word) -> Word:
    """Return the hyperbolic sine: at most 0.51 units off."""
    exact = to_double(x)
    grown = wide.exp(exact)
    square = exact * exact
    near = exact * wide.horner(square, (1 / 5040, 1 / 120, 1 / 6, 1.0))
    value = to_float(where(absolute(x) < 0.125, near, (grown - 1.0 / grown) * 0.5))
    return where(equal(x, 0.0), x, value)


@program("f")
def cosh(x: Word) -> Word:
    """Return the hyperbolic cosine: at most 0.51 units off."""
    grown = wide.exp(to_double(x))
    return to_float((grown + 1.0 / grown) * 0.5)


@program("f")
def asinh(x: Word) -> Word:
    """Return the inverse of the hyperbolic sine: at most 0.51 units off."""
    size = to_double(absolute(x))
    square = size * size
    near = size * wide.horner(square, (-63 / 2816, 35 / 1152, -5 / 112, 3 / 40, -1 / 6, 1.0))
    far = wide.log(size + sqrt(square + 1.0))
    return with_sign_of(to_float(where(absolute(x) < 0.125, near, far)), x)


@program("f")
def acosh(x: Word) -> Word:
    """Return the inverse of the hyperbolic cosine: at most 0.51 units off; below 1 NaN."""
    above = to_double(x) - 1.0
    root = sqrt(above * (above + 2.0))
    return to_float(where(x < 1.0, math.nan, _log1p(above + root)))


@program("f")
def atanh(x: Word) -> Word:
    """Return the inverse of the hyperbolic tangent: at most 0.51 units off; beyond 1 NaN."""
    size = to_double(absolute(x))
    value = to_float(_log1p(2.0 * size / (1.0 - size)) * 0.5)
    return where(absolute(x) > 1.0, math.nan, with_sign_of(value, x))


def _log1p(x: Word) -> Word:
    """Return the logarithm of 1 + x for a binary64 that is not negative, small ones too."""
    moved = x + 1.0
    value = wide.log(moved) * (x / (moved - 1.0))
    return where(equal(moved, 1.0), x, where(x < wide.INFINITY, value, x))
