"""Exponentials, logarithms and angles in whole numbers, to as many bits as are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf, isqrt

# m and e are m * 2^e.
Scaled = tuple[int, int]
BITS = (90, 180, 600)
GUARD = 64


def rounded(value: Callable[[int], Scaled]) -> float:
    """Return the nearest binary64; `value` is wrong by less than 2^-bits of itself."""
    m, e = 0, 0
    for bits in BITS:
        m, e = value(bits)
        off = (abs(m) >> bits) + 1
        low, high = nearest(m - off, e), nearest(m + off, e)
        if low == high:
            return low
    drop = m.bit_length() - 200
    return nearest((m + (1 << drop - 1)) >> drop, e + drop)


def nearest(m: int, e: int) -> float:
    """Return m * 2^e rounded; Python divides whole numbers correctly, in whole numbers."""
    try:
        return float(m << e) if e >= 0 else m / (1 << -e)
    except OverflowError:
        return inf if m > 0 else -inf


def smallness(x: float) -> int:
    """Return how many bits after the point are zero."""
    n, d = x.as_integer_ratio()
    return max(0, d.bit_length() - abs(n).bit_length())


def fixed(x: float, w: int) -> tuple[int, int]:
    """Return x * 2^w, and w again."""
    n, d = x.as_integer_ratio()
    return (n << w) // d, w


def series(x: int, w: int, *, first: int, step: int, sign: int) -> int:
    """Return the sum of x^k / k! for k = first, first + step, ..., signs alternating or not."""
    term, k, total = 1 << w, 0, 0
    while term or k <= first:
        if k >= first and (k - first) % step == 0:
            total += term if sign > 0 or (k - first) // step % 2 == 0 else -term
        k += 1
        term = (term * x >> w) // k if x >= 0 else -((-term * x >> w) // k)
    return total


def exponential(x: int, w: int) -> Scaled:
    """Return e^(x / 2^w) to w bits, less 16."""
    deep = w + 16
    step = ln2(deep)
    n = ((x << 17) + step) // (2 * step)
    rest = (x << 16) - n * step
    return series(rest, deep, first=0, step=1, sign=1), n - deep


def power_of_two(x: int, w: int) -> Scaled:
    """Return 2^(x / 2^w) to w bits, less 16."""
    n = x + (1 << w - 1) >> w
    m, e = exponential((x - (n << w)) * ln2(w) >> w, w)
    return m, e + n


def hyperbolic(x: float, bits: int) -> tuple[Scaled, Scaled]:
    """Return the hyperbolic sine and cosine of x >= 0, to the same exponent."""
    v, w = fixed(x, bits + GUARD + smallness(x))
    if x < 1:
        sine = series(v, w, first=1, step=2, sign=1)
        return (sine, -w), (series(v, w, first=0, step=2, sign=1), -w)
    m, e = exponential(v, w)
    other = (1 << max(0, -2 * e)) // m
    return (m - other, e - 1), (m + other, e - 1)


def log_ratio(a: int, b: int, bits: int) -> Scaled:
    """Return log(a / b), to `bits` bits however near one the ratio is."""
    n = a.bit_length() - b.bit_length()
    a, b = (a, b << n) if n >= 0 else (a << -n, b)
    if 3 * b < 2 * a:
        n, b = n + 1, 2 * b
    elif 3 * a < 2 * b:
        n, a = n - 1, 2 * a
    near = max(0, (a + b).bit_length() - abs(a - b).bit_length()) if a != b else 0
    w = bits + 32 + (near if n == 0 else 0)
    s = ((abs(a - b)) << w) // (a + b)
    total, term, k, square = 0, s, 1, s * s >> w
    while term:
        total += term // k
        term = term * square >> w
        k += 2
    total = 2 * (total if a >= b else -total)
    return total + (n * ln2(w) if n else 0), -w


@cache
def ln2(w: int) -> int:
    """Return ln 2 = 2 artanh(1/3)."""
    total, term, k = 0, (2 << w + 16) // 3, 1
    while term:
        total += term // k
        term //= 9
        k += 2
    return total >> 16


@cache
def pi(w: int) -> int:
    """Return pi by Machin's formula."""

    def arctangent_of_one_over(q: int) -> int:
        total, term, k = 0, (1 << w + 16) // q, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= q * q
            k += 2
        return total

    return 4 * (4 * arctangent_of_one_over(5) - arctangent_of_one_over(239)) >> 16


def angle(y: int, x: int, bits: int) -> Scaled:
    """Return the angle of the vector (x, y), both at least zero and not both zero."""
    small = max(0, x.bit_length() - y.bit_length()) if y else 0
    w = bits + GUARD + small
    steep = y > x
    t = ((x if steep else y) << w) // (y if steep else x)
    for _ in range(3):  # half the angle
        t = (t << w) // ((1 << w) + isqrt((1 << 2 * w) + t * t))
    total, term, k, square = 0, t, 1, t * t >> w
    while term:
        total += term // k if k % 4 == 1 else -(term // k)
        term = term * square >> w
        k += 2
    total *= 8
    return (pi(w) // 2 - total if steep else total), -w


def with_side(n: int, d: int, bits: int) -> tuple[int, int]:
    """Return n and the root of d^2 - n^2, both times a power of two."""
    w = bits + GUARD
    return n << w, isqrt((d * d - n * n) << 2 * w)


def error_function(x: float, bits: int) -> Scaled:
    """Return erf(x), by the series whose terms are all positive."""
    v, w = fixed(x, bits + GUARD)
    square = v * v >> w
    total, term, odd = 0, v, 1
    while term:
        total += term
        odd += 2
        term = (2 * term * square >> w) // odd
    m, e = exponential(-square, w)
    root_pi = isqrt(pi(w) << w)
    return ((2 * total * m >> -e) << w) // root_pi, -w
