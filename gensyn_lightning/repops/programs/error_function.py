"""The error function, its complement and its inverse, and the normal distribution's tail.

Errors are the worst over all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

import math

from gensyn_lightning.repops.programs import wide
from gensyn_lightning.repops.programs.exponential import (
    BIAS,
    LIFT,
    LN2_HIGH,
    LN2_LOW,
    LOG2_E,
    ROUNDING,
    dropped,
    exp,
    log,
    polynomial,
)
from gensyn_lightning.repops.word import (
    Word,
    absolute,
    equal,
    fma,
    minimum,
    program,
    sqrt,
    to_double,
    to_float,
    where,
    with_sign_of,
)

_NEAR = (
    -5.96761703e-4,
    4.99119423e-3,
    -2.67681349e-2,
    1.12819925e-1,
    -3.76125336e-1,
    1.28379166e-1,
)
_FAR_HIGH, _FAR_LOW = (-1.72853470e-5, 3.83197126e-4), (-3.88396438e-3, 2.42546219e-2)
_FAR_REST = (-1.06777877e-1, -6.34846687e-1, -1.28717512e-1)


@program("f")
def erf(x: Word) -> Word:
    """Return the error function: at most 1 unit off."""
    size, square = absolute(x), x * x
    near = fma(polynomial(square, _NEAR), size, size)
    power = fma(polynomial(size, _FAR_HIGH), square, polynomial(size, _FAR_LOW))
    for each in _FAR_REST:
        power = fma(power, size, each)
    far = 1.0 - exp(fma(power, size, -size))
    return with_sign_of(where(size > 0.927734375, far, near), x)


@program("f")
def erfc(x: Word) -> Word:
    """Return 1 - erf(x): at most 0.51 units off."""
    size = to_double(absolute(x))
    tail = wide.horner(1.0 / (size * 0.4 + 1.0), _ERFCX) * wide.exp(-(size * size))
    return to_float(where(x < 0.0, 2.0 - tail, tail))


_ERFCX = (
    0.024771878994611907,
    -0.1800419129786357,
    0.5467644895981697,
    -0.87446816477119782,
    0.78948615664799393,
    -0.50098291584954724,
    0.30526557361567058,
    0.042824211950121212,
    0.19017181757604454,
    0.20454194929346203,
    0.22601226769802324,
    0.22565401330593565,
    6.349483064231504e-07,
)


@program("f")
def erfinv(x: Word) -> Word:
    """Return the inverse of erf: at most 4 units off; beyond 1 NaN."""
    size = absolute(x)
    power = -log(fma(-x, x, 1.0))
    middle = polynomial(power - 2.5, _INVERSE_MIDDLE)
    outer = polynomial(sqrt(power) - 3.0, _INVERSE_OUTER)
    value = where(power < 5.0, middle, outer) * x
    at_edge = with_sign_of(where(equal(size, 1.0), math.inf, size), x)
    return where(size < 1.0, value, where(size > 1.0, math.nan, at_edge))


_INVERSE_MIDDLE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_INVERSE_OUTER = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def normal_tail(size: Word) -> tuple[Word, Word]:
    """Return P(X > size) and e**(-size**2 / 2) for a standard normal X and `size` not negative.

    The square's rounding error is put right, so the tail is at most 12 units off wherever it is
    a normal number.
    """
    inside = minimum(size, 14.5)
    square = inside * inside
    lost = fma(inside, inside, -square)
    shifted = fma(square, -0.5 * LOG2_E, ROUNDING + LIFT + BIAS)
    whole = shifted - (ROUNDING + LIFT + BIAS)
    rest = fma(whole, 2 * LN2_LOW, fma(whole, 2 * LN2_HIGH, square)) + lost
    bell = dropped(polynomial(rest, _BELL), shifted)
    near = 1.0 / fma(inside, 0.35, 1.0)
    return polynomial(near, _TAIL) * bell, bell


# Of e**(-x / 2) on [-ln 2, ln 2], and of e**(t**2 / 2) P(X > t) by 1 / (1 + 0.35 t).
_BELL = (-0.000259044929, 0.00261861458, -0.0208345633, 0.124997877, -0.499999851, 1.0)
_TAIL = (
    0.0488459524,
    -0.201751802,
    0.240067122,
    -0.0165495967,
    0.155738818,
    0.13341441,
    0.140262073,
    -2.68502785e-05,
)
