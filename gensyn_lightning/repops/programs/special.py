"""Functions of two numbers around logarithms, and entropy."""

from __future__ import annotations

import math

from gensyn_lightning.repops.programs.exponential import (
    LN2,
    LOG2_E,
    exp_below,
    log,
    log1p,
    log1p_inside,
)
from gensyn_lightning.repops.word import Word, absolute, equal, is_nan, maximum, program, where


@program("ff")
def xlogy(x: Word, y: Word) -> Word:
    """Return x log(y), 0 where x is 0 and y a number."""
    return where(is_nan(y), y, where(equal(x, 0.0), 0.0, x * log(y)))


@program("ff")
def xlog1py(x: Word, y: Word) -> Word:
    """Return x log(1 + y), 0 where x is 0 and y a number."""
    return where(is_nan(y), y, where(equal(x, 0.0), 0.0, x * log1p(y)))


@program("f")
def entropy(x: Word) -> Word:
    """Return -x log(x), at most 1.7 units off; of 0 it is 0, below it minus infinity."""
    value = where(equal(x, 0.0), 0.0, -x * log(x))
    return where(x < 0.0, -math.inf, value)


@program("ff")
def log_add_exp(a: Word, b: Word) -> Word:
    """Return log(e**a + e**b)."""
    return _larger_and(a, b, log1p_inside(exp_below(-absolute(a - b))))


@program("ff")
def log_add_exp2(a: Word, b: Word) -> Word:
    """Return log2(2**a + 2**b)."""
    return _larger_and(a, b, log1p_inside(exp_below(absolute(a - b) * -LN2)) * LOG2_E)


def _larger_and(a: Word, b: Word, rest: Word) -> Word:
    """Return the larger and what the other adds; equal infinities as they are."""
    value = maximum(a, b) + rest
    return where(equal(a, b) & equal(absolute(a), math.inf), a, where(is_nan(b), b, value))
