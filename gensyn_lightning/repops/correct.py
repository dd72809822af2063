"""Functions of binary64, correctly rounded, in whole numbers only: slow, and without the C library.

What `csrc/double.c` and its companions compute where kernels are built. A value is computed to more
and more bits until all it can be rounds to one number. A pole is an infinity; where there is no
value there is a NaN, as in C. A library of long floats would do, but those for Python call the very
functions these stand in for.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, inf, isfinite, isinf, isnan, isqrt, nan

from gensyn_lightning.repops import whole
from gensyn_lightning.repops.whole import GUARD, Scaled


def exp(x: float) -> float:
    """Return e^x."""
    if isnan(x) or x > 710:
        return x + inf
    if x < -746:
        return 0.0
    return whole.rounded(lambda bits: whole.exponential(*whole.fixed(x, bits + GUARD)))


def exp2(x: float) -> float:
    """Return 2^x."""
    if isnan(x) or x >= 1024:
        return x + inf
    if x < -1076:
        return 0.0
    return whole.rounded(lambda bits: whole.power_of_two(*whole.fixed(x, bits + GUARD)))


def expm1(x: float) -> float:
    """Return e^x - 1."""
    if isnan(x) or x > 710:
        return x + inf
    if x == 0 or x < -100:
        return x if x == 0 else -1.0

    def value(bits: int) -> Scaled:
        fixed, w = whole.fixed(x, bits + GUARD + whole.smallness(x))
        if abs(x) < 0.5:
            return whole.series(fixed, w, first=1, step=1, sign=1), -w
        m, e = whole.exponential(fixed, w)
        return (m << e + w if e > -w else m >> -w - e) - (1 << w), -w

    return whole.rounded(value)


def log(x: float) -> float:
    """Return the logarithm of x to base e."""
    return _logarithm(x, lambda bits: (1 << bits, 0))


def log2(x: float) -> float:
    """Return the logarithm of x to base 2."""
    return _logarithm(x, lambda bits: (whole.ln2(bits), 0))


def log10(x: float) -> float:
    """Return the logarithm of x to base 10."""
    return _logarithm(x, lambda bits: whole.log_ratio(10, 1, bits))


def log1p(x: float) -> float:
    """Return the logarithm of 1 + x."""
    if x == 0 or not -1 < x < inf:
        return x if x == 0 else -inf if x == -1 else x if x > 0 else nan
    n, d = x.as_integer_ratio()
    return whole.rounded(lambda bits: whole.log_ratio(n + d, d, bits))


def sin(x: float) -> float:
    """Return the sine of x."""
    return x if x == 0 else _turned(x, lambda s, c, w: (s, -w))


def cos(x: float) -> float:
    """Return the cosine of x."""
    return 1.0 if x == 0 else _turned(x, lambda s, c, w: (c, -w))


def tan(x: float) -> float:
    """Return the tangent of x."""
    return x if x == 0 else _turned(x, lambda s, c, w: ((s << w) // c, -w))


def sinh(x: float) -> float:
    """Return the hyperbolic sine of x."""
    if not isfinite(x) or x == 0 or abs(x) > 711:
        return x if x == 0 or isnan(x) else copysign(inf, x)
    return copysign(whole.rounded(lambda bits: whole.hyperbolic(abs(x), bits)[0]), x)


def cosh(x: float) -> float:
    """Return the hyperbolic cosine of x."""
    if not isfinite(x) or abs(x) > 711:
        return abs(x) + inf
    return whole.rounded(lambda bits: whole.hyperbolic(abs(x), bits)[1])


def tanh(x: float) -> float:
    """Return the hyperbolic tangent of x."""
    if x == 0 or isnan(x) or abs(x) > 40:
        return x if x == 0 or isnan(x) else copysign(1.0, x)

    def value(bits: int) -> Scaled:
        (s, e), (c, _) = whole.hyperbolic(abs(x), bits)
        return (s << -e) // c, e

    return copysign(whole.rounded(value), x)


def asin(x: float) -> float:
    """Return the angle with sine x."""
    if not abs(x) <= 1:
        return nan
    if x == 0:
        return x
    n, d = abs(x).as_integer_ratio()
    return copysign(whole.rounded(lambda bits: whole.angle(*whole.with_side(n, d, bits), bits)), x)


def acos(x: float) -> float:
    """Return the angle with cosine x."""
    if not abs(x) <= 1 or x == 1:
        return 0.0 if x == 1 else nan
    n, d = abs(x).as_integer_ratio()

    def value(bits: int) -> Scaled:
        known, side = whole.with_side(n, d, bits)
        m, e = whole.angle(side, known, bits)
        return ((whole.pi(-e) - m) if x < 0 else m), e

    return whole.rounded(value)


def atan(x: float) -> float:
    """Return the angle with tangent x."""
    return x if x == 0 else atan2(x, 1.0)


def atan2(y: float, x: float) -> float:
    """Return the angle of the vector (x, y)."""
    if isnan(x) or isnan(y):
        return nan
    if isinf(x) or isinf(y):
        x, y = copysign(float(isinf(x)), x), copysign(float(isinf(y)), y)
    left = copysign(1.0, x) < 0
    if y == 0:
        if not left:
            return y
        x = -1.0
    (a, b), (c, d) = abs(y).as_integer_ratio(), abs(x).as_integer_ratio()

    def value(bits: int) -> Scaled:
        m, e = whole.angle(a * d, c * b, bits)
        if m.bit_length() + e < -1000:  # the angle is less than the slope, by more than can be seen
            m -= m >> 110
        return ((whole.pi(-e) - m) if left else m), e

    return copysign(whole.rounded(value), y)


def asinh(x: float) -> float:
    """Return the number with hyperbolic sine x."""
    if x == 0 or not isfinite(x):
        return x
    n, d = abs(x).as_integer_ratio()

    def value(bits: int) -> Scaled:
        w = bits + GUARD + 2 * whole.smallness(x)
        one, v = 1 << w, (n << w) // d
        more = v * v // (one + isqrt(v * v + one * one))
        return whole.log_ratio(one + v + more, one, bits)

    return copysign(whole.rounded(value), x)


def acosh(x: float) -> float:
    """Return the number with hyperbolic cosine x."""
    if not 1 < x < inf:
        return 0.0 if x == 1 else x if x > 0 and isinf(x) else nan
    n, d = x.as_integer_ratio()

    def value(bits: int) -> Scaled:
        w = bits + GUARD + 110
        v = (n << w) // d
        return whole.log_ratio(v + isqrt(v * v - (1 << 2 * w)), 1 << w, bits)

    return whole.rounded(value)


def atanh(x: float) -> float:
    """Return the number with hyperbolic tangent x."""
    if x == 0 or not abs(x) < 1:
        return x if x == 0 else copysign(inf, x) if abs(x) == 1 else nan
    n, d = x.as_integer_ratio()

    def value(bits: int) -> Scaled:
        m, e = whole.log_ratio(d + n, d - n, bits)
        return m, e - 1

    return whole.rounded(value)


def cbrt(x: float) -> float:
    """Return the third root of x."""
    if x == 0 or not isfinite(x):
        return x
    n, d = abs(x).as_integer_ratio()
    w = 70 + d.bit_length()  # the root has 64 bits at least
    cube = (n << 3 * w) // d
    root = 1 << -(-cube.bit_length() // 3)
    while (closer := (2 * root + cube // root**2) // 3) < root:
        root = closer
    return copysign(whole.nearest(2 * root + (root**3 * d != n << 3 * w), -w - 1), x)


def hypot(x: float, y: float) -> float:
    """Return the length of the vector (x, y)."""
    if isinf(x) or isinf(y):
        return inf
    if isnan(x) or isnan(y):
        return nan
    (a, b), (c, d) = x.as_integer_ratio(), y.as_integer_ratio()
    square, w = (a * d) ** 2 + (c * b) ** 2, 64
    root = isqrt(square << 2 * w)
    e = (b * d).bit_length() - 1
    return whole.nearest(2 * root + (root * root != square << 2 * w), -w - 1 - e)


def erf(x: float) -> float:
    """Return the error function of x."""
    if x == 0 or isnan(x) or abs(x) > 6:
        return x if x == 0 or isnan(x) else copysign(1.0, x)
    return copysign(
        whole.rounded(lambda bits: whole.error_function(abs(x), bits + whole.smallness(x))), x
    )


def erfc(x: float) -> float:
    """Return 1 - erf(x)."""
    if isnan(x) or not -6 <= x <= 28:
        return nan if isnan(x) else 0.0 if x > 0 else 2.0

    def value(bits: int) -> Scaled:
        m, e = whole.error_function(abs(x), bits + (2 * int(x * x) + 8 if x > 0 else 0))
        return (1 << -e) - m if x > 0 else (1 << -e) + m, e

    return 1.0 if x == 0 else whole.rounded(value)


def pow(x: float, y: float) -> float:
    """Return x^y."""
    if y == 0 or x == 1:
        return 1.0
    if isnan(x) or isnan(y):
        return nan
    size, is_whole = abs(x), isinf(y) or y == int(y)
    sign = copysign(1.0, x) if isfinite(y) and is_whole and int(y) % 2 else 1.0
    if size == 1 and (isinf(y) or x > 0):
        return 1.0
    if size in (0, inf) or isinf(y):
        return sign * (inf if (size > 1) == (y > 0) else 0.0)
    return sign * _power(size, y) if x > 0 or is_whole else nan


def _power(x: float, y: float) -> float:
    (a, b), (c, d) = x.as_integer_ratio(), y.as_integer_ratio()

    def value(bits: int) -> Scaled:
        w = bits + GUARD + 16
        m, e = whole.log_ratio(a, b, w)
        product = m * c // d
        fixed = product >> -e - w if -e > w else product << w + e
        if abs(fixed) >> w > 1 << 11:
            return 1 << w, 2000 * (1 if fixed > 0 else -1) - w
        return whole.exponential(fixed, w)

    return whole.rounded(value)


def _logarithm(x: float, unit: Callable[[int], Scaled]) -> float:
    """Return the logarithm of x in units of another one, given by its bits and a scale."""
    if not 0 < x < inf or x == 1:
        return -inf if x == 0 else 0.0 if x == 1 else x if x > 0 else nan
    n, d = x.as_integer_ratio()

    def value(bits: int) -> Scaled:
        m, e = whole.log_ratio(n, d, bits + GUARD)
        by, scale = unit(bits + GUARD)
        if not scale:
            scale = -(bits + GUARD)
        return (m << bits + GUARD) // by, e - scale - bits - GUARD

    return whole.rounded(value)


def _turned(x: float, result: Callable[[int, int, int], Scaled]) -> float:
    """Round what `result` makes of the sine and cosine of x, both times 2^w."""
    if not isfinite(x):
        return nan

    def value(bits: int) -> Scaled:
        w = bits + 2 * GUARD + whole.smallness(x)
        deep = w + 1100
        fixed, half_pi = whole.fixed(x, deep)[0], whole.pi(deep) >> 1
        quarters = (2 * fixed + half_pi) // (2 * half_pi)
        rest = fixed - quarters * half_pi >> deep - w
        s = whole.series(rest, w, first=1, step=2, sign=-1)
        c = whole.series(rest, w, first=0, step=2, sign=-1)
        s, c = ((s, c), (c, -s), (-s, -c), (-c, s))[quarters % 4]
        return result(s, c, w)

    return whole.rounded(value)
