"""Whole parts, remainders and signs of binary32 and binary64 numbers."""

from __future__ import annotations

import math

from gensyn_lightning.repops.word import (
    Word,
    absolute,
    as_kind,
    bits,
    equal,
    family,
    floating,
    is_nan,
    program,
    to_double,
    to_float,
    where,
    with_sign_of,
)

_BIG = {"f": 2.0**23, "d": 2.0**52}  # from there on every number is whole
_SIGN = {"f": 1 << 31, "d": 1 << 63}


def signed_like(magnitude: Word, sign: Word) -> Word:
    """Return the absolute value of one number with the sign of another."""
    mask = _SIGN[sign.kind]
    return as_kind(bits(absolute(magnitude)) | (bits(sign) & mask), sign.kind)


@family("f", "d")
def round_even(x: Word) -> Word:
    """Return the nearest whole number, of two the even one."""
    return _round_even(x)


@family("f", "d")
def trunc(x: Word) -> Word:
    """Return the whole part."""
    return _trunc(x)


@family("f", "d")
def floor(x: Word) -> Word:
    """Return the largest whole number not above."""
    return _floor(x)


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


@family("fFFF", "dDDD")
def nan_to_num(x: Word, nan: Word, above: Word, below: Word) -> Word:
    """Return x with other numbers for NaN and the two infinities."""
    finite = where(equal(x, math.inf), above, where(equal(x, -math.inf), below, x))
    return where(is_nan(x), nan, finite)


@family("ff", "fF", "dd", "dD")
def div_trunc(a: Word, b: Word) -> Word:
    """Return a / b, rounded once, without its fraction."""
    return _trunc(a / b)


@program("ff")
def fmod(a: Word, b: Word) -> Word:
    """Return a - n b for the whole n nearest to a / b towards 0, exactly; it has the sign of a."""
    return _remainder_of_truncation(a, b)


@program("ff")
def remainder(a: Word, b: Word) -> Word:
    """Return a - n b for the whole n at or below a / b, rounded once; it has the sign of b."""
    left = _remainder_of_truncation(a, b)
    return where(_turns(left, b), left + b, left)


@program("ff")
def floor_divide(a: Word, b: Word) -> Word:
    """Return the largest whole number not above a / b, as Python's `//` finds it."""
    left = _remainder_of_truncation(a, b)
    near = (a - left) / b
    near = where(_turns(left, b), near - 1.0, near)
    whole = _floor(near)
    whole = where(near - whole > 0.5, whole + 1.0, whole)
    quotient = a / b
    whole = where(equal(near, 0.0), signed_like(floating(0.0), quotient), whole)
    return where(equal(b, 0.0), quotient, whole)


def _turns(left: Word, b: Word) -> Word:
    """Return 1 where a remainder is not 0 and has another sign than the divisor."""
    differs = (bits(left) ^ bits(b)) >> 31
    return differs & (equal(left, 0.0) ^ 1)


def _remainder_of_truncation(a: Word, b: Word) -> Word:
    """Subtract multiples of b times powers of 2**28 in turn; every step is exact in binary64."""
    size, step = to_double(absolute(a)), to_double(absolute(b))
    for power in range(9, -1, -1):
        unit = step * 2.0 ** (28 * power)
        count = (size / unit + _MAGIC) - _MAGIC
        left = size - count * unit
        size = where(left < 0.0, left + unit, left)
    value = with_sign_of(to_float(size), a)
    fits = equal(absolute(b), math.inf) & (absolute(a) < math.inf)
    return where(fits, a, value)


_MAGIC = 1.5 * 2.0**52


@family("fF", "dD")
def round_to_multiple(x: Word, power: Word) -> Word:
    """Return x rounded to the multiple of 1 / power nearest to it."""
    return _round_even(x * power) / power


@family("fF", "dD")
def round_to_power(x: Word, power: Word) -> Word:
    """Return x rounded to the multiple of power nearest to it."""
    return _round_even(x / power) * power


def _round_even(x: Word) -> Word:
    return where(absolute(x) < _BIG[x.kind], _near(x), x)


def _floor(x: Word) -> Word:
    near = _near(x)
    return where(absolute(x) < _BIG[x.kind], where(x < near, near - 1.0, near), x)
