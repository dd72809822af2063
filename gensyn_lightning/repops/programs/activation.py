"""Activation functions of binary32 numbers.

Errors are the worst over all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

from gensyn_lightning.repops.programs.error_function import normal_tail
from gensyn_lightning.repops.programs.exponential import exp_below, expm1, log, log1p_inside
from gensyn_lightning.repops.word import (
    Word,
    absolute,
    family,
    fma,
    is_nan,
    maximum,
    minimum,
    program,
    where,
)

GELU_SLOPE, GELU_BEND = 1.5957691216057308, 0.044715  # the first is 2 sqrt(2 / pi)


@program("f")
def gelu(x: Word) -> Word:
    """Return x P(X < x), X standard normal: at most 14 units off where it is normal, by 2.4e-7."""
    tail, _ = normal_tail(absolute(x))
    return fma(-absolute(x), tail, maximum(x, -0.0))


@program("f")
def gelu_tanh(x: Word) -> Word:
    """Return x / (1 + e**-2u) with u = sqrt(2 / pi) (x + 0.044715 x**3).

    At most 228 units off of a normal number: 2u is rounded before its exponential is taken.
    """
    above, whole = odds(gelu_angle(x))
    return x * above / whole


def gelu_angle(x: Word) -> Word:
    """Return sqrt(8 / pi) (x + 0.044715 x**3)."""
    return x * GELU_SLOPE * fma(x * x, GELU_BEND, 1.0)


def odds(x: Word) -> tuple[Word, Word]:
    """Return two numbers whose quotient is 1 / (1 + e**-x); neither overflows."""
    shrunk = exp_below(-absolute(x))
    return where(x < 0.0, shrunk, 1.0), shrunk + 1.0


@program("f")
def silu(x: Word) -> Word:
    """Return x / (1 + e**-x): at most 47 units off, 3.4 where e**x is normal."""
    above, whole = odds(x)
    return x * above / whole


@program("f")
def mish(x: Word) -> Word:
    """Return x tanh(log(1 + e**x)), by a quotient of polynomials in e**-|x|.

    At most 47 units off of a normal number.
    """
    above, whole = mish_odds(x)
    return x * (above / whole)


def mish_odds(x: Word) -> tuple[Word, Word]:
    """Return two numbers whose quotient is tanh(log(1 + e**x)); neither overflows."""
    shrunk = exp_below(-absolute(x))
    negative = x < 0.0
    above = where(negative, shrunk * (shrunk + 2.0), fma(shrunk, 2.0, 1.0))
    return above, above + where(negative, 2.0, shrunk * shrunk * 2.0)


@program("f")
def log_sigmoid(x: Word) -> tuple[Word, Word]:
    """Return -log(1 + e**-x), and e**-|x|, which the derivative takes."""
    shrunk = exp_below(-absolute(x))
    return minimum(x, 0.0) - log1p_inside(shrunk), shrunk


@family("fFF")
def softplus(x: Word, beta: Word, threshold: Word) -> Word:
    """Return log(1 + e**(beta x)) / beta, and x where beta x is above the threshold."""
    scaled = x * beta
    value = maximum(scaled, 0.0) + log1p_inside(exp_below(-absolute(scaled)))
    return where(scaled > threshold, x, value / beta)


@family("fFFF")
def elu(x: Word, alpha: Word, scale: Word, input_scale: Word) -> Word:
    """Return scale x above 0, else scale alpha (e**(x input_scale) - 1)."""
    return where(x < 0.0, expm1(x * input_scale) * (alpha * scale), x * scale)


@family("f", "d")
def relu(x: Word) -> Word:
    """Return x where it is not below 0, else 0."""
    return maximum(x, 0.0)


@family("fFF", "dDD")
def threshold(x: Word, limit: Word, value: Word) -> Word:
    """Return x where it is above the limit or NaN, else the value."""
    return where(x <= limit, value, x)


@family("fFF", "dDD")
def hardtanh(x: Word, low: Word, high: Word) -> Word:
    """Return x brought between two bounds."""
    return minimum(maximum(x, low), high)


@family("fF", "ff", "dD", "dd")
def leaky_relu(x: Word, slope: Word) -> Word:
    """Return x above 0, else slope x."""
    return where(x > 0.0, x, x * slope)


@family("f", "d")
def hardsigmoid(x: Word) -> Word:
    """Return (x + 3) / 6 brought between 0 and 1."""
    return minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0


@family("f", "d")
def hardswish(x: Word) -> Word:
    """Return x times (x + 3) / 6 brought between 0 and 1."""
    return x * minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0


@family("fF", "dD")
def hardshrink(x: Word, limit: Word) -> Word:
    """Return 0 where |x| is within the limit, else x."""
    return where(absolute(x) <= limit, 0.0, x)


@family("fF", "dD")
def softshrink(x: Word, limit: Word) -> Word:
    """Return x brought nearer to 0 by the limit; 0 within it."""
    outside = where(x > limit, x - limit, where(x < -limit, x + limit, x * 0.0))
    return where(is_nan(x), x, outside)


@program("ff")
def glu(a: Word, gate: Word) -> Word:
    """Return a / (1 + e**-gate)."""
    above, whole = odds(gate)
    return a * (above / whole)


@program("f")
def logit(x: Word) -> Word:
    """Return log(x / (1 - x)).

    At most 1.4 units off outside of [1/4, 3/4]; inside, where it crosses 0, by 1.7e-7.
    """
    value: Word = log(x / (1.0 - x))
    return value


@program("fF")
def logit_inside(x: Word, bound: Word) -> Word:
    """Return log(x / (1 - x)) of x brought at least `bound` away from 0 and 1."""
    value: Word = logit(minimum(maximum(x, bound), 1.0 - bound))
    return value
