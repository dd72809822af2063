"""Whole parts, remainders and signs of binary32 and binary64 numbers; every result is exact.

`remainder` and `fmod` of binary32 numbers are exact up to a quotient of 2**53 in size, as far as
binary64 holds the quotient; beyond they are 0 with the right sign.
"""

from __future__ import annotations

import math

from gensyn_lightning.repops.word import (
    Word,
    absolute,
    as_kind,
    bits,
    equal,
    family,
    is_nan,
    where,
)

_BIG = {"f": 2.0**23, "d": 2.0**52}
_SIGN = {"f": 1 << 31, "d": 1 << 63}


def signed_like(magnitude: Word, sign: Word) -> Word:
    """Return the absolute value of one number with the sign of another."""
    mask = _SIGN[sign.kind]
    return as_kind(bits(absolute(magnitude)) | (bits(sign) & mask), sign.kind)


@family("f", "d")
def round_even(x: Word) -> Word:
    """Return the nearest whole number, of two the even one."""
    big, size = _BIG[x.kind], absolute(x)
    return where(size < big, signed_like((size + big) - big, x), x)


@family("f", "d")
def trunc(x: Word) -> Word:
    """Return the whole part."""
    big, size = _BIG[x.kind], absolute(x)
    near = (size + big) - big
    return where(size < big, signed_like(where(size < near, near - 1.0, near), x), x)


@family("f", "d")
def floor(x: Word) -> Word:
    """Return the largest whole number not above."""
    near = _near(x)
    return where(absolute(x) < _BIG[x.kind], where(x < near, near - 1.0, near), x)


@family("f", "d")
def ceil(x: Word) -> Word:
    """Return the smallest whole number not below."""
    near = _near(x)
    raised = signed_like(where(near < x, near + 1.0, near), x)
    return where(absolute(x) < _BIG[x.kind], raised, x)


@family("f", "d")
def frac(x: Word) -> Word:
    """Return what `trunc` leaves."""
    return x - _trunc(x)


def _near(x: Word) -> Word:
    big = _BIG[x.kind]
    return signed_like((absolute(x) + big) - big, x)


def _trunc(x: Word) -> Word:
    size, near = absolute(x), absolute(_near(x))
    return where(size < _BIG[x.kind], signed_like(where(size < near, near - 1.0, near), x), x)


@family("f", "d")
def sign(x: Word) -> Word:
    """Return -1, 0 or 1 by the sign; of NaN it is 0."""
    one = where(x < 0.0, -1.0, as_kind(bits(x) & 0, x.kind))
    return where(x > 0.0, 1.0, one)


@family("ff", "fF", "dd", "dD")
def copysign(x: Word, y: Word) -> Word:
    """Return the size of x with the sign of y."""
    return signed_like(x, y)


@family("f", "d")
def absolute_value(x: Word) -> Word:
    """Return the number without its sign."""
    return absolute(x)


@family("f", "d")
def negative(x: Word) -> Word:
    """Return the number with the other sign."""
    return -x


@family("fFFF", "dDDD")
def nan_to_num(x: Word, nan: Word, above: Word, below: Word) -> Word:
    """Return x with other numbers for NaN and the two infinities."""
    finite = where(equal(x, math.inf), above, where(equal(x, -math.inf), below, x))
    return where(is_nan(x), nan, finite)
