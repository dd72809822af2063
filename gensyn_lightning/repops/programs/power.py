"""Powers and roots of binary32 numbers.

Errors are the worst over all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

import math

from gensyn_lightning.repops.programs import wide
from gensyn_lightning.repops.word import (
    Word,
    absolute,
    as_kind,
    bits,
    equal,
    family,
    floating,
    program,
    sqrt,
    to_double,
    to_float,
    where,
)

FRACTIONLESS = 8388608.0  # 2**23: from there on every binary32 is a whole number


@family("ff", "fF")
def pow_(base: Word, exponent: Word) -> Word:
    """Return base**exponent as C defines it: at most 0.51 units off."""
    return power_of(base, exponent)


@program("fF")
def pow_of(exponent: Word, base: Word) -> Word:
    """Return base**exponent where the base is the same for all elements."""
    return power_of(base, exponent)


def power_of(base: Word, exponent: Word) -> Word:
    """Return base**exponent, 1 where the exponent is 0 or the base 1, whatever the other."""
    size = absolute(base)
    near = to_double(exponent) * wide.log(to_double(size))
    whole = is_whole(exponent)
    odd = whole & (is_whole(exponent * 0.5) ^ 1)
    negative = (bits(base) >> 31) & odd
    value = as_kind(bits(to_float(wide.exp(near))) | (negative << 31), "f")
    finite_below = (base < 0.0) & (size < math.inf)
    value = where(finite_below & (whole ^ 1), math.nan, value)
    always_one = equal(exponent, 0.0) | equal(base, 1.0)
    always_one = always_one | (equal(base, -1.0) & equal(absolute(exponent), math.inf))
    return where(always_one, 1.0, value)


def is_whole(x: Word) -> Word:
    """Return 1 for whole numbers and infinities, else 0."""
    size = absolute(x)
    return (size >= FRACTIONLESS) | equal((size + FRACTIONLESS) - FRACTIONLESS, size)


@family("f", "d")
def square(x: Word) -> Word:
    """Return x * x."""
    return x * x


@family("f", "d")
def cube(x: Word) -> Word:
    """Return x * x * x, rounded twice."""
    return x * x * x


@family("f", "d")
def square_root(x: Word) -> Word:
    """Return the square root."""
    return sqrt(x)


@family("f", "d")
def reciprocal(x: Word) -> Word:
    """Return 1 / x."""
    return 1.0 / x


@family("f", "d")
def rsqrt(x: Word) -> Word:
    """Return 1 / sqrt(x), rounded twice: at most 1.5 units off."""
    return 1.0 / sqrt(x)


@family("f", "d")
def reciprocal_square(x: Word) -> Word:
    """Return 1 / (x * x), rounded twice."""
    return 1.0 / (x * x)


@program("ff")
def hypot(a: Word, b: Word) -> Word:
    """Return sqrt(a * a + b * b): at most 0.51 units off; infinite if either is."""
    left, right = to_double(a), to_double(b)
    value = to_float(sqrt(left * left + right * right))
    infinite = equal(absolute(a), math.inf) | equal(absolute(b), math.inf)
    return where(infinite, floating(math.inf), value)
