"""The exponential and the logarithm of binary64 numbers, at most 3 units in the last place off.

Binary64 has no fused multiply-add here: every product is rounded.
"""

from __future__ import annotations

import math

from gensyn_lightning.repops.programs.wide import (
    FRACTION_BITS,
    INFINITY,
    NAN,
    ONE,
    power_of_two,
    whole_near,
)
from gensyn_lightning.repops.word import (
    Word,
    as_kind,
    bits,
    double,
    equal,
    maximum,
    minimum,
    program,
    to_double,
    where,
)

# The high part has so few bits that its product with an exponent is exact.
LN2_HIGH, LN2_LOW = float.fromhex("0x1.62E42FEFA3800p-1"), float.fromhex("0x1.EF35793C76730p-45")
LOWEST, HIGHEST = -746.0, 710.0  # beyond them exp is 0 and infinity
SMALLEST_NORMAL, LIFT = 2.0**-1022, 54
FRACTION = (1 << FRACTION_BITS) - 1
BIAS = ONE >> FRACTION_BITS
TERMS_OF_EXP, TERMS_OF_LOG = 14, 12


@program("d")
def exp_d(x: Word) -> Word:
    """Return e**x; subnormal results are rounded once more."""
    whole, number = whole_near(minimum(maximum(x, LOWEST), HIGHEST) * (1.0 / math.log(2.0)))
    rest = minimum(maximum(x, LOWEST), HIGHEST) - whole * LN2_HIGH - whole * LN2_LOW
    series = double(1.0)
    for at in range(TERMS_OF_EXP, 0, -1):
        series = series * rest * (1.0 / at) + 1.0
    # One factor could be no number at all: two, of about half the exponent each.
    half = ((number + 2 * BIAS) & FRACTION) >> 1
    scaled = series * power_of_two(half - BIAS) * power_of_two(number - half + BIAS)
    return where(equal(x, x), scaled, double(NAN))


@program("d")
def log_d(x: Word) -> Word:
    """Return the natural logarithm: of 0 minus infinity, of negative numbers NaN."""
    tiny = x < SMALLEST_NORMAL
    raw = bits(where(tiny, x * 2.0**LIFT, x))
    part = as_kind((raw & FRACTION) | ONE, "d")
    high = double(math.sqrt(2.0)) < part
    part = where(high, part * 0.5, part)
    exponent = to_double((raw >> FRACTION_BITS) + high) - where(
        tiny, double(BIAS + LIFT), double(BIAS)
    )
    near = (part - 1.0) / (part + 1.0)
    square = near * near
    series = double(0.0)
    for at in range(TERMS_OF_LOG, 0, -1):
        series = (series + 1.0 / (2 * at + 1)) * square
    found = exponent * LN2_LOW + (near + near * series) * 2.0 + exponent * LN2_HIGH
    edge = where(equal(x, 0.0), double(-INFINITY), where(equal(x, INFINITY), x, double(NAN)))
    return where((double(0.0) < x) & (x < INFINITY), found, edge)
