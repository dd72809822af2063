"""Exponentials and logarithms of binary32 numbers, by polynomials of fused multiply-adds.

Errors are the worst over all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gensyn_lightning.repops.word import (
    SIGN,
    Word,
    absolute,
    as_kind,
    bits,
    equal,
    floating,
    fma,
    maximum,
    minimum,
    program,
    to_float,
    where,
)

ROUNDING = 12582912.0  # 1.5 * 2**23: adding it leaves a whole number in the low bits
ONE = 0x3F800000
EXPONENT_BITS = 23
LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.428606765330187e-06
LOWEST, HIGHEST = -104.0, 89.0  # beyond them exp is 0 and infinity


@program("f")
def exp(x: Word) -> Word:
    """Return e**x: at most 0.87 units off, subnormal results rounded once."""
    inside = minimum(maximum(x, LOWEST), HIGHEST)
    shifted = fma(inside, LOG2_E, ROUNDING)
    whole = shifted - ROUNDING
    rest = fma(whole, -LN2_LOW, fma(whole, -LN2_HIGH, inside))
    return scaled(_exp_near_zero(rest), shifted)


@program("f")
def exp_below(x: Word) -> Word:
    """Return e**x for x not above 0, with the very bits of `exp` and fewer instructions.

    The scale is one factor, kept from underflowing until the last product, which rounds.
    """
    inside = maximum(x, LOWEST)
    shifted = fma(inside, LOG2_E, ROUNDING + LIFT + BIAS)
    whole = shifted - (ROUNDING + LIFT + BIAS)
    rest = fma(whole, -LN2_LOW, fma(whole, -LN2_HIGH, inside))
    return dropped(_exp_near_zero(rest), shifted)


LIFT, BIAS = 64.0, 127.0


def dropped(value: Word, shifted: Word) -> Word:
    """Return `value * 2**n`, rounded once, where `shifted` is n + ROUNDING + LIFT + BIAS.

    n is from -150 to 0.
    """
    scale: float = 2.0**-LIFT
    return value * as_kind(bits(shifted) << EXPONENT_BITS, "f") * scale


def _exp_near_zero(x: Word) -> Word:
    """Return e**x for |x| up to ln(2) / 2."""
    return polynomial(x, EXP_NEAR_ZERO)


EXP_NEAR_ZERO = (
    1.37805939e-3,
    8.37312452e-3,
    4.16695364e-2,
    1.66664720e-1,
    4.99999851e-1,
    1.0,
    1.0,
)


def scaled(value: Word, shifted: Word) -> Word:
    """Return `value * 2**n`, rounded once, where `shifted` is `ROUNDING + n` and |n| < 252.

    In two factors of about equal size, so that neither overflows nor rounds before the last.
    """
    n = bits(shifted)
    half = n >> 1
    return value * power_of_two(half) * power_of_two(n - half)


def power_of_two(n: Word) -> Word:
    """Return 2**n; bits of `n` from the ninth on do not count."""
    return as_kind((n << EXPONENT_BITS) + ONE, "f")


@program("f")
def exp2(x: Word) -> Word:
    """Return 2**x: at most 0.88 units off; of whole numbers exactly."""
    inside = minimum(maximum(x, -151.0), 129.0)
    shifted = inside + ROUNDING
    rest = inside - (shifted - ROUNDING)
    value = polynomial(
        rest,
        (0.000154617999, 0.00133875629, 0.00961806532, 0.0555036701, 0.240226507, 0.693147182, 1.0),
    )
    return scaled(value, shifted)


@program("f")
def expm1(x: Word) -> Word:
    """Return e**x - 1: at most 1.44 units off."""
    inside = minimum(maximum(x, -30.0), 89.0)
    shifted = fma(inside, LOG2_E, ROUNDING)
    whole = shifted - ROUNDING
    rest = fma(whole, -LN2_LOW, fma(whole, -LN2_HIGH, inside))
    tail = polynomial(
        rest, (0.000197624526, 0.00139323215, 0.00833354518, 0.0416664928, 0.166666657, 0.5)
    )
    near = fma(rest * rest, tail, rest)
    half = power_of_two(bits(shifted) - 1)
    value = fma(half, near, half - 0.5)
    return where(equal(whole, 0.0), where(equal(x, 0.0), x, near), value + value)


def polynomial(x: Word, coefficients: Sequence[float]) -> Word:
    """Return the polynomial in `x` by Horner's rule, highest power first."""
    value = floating(coefficients[0])
    for each in coefficients[1:]:
        value = fma(value, x, each)
    return value


@program("f")
def log(x: Word) -> Word:
    """Return the natural logarithm: at most 0.86 units off; of a negative number NaN."""
    exponent, fraction = parts(x)
    return outside_of_log(x, fma(exponent, LN2, log_near_one(fraction)))


TWO_THIRDS = 0x3F2AAAAB
SMALLEST_NORMAL = 2.0**-126


def parts(x: Word) -> tuple[Word, Word]:
    """Return e and f with x = 2**e * (1 + f) and f in [-1/3, 1/3), for finite x above 0."""
    small = x < SMALLEST_NORMAL
    raw = bits(where(small, x * 2.0**23, x)) & 0x7FFFFFFF
    moved = raw + (ONE - TWO_THIRDS)
    exponent = to_float(moved >> EXPONENT_BITS) - where(small, floating(150.0), 127.0)
    reduced = (moved & 0x7FFFFF) + TWO_THIRDS
    return exponent, as_kind(reduced, "f") - 1.0


def log_near_one(f: Word) -> Word:
    """Return the logarithm of 1 + f for f in [-1/3, 1/3)."""
    square = f * f
    even, odd = floating(-0.130310059), floating(0.140869141)
    for each in (-0.121484190, -0.166846052, -0.249996200):
        even = fma(even, square, each)
    for each in (0.139814854, 0.200120345):
        odd = fma(odd, square, each)
    value = fma(fma(fma(odd, f, even), f, 0.333331972), f, -0.5)
    return fma(value, square, f)


def outside_of_log(x: Word, value: Word) -> Word:
    """Return a logarithm's `value`; at 0 and below, infinity and NaN what it is there."""
    at_zero = where(equal(x, 0.0), floating(-math.inf), math.nan)
    return where(x < math.inf, where(x > 0.0, value, at_zero), x)


@program("f")
def log2(x: Word) -> Word:
    """Return the logarithm to base 2: at most 1.4 units off; of powers of 2 exactly."""
    exponent, fraction = parts(x)
    tail = polynomial(fraction, _LOG2)
    low = fma(fraction * fraction, tail, fraction * LOG2_E_LOW)
    return outside_of_log(x, exponent + fma(fraction, LOG2_E, low))


@program("f")
def log10(x: Word) -> Word:
    """Return the logarithm to base 10: at most 1.6 units off."""
    exponent, fraction = parts(x)
    tail = polynomial(fraction, _LOG10)
    low = fma(fraction * fraction, tail, fraction * LOG10_E_LOW)
    near = fma(fraction, LOG10_E, low)
    return outside_of_log(x, fma(exponent, LOG10_2, fma(exponent, LOG10_2_LOW, near)))


@program("f")
def log1p(x: Word) -> Word:
    """Return the logarithm of 1 + x: at most 1.27 units off; below -1 NaN."""
    value = where(x > -1.0, log1p_inside(x), where(equal(x, -1.0), floating(-math.inf), math.nan))
    return where(
        absolute(x) < math.inf, where(equal(x, 0.0), x, value), where(x < 0.0, math.nan, x)
    )


def log1p_inside(x: Word) -> Word:
    """Return the logarithm of 1 + x for finite x above -1."""
    moved = (bits(x + 1.0) & 0x7FFFFFFF) - THREE_QUARTERS
    power = moved & EXPONENT
    shrunk = as_kind(bits(x) - power, "f")
    unit = as_kind(FOUR - power, "f")
    fraction = shrunk + fma(unit, 0.25, -1.0)
    value = fma(polynomial(fraction, _LOG1P), fraction * fraction, fraction)
    exponent = to_float(((power + SIGN) & 0xFFFFFFFF) >> EXPONENT_BITS) - 256.0
    return fma(exponent, LN2, value)


EXPONENT, FOUR, THREE_QUARTERS = 0xFF800000, 0x40800000, 0x3F400000
LOG2_E_LOW = LOG2_E - 1.44269502162933349609375
LOG10_E = 0.43429448190325182765
LOG10_E_LOW = LOG10_E - 0.4342944920063018798828125
LOG10_2 = 0.30102999566398119521
LOG10_2_LOW = LOG10_2 - 0.301030009984970092773
_LOG2 = (
    0.173114464,
    -0.193774566,
    0.155225098,
    -0.173865393,
    0.206360295,
    -0.240807921,
    0.288533539,
    -0.360665739,
    0.48089838,
    -0.72134757,
)
_LOG10 = (
    0.0524677746,
    -0.0562908873,
    0.0466180146,
    -0.0528297909,
    0.0621315129,
    -0.0724510252,
    0.0868568644,
    -0.108572386,
    0.144764841,
    -0.217147246,
)
_LOG1P = (
    0.037626572,
    -0.0910910517,
    0.116977543,
    -0.127282068,
    0.142767027,
    -0.166553184,
    0.199995816,
    -0.250001639,
    0.333333403,
    -0.5,
)
