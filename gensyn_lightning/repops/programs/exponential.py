"""Exponentials and logarithms of binary32 numbers, by polynomials in fused multiply-adds.

Errors are the worst over all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

import math

from gensyn_lightning.repops.word import (
    Word,
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


def _exp_near_zero(x: Word) -> Word:
    """Return e**x for |x| up to ln(2) / 2."""
    value = floating(1.37805939e-3)
    for each in (8.37312452e-3, 4.16695364e-2, 1.66664720e-1, 4.99999851e-1, 1.0, 1.0):
        value = fma(value, x, each)
    return value


def scaled(value: Word, shifted: Word) -> Word:
    """Return `value * 2**n`, rounded once, where `shifted` is `ROUNDING + n` and |n| < 252.

    In two factors of about equal size, so that neither overflows nor rounds before the last.
    """
    n = bits(shifted)
    half = n >> 1
    return value * _power_of_two(half) * _power_of_two(n - half)


def _power_of_two(n: Word) -> Word:
    """Return 2**n; bits of `n` from the ninth on do not count."""
    return as_kind((n << EXPONENT_BITS) + ONE, "f")


@program("f")
def log(x: Word) -> Word:
    """Return the natural logarithm: at most 0.86 units off; of a negative number NaN."""
    exponent, fraction = parts(x)
    return outside_of_log(x, fma(exponent, LN2, _log_near_one(fraction)))


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


def _log_near_one(f: Word) -> Word:
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
