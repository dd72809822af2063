"""Exponentials, logarithms and sines in binary64, for programs whose result is rounded to binary32.

Their relative error is about 1e-13. Binary64 has no fused multiply-add: products are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

from gensyn_lightning.repops.word import (
    Word,
    as_kind,
    bits,
    double,
    equal,
    maximum,
    minimum,
    to_double,
    where,
)

ROUNDING = 1.5 * 2.0**52  # adding it leaves a whole number in the low bits
ONE = 0x3FF << 52
FRACTION_BITS = 52
LN2 = 0.6931471805599453
LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
PI = 3.141592653589793
INFINITY, NAN = float("inf"), float("nan")
_EXP = tuple(1 / factorial(each) for each in range(11, -1, -1))
_LOG = tuple(2 / each for each in range(17, 0, -2))
_SIN = tuple(
    (-1) ** each * PI ** (2 * each + 1) / factorial(2 * each + 1) for each in range(8, -1, -1)
)
_COS = tuple((-1) ** each * PI ** (2 * each) / factorial(2 * each) for each in range(8, -1, -1))
SQRT_HALF = 0x3FE6A09E667F3BCD


def horner(x: Word, coefficients: Sequence[float]) -> Word:
    """Return the polynomial in `x`, the coefficient of its highest power first."""
    value = double(coefficients[0])
    for each in coefficients[1:]:
        value = value * x + each
    return value


def whole_near(x: Word) -> tuple[Word, Word]:
    """Return the whole number nearest to |x| < 2**51, and a word whose low bits are that number."""
    shifted = x + ROUNDING
    return shifted - ROUNDING, bits(shifted)


def exp(x: Word) -> Word:
    """Return e**x; beyond 700 as at 700."""
    inside = minimum(maximum(x, -700.0), 700.0)
    whole, number = whole_near(inside * (1 / LN2))
    rest = inside - whole * LN2_HIGH - whole * LN2_LOW
    return horner(rest, _EXP) * power_of_two(number)


def power_of_two(number: Word) -> Word:
    """Return 2**n for the n in the low bits of `number`, -1022 to 1023."""
    return as_kind((number << FRACTION_BITS) + ONE, "d")


def log(x: Word) -> Word:
    """Return the natural logarithm of a number that is not negative; of 0 minus infinity."""
    raw = bits(x) + (ONE - SQRT_HALF)
    exponent = to_double(raw >> FRACTION_BITS) - 1023.0
    reduced = as_kind((raw & ((1 << FRACTION_BITS) - 1)) + SQRT_HALF, "d")
    near = (reduced - 1.0) / (reduced + 1.0)
    value = near * horner(near * near, _LOG)
    total = exponent * LN2_HIGH + (value + exponent * LN2_LOW)
    return where(x < INFINITY, where(equal(x, 0.0), double(-INFINITY), total), x)


def sin_cos_of_pi(x: Word) -> tuple[Word, Word, Word]:
    """Return sin(pi r), cos(pi r) and the bits of n, where x = n + r and |r| is at most half."""
    whole, number = whole_near(x)
    rest = x - whole
    square = rest * rest
    return rest * horner(square, _SIN), horner(square, _COS), number


def sign_of(x: Word, magnitude: Word) -> Word:
    """Return the binary64 `magnitude`, not negative, with the sign of `x`."""
    return as_kind(bits(magnitude) | (bits(x) & (1 << 63)), "d")
