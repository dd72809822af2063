"""The terms of reductions: what a lane's carry becomes when it meets the next element."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gensyn_lightning.repops.programs.arithmetic import add, mul
from gensyn_lightning.repops.programs.exponential import exp, log1p
from gensyn_lightning.repops.programs.power import power_of
from gensyn_lightning.repops.word import (
    Definition,
    Word,
    absolute,
    as_kind,
    bits,
    double,
    equal,
    family,
    floating,
    fma,
    integer,
    is_nan,
    sqrt,
    terms,
    where,
)


@family("ff", "dd")
def larger(a: Word, b: Word) -> Word:
    """Return the larger; NaN if either is; +0 of the two zeros, in whatever order they come."""
    same = as_kind(bits(a) & bits(b), a.kind)
    return where(a < b, b, where(equal(a, b), same, where(is_nan(b), b, a)))


@family("ff", "dd")
def smaller(a: Word, b: Word) -> Word:
    """Return the smaller; NaN if either is; -0 of the two zeros, in whatever order they come."""
    same = as_kind(bits(a) | bits(b), a.kind)
    return where(b < a, b, where(equal(a, b), same, where(is_nan(b), b, a)))


@terms("ff", "dd", combine=add)
def sum_(carry: Word, x: Word) -> Word:
    """Add x."""
    return carry + x


@terms("ff", "dd", combine=add)
def sum_of_numbers(carry: Word, x: Word) -> Word:
    """Add x unless it is NaN."""
    return carry + where(is_nan(x), _number(0.0, x.kind), x)


@terms("ff", "dd", combine=mul, init=1)
def product(carry: Word, x: Word) -> Word:
    """Multiply by x."""
    return carry * x


@terms("ff", "dd", combine=larger, init=-math.inf)
def largest(carry: Word, x: Word) -> Word:
    """Keep the larger."""
    made: Word = larger[carry.kind * 2](carry, x)
    return made


@terms("ff", "dd", combine=smaller, init=math.inf)
def smallest(carry: Word, x: Word) -> Word:
    """Keep the smaller."""
    made: Word = smaller[carry.kind * 2](carry, x)
    return made


@terms("ff", combine=larger)
def largest_magnitude(carry: Word, x: Word) -> Word:
    """Keep the larger absolute value."""
    made: Word = larger["ff"](carry, absolute(x))
    return made


@terms("ff", combine=smaller, init=math.inf)
def smallest_magnitude(carry: Word, x: Word) -> Word:
    """Keep the smaller absolute value."""
    made: Word = smaller["ff"](carry, absolute(x))
    return made


@terms("ff", combine=add)
def sum_of_magnitudes(carry: Word, x: Word) -> Word:
    """Add |x|."""
    return carry + absolute(x)


@terms("ff", combine=add)
def sum_of_squares(carry: Word, x: Word) -> Word:
    """Add x * x, rounded once."""
    return fma(x, x, carry)


@terms("ff", combine=add)
def count_of_nonzero(carry: Word, x: Word) -> Word:
    """Add 1 unless x is 0."""
    return carry + where(equal(x, 0.0), floating(0.0), 1.0)


@terms("ffF", combine=add)
def sum_of_powers(carry: Word, x: Word, exponent: Word) -> Word:
    """Add |x| ** exponent."""
    return carry + power_of(absolute(x), exponent)


@family("ff")
def log_add_exp(a: Word, b: Word) -> Word:
    """Return log(e**a + e**b): the larger, and log1p of the smaller over it."""
    larger_one, smaller_one = where(a < b, b, a), where(a < b, a, b)
    rest: Word = log1p(exp(smaller_one - larger_one))
    made = where(equal(larger_one, smaller_one), larger_one + math.log(2.0), larger_one + rest)
    unbounded = equal(absolute(larger_one), math.inf)
    return where(is_nan(a), a, where(is_nan(b), b, where(unbounded, larger_one, made)))


@terms("ff", combine=log_add_exp, init=-math.inf)
def log_sum_exp(carry: Word, x: Word) -> Word:
    """Keep the logarithm of the sum of exponentials."""
    made: Word = log_add_exp["ff"](carry, x)
    return made


@terms("fff", combine=add)
def sum_of_products(carry: Word, x: Word, y: Word) -> Word:
    """Add x * y, rounded once."""
    return fma(x, y, carry)


@terms("fff", combine=add)
def sum_of_squared_differences(carry: Word, x: Word, mean: Word) -> Word:
    """Add the square of x - mean, rounded once."""
    difference = x - mean
    return fma(difference, difference, carry)


@terms("ffff", combine=add)
def sum_of_products_with_difference(carry: Word, x: Word, mean: Word, y: Word) -> Word:
    """Add (x - mean) * y, rounded once."""
    return fma(x - mean, y, carry)


@family("fF", "dD")
def divided(total: Word, count: Word) -> Word:
    """Return total / count: 0 / 0 is NaN."""
    return total / count


@family("fF")
def root_of_divided(total: Word, count: Word) -> Word:
    """Return the square root of total / count."""
    return sqrt(total / count)


@family("fF")
def root_of_order(total: Word, order: Word) -> Word:
    """Return total ** (1 / order)."""
    return power_of(total, floating(1.0) / order)


@family("f")
def root(total: Word) -> Word:
    """Return the square root."""
    return sqrt(total)


def _number(value: float, kind: str) -> Word:
    return floating(value) if kind == "f" else double(value)


def first_equal(sizes: Sequence[int], kind: str) -> Definition:
    """Return the term that keeps the number of the first element that equals the value wanted.

    Its inputs are the carry, -1 at first, an element, the value and the reduced coordinates, whose
    sizes are `sizes`. NaN equals NaN.
    """

    def function(carry: Word, x: Word, value: Word, *coordinates: Word) -> Word:
        number = integer(0)
        for size, each in zip(sizes, coordinates, strict=True):
            number = number * size + each
        hit = equal(x, value) | (is_nan(x) & is_nan(value))
        return where((carry < 0) & hit, number, carry)

    return Definition("first_equal", f"i{kind}{kind}" + "i" * len(sizes), function)
