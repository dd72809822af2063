"""Sines, cosines, tangents and their inverses, for every binary32 number.

An angle is reduced by whole-number arithmetic with the bits of 2 / pi that matter for its exponent
(Payne and Hanek's way), so that large angles are as good as small ones. Errors are the worst over
all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

import math
from itertools import pairwise

from gensyn_lightning.repops.programs import wide
from gensyn_lightning.repops.programs.exponential import polynomial
from gensyn_lightning.repops.word import (
    Word,
    absolute,
    as_kind,
    bits,
    equal,
    fma,
    integer,
    program,
    sqrt,
    to_double,
    to_float,
    where,
    with_sign_of,
)

# 2 / pi without its leading 0, behind 32 bits of zeros, in words of 32 bits.
TWO_OVER_PI = (
    0,
    0xA2F9836E,
    0x4E441529,
    0xFC2757D1,
    0xF534DDC0,
    0xDB629599,
    0x3C439041,
    0xFE5163AB,
)
_SIN = (2.83751592e-06, -0.000198535112, 0.00833338033, -0.166666672)
_COS = (-2.89773226e-07, 2.48229844e-05, -0.00138889824, 0.0416666679)
QUARTER_PI = 0.78539816339744830962
TAN_EIGHTH = 0.41421356237309503


@program("f")
def sin(x: Word) -> Word:
    """Return the sine of an angle in radians: at most 1.3 units off."""
    sine, cosine, quarter = _turned(x)
    value = where(quarter & 1, cosine, sine)
    signed = as_kind(bits(value) ^ ((quarter & 2) << 30), "f")
    return where(absolute(x) < math.inf, where(equal(x, 0.0), x, signed), math.nan)


@program("f")
def cos(x: Word) -> Word:
    """Return the cosine of an angle in radians: at most 1.3 units off."""
    sine, cosine, quarter = _turned(x)
    value = where(quarter & 1, sine, cosine)
    signed = as_kind(bits(value) ^ (((quarter + 1) & 2) << 30), "f")
    return where(absolute(x) < math.inf, signed, math.nan)


@program("f")
def tan(x: Word) -> Word:
    """Return the tangent of an angle in radians: at most 3 units off."""
    sine, cosine, quarter = _turned(x)
    value = where(quarter & 1, -cosine, sine) / where(quarter & 1, sine, cosine)
    return where(absolute(x) < math.inf, where(equal(x, 0.0), x, value), math.nan)


def _turned(x: Word) -> tuple[Word, Word, Word]:
    """Return sin(r), cos(r) and q, where x = q pi/2 + r with |r| up to pi/4, q modulo 4."""
    high, low, quarter = _reduced(x)
    square = high * high
    sine = high + fma(high * square, polynomial(square, _SIN), low)
    half = square * -0.5
    cosine = 1.0 + fma(square * square, polynomial(square, _COS), fma(-high, low, half))
    return sine, cosine, quarter


def _reduced(x: Word) -> tuple[Word, Word, Word]:
    """Return r as the sum of two binary32 numbers, and q."""
    raw = bits(x)
    exponent = (raw >> 23) & 0xFF
    significand = (raw & 0x7FFFFF) | 0x800000
    large = where(exponent < _FIRST_EXPONENT, integer(_FIRST_EXPONENT), exponent)
    start = (large + (256 - _FIRST_EXPONENT)) & 0xFF
    shift = start & 31
    upper, lower = _window(start >> 5)
    high = (upper << shift) | ((lower >> 32) >> (32 - shift))
    low = (lower << shift) >> 32
    product = significand * high + ((significand * low) >> 32)
    product = where(raw & 0x80000000, -product, product)
    quarter = (product + (1 << 61)) >> 62
    rest = to_double(product << 2) * (2.0**-64 * math.pi / 2)
    small = absolute(x) < QUARTER_PI
    nearest = to_float(rest)
    left_over = to_float(rest - to_double(nearest))
    return (
        where(small, x, nearest),
        where(small, 0.0, left_over),
        where(small, integer(0), quarter),
    )


_FIRST_EXPONENT = 120  # where the window begins with the 32 zeros


def _window(number: Word) -> tuple[Word, Word]:
    """Return bits of 2 / pi: 64 from word `number` on, and the 64 after those."""
    pairs = [(high << 32) | low for high, low in pairwise(TWO_OVER_PI)]
    upper, lower = integer(pairs[0]), integer(pairs[2])
    for at in range(1, len(pairs) - 2):
        chosen = equal(number, at)
        upper = where(chosen, pairs[at], upper)
        lower = where(chosen, pairs[at + 2], lower)
    return upper, lower


@program("f")
def atan(x: Word) -> Word:
    """Return the angle whose tangent is x: at most 0.51 units off."""
    return with_sign_of(to_float(_atan(to_double(absolute(x)))), x)


@program("ff")
def atan2(y: Word, x: Word) -> Word:
    """Return the angle of the point (x, y): at most 0.51 units off."""
    up, right = to_double(absolute(y)), to_double(absolute(x))
    both = equal(up, right) & (equal(up, 0.0) | equal(up, math.inf))
    ratio = where(both, where(equal(up, 0.0), up, 1.0), up / right)
    angle = _atan(ratio)
    turned = where(bits(x) & 0x80000000, math.pi - angle, angle)
    known = equal(x, x) & equal(y, y)
    return where(known, with_sign_of(to_float(turned), y), math.nan)


def _atan(size: Word) -> Word:
    """Return the arc tangent of a binary64 that is not negative."""
    above = size > 1.0
    inverted = where(above, 1.0 / size, size)
    middle = inverted > TAN_EIGHTH
    small = where(middle, (inverted - 1.0) / (inverted + 1.0), inverted)
    angle = small * wide.horner(small * small, _ATAN)
    angle = where(middle, angle + math.pi / 4, angle)
    return where(above, math.pi / 2 - angle, angle)


_ATAN = (
    -0.024313900267699556,
    0.04946730138574601,
    -0.064807043075754842,
    0.076691288074063696,
    -0.090890841467712619,
    0.11111022600749902,
    -0.14285711812810967,
    0.19999999965570273,
    -0.33333333333166532,
    0.999999999999995,
)


@program("f")
def asin(x: Word) -> Word:
    """Return the angle whose sine is x: at most 0.51 units off; beyond 1 NaN."""
    size = to_double(absolute(x))
    outer, near = size > 0.5, _half_of_asin(size)
    value = to_float(where(outer, math.pi / 2 - near - near, near))
    return where(absolute(x) > 1.0, math.nan, with_sign_of(value, x))


@program("f")
def acos(x: Word) -> Word:
    """Return the angle whose cosine is x: at most 0.51 units off; beyond 1 NaN."""
    size = to_double(absolute(x))
    outer, near = size > 0.5, _half_of_asin(size)
    right = where(outer, near + near, math.pi / 2 - near)
    left = where(outer, math.pi - (near + near), math.pi / 2 + near)
    return where(absolute(x) > 1.0, math.nan, to_float(where(x < 0.0, left, right)))


def _half_of_asin(size: Word) -> Word:
    """Return the arc sine of `size` up to 1/2, above half the arc cosine."""
    outer = size > 0.5
    square = where(outer, (1.0 - size) * 0.5, size * size)
    root = where(outer, sqrt(square), size)
    return root * wide.horner(square, _ASIN)


_ASIN = (
    0.030999325520114251,
    -0.0067177269224107201,
    0.017629488861155552,
    0.012631258914623337,
    0.017536735320766123,
    0.022356062433373507,
    0.030382815592065956,
    0.044642829780612799,
    0.075000000439248052,
    0.16666666666392443,
    1.0000000000000018,
)


@program("f")
def sinc(x: Word) -> Word:
    """Return sin(pi x) / (pi x): at most 0.51 units off of a normal number; of 0 it is 1."""
    exact = to_double(x)
    sine, _, number = wide.sin_cos_of_pi(where(absolute(x) < 2.0**24, exact, 0.0))
    signed = where(number & 1, -sine, sine)
    value = to_float(signed / (exact * math.pi))
    finite = where(absolute(x) < math.inf, value, math.nan)
    return where(equal(x, 0.0), 1.0, finite)
