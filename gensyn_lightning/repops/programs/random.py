"""What random operators draw: bits as a function of key and place, and numbers made of bits.

A draw's first inputs are random words of 32 bits each, the low halves of integers; they are marked
`f` like everything that fits 32 bits, and only their bits are looked at. What is the same for all
elements of a binary32 draw is a binary32 number; draws of binary64 numbers are made of binary32
ones, but for the uniform one, and scaled in binary64.
"""

from __future__ import annotations

import math

from gensyn_lightning.repops.opcode import Op
from gensyn_lightning.repops.programs.exponential import exp, log_near_one, parts
from gensyn_lightning.repops.word import (
    Word,
    apply,
    as_kind,
    bits,
    double,
    equal,
    family,
    floating,
    fma,
    integer,
    program,
    sqrt,
    to_double,
    to_float,
    to_integer,
    where,
    with_sign_of,
)

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = (1 << 32) - 1
_ONE = 0x3F800000
_MAGNITUDE = (1 << 31) - 1
_LN2 = 0.6931471805599453


@program("iI")
def random_bits(index: Word, key: Word) -> Word:
    """Return word `index` of the key's stream, 32 bits."""
    counter = ((index >> 6) << 4) + (index & 15)
    words = philox((counter & _LOW, counter >> 32, integer(0), integer(0)), key)
    return chosen(words, index >> 4)


def philox(counter: tuple[Word, ...], key: Word) -> tuple[Word, ...]:
    """Return the four words Philox4x32-10 makes of a counter's four."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & _LOW, key >> 32
    for _ in range(ROUNDS):
        p, q = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (q >> 32) ^ c1 ^ k0, q & _LOW, (p >> 32) ^ c3 ^ k1, p & _LOW
        k0, k1 = (k0 + WEYL[0]) & _LOW, (k1 + WEYL[1]) & _LOW
    return c0, c1, c2, c3


def chosen(words: tuple[Word, ...], number: Word) -> Word:
    """Return one of four words by the low two bits of a number."""
    c0, c1, c2, c3 = words
    return where(number & 2, where(number & 1, c3, c2), where(number & 1, c1, c0))


@program("fFFF")
def uniform(word: Word, mask: Word, low: Word, high: Word) -> Word:
    """Return a multiple of 2**-24 of [0, 1), scaled to [low, high); `mask` leaves fewer bits."""
    return _between(_unit(bits(word) & bits(mask)), low, high)


@program("ffDD")
def uniform_double(word: Word, other: Word, low: Word, high: Word) -> Word:
    """Return a multiple of 2**-53 of [0, 1), scaled to [low, high)."""
    whole = (bits(word) << 21) | (bits(other) >> 11)
    made = to_double(whole) * 2.0**-53 * (high - low) + low
    return where(made < high, made, low)


def _unit(raw: Word) -> Word:
    """Return the highest 24 bits of a word as a multiple of 2**-24."""
    top = as_kind((raw >> 9) | _ONE, "f")
    return top - where(raw & 0x100, floating(1.0 - 2.0**-24), 1.0)


def _between(unit: Word, low: Word, high: Word) -> Word:
    made = fma(unit, high - low, low)
    return where(made < high, made, low)


def _apart(raw: Word) -> tuple[Word, Word]:
    """Return x in (0, 1) of 31 bits, and 1 - x, both with all the digits they have room for."""
    low = raw & _MAGNITUDE
    return _centred(low), _centred(low ^ _MAGNITUDE)


def _centred(low: Word) -> Word:
    return fma(to_float(low), 2.0**-31, 2.0**-32)


@family("fFF", "fDD", "fff", "fdd", "ffF", "fdD")
def gaussian(word: Word, mean: Word, deviation: Word) -> Word:
    """Return a number of the normal distribution: a binary32 one, scaled."""
    return _scaled(word, mean, deviation)


@family("ffF", "fdD")
def normal_of_width(word: Word, deviation: Word, mean: Word) -> Word:
    """Return a number of the normal distribution: a binary32 one, scaled."""
    return _scaled(word, mean, deviation)


def _scaled(word: Word, mean: Word, deviation: Word) -> Word:
    z = _standard(word)
    return fma(z, deviation, mean) if mean.kind == "f" else to_double(z) * deviation + mean


@program("fFF")
def log_normal(word: Word, mean: Word, deviation: Word) -> Word:
    """Return e to a number of the normal distribution."""
    made: Word = exp(_scaled(word, mean, deviation))
    return made


@program("fDD")
def log_normal_double(word: Word, mean: Word, deviation: Word) -> Word:
    """Return e to a number of the normal distribution: e**x is a binary32."""
    return to_double(exp(to_float(_scaled(word, mean, deviation))))


_CENTRE = (
    -8.1525017847639e-09,
    -5.942816017068253e-09,
    6.428022629734187e-07,
    -2.6692157462093746e-06,
    -1.803337363526225e-05,
    0.00027645943919196725,
    -0.0011823988752439618,
    -0.008115599863231182,
    0.3417168855667114,
    2.2960352897644043,
)
_TAIL = (
    4.2445310100447387e-05,
    -0.0002793435996863991,
    0.0006848229095339775,
    -0.001013300265185535,
    0.001510675298050046,
    -0.0028979857452213764,
    0.004640683066099882,
    1.4246327877044678,
    4.71708869934082,
)


def _standard(word: Word) -> Word:
    """Return the inverse of the normal distribution's integral, of a sign and x in (0, 1).

    z / x is a polynomial in w = -log(1 - x**2), or in its root for |z| above 2.8; it is at most
    5e-7 off, relatively. The largest |z| is 6.34.
    """
    x, rest = _apart(bits(word))
    exponent, fraction = parts(rest * (x + 1.0))
    w = -fma(exponent, _LN2, log_near_one(fraction))
    centre = _polynomial(_CENTRE, w - 3.0)
    tail = _polynomial(_TAIL, sqrt(w) - 3.5)
    return with_sign_of(where(w < 6.0, centre, tail) * x, word)


def _polynomial(coefficients: tuple[float, ...], x: Word) -> Word:
    value = floating(coefficients[0])
    for each in coefficients[1:]:
        value = fma(value, x, each)
    return value


@program("fF")
def exponential(word: Word, rate: Word) -> Word:
    """Return a number of the exponential distribution, never 0 unless it underflows."""
    return _waiting(word) / rate


@program("fD")
def exponential_double(word: Word, rate: Word) -> Word:
    """Return a number of the exponential distribution: a binary32 one, scaled in binary64."""
    return to_double(_waiting(word)) / rate


def _waiting(word: Word) -> Word:
    """Return -log(x) for x in (0, 1)."""
    x, rest = _apart(bits(word) >> 1)
    return -_log_of(x, rest)


def _log_of(x: Word, rest: Word) -> Word:
    """Return log(x), where rest = 1 - x has digits that x has no room for."""
    exponent, fraction = parts(x)
    fraction = where(equal(exponent, 0.0), -rest, fraction)
    return fma(exponent, _LN2, log_near_one(fraction))


@program("fD")
def geometric(word: Word, p: Word) -> Word:
    """Return the number of trials up to the first success, of probability p in (0, 1)."""
    return _trials(word, p)


@program("fD")
def geometric_integer(word: Word, p: Word) -> Word:
    """Return the number of trials up to the first success, of probability p in (0, 1)."""
    return to_integer(_trials(word, p))


def _trials(word: Word, p: Word) -> Word:
    quotient = _waiting(word) / -_log_of(to_float(1.0 - p), to_float(p))
    whole = to_float(to_integer(quotient))
    up = where(whole < quotient, whole + 1.0, whole)
    return where(quotient < 2.0**24, up, quotient)


_TANGENT = (
    3.4412190914154053,
    0.36446741223335266,
    1.445520281791687,
    1.2572784423828125,
    1.2757899761199951,
    1.2919167280197144,
    1.5707963705062866,
)


@program("fFF")
def cauchy(word: Word, median: Word, scale: Word) -> Word:
    """Return a number of the Cauchy distribution."""
    return fma(_tangent(word), scale, median)


@program("fDD")
def cauchy_double(word: Word, median: Word, scale: Word) -> Word:
    """Return a number of the Cauchy distribution: a binary32 one, scaled in binary64."""
    return to_double(_tangent(word)) * scale + median


def _tangent(word: Word) -> Word:
    """Return tan(pi / 2 * x) for x in (-1, 1)."""
    x, rest = _apart(bits(word))
    is_small = x < rest
    small = where(is_small, x, rest)
    value = _polynomial(_TANGENT, small * small) * small
    return with_sign_of(where(is_small, value, 1.0 / value), word)


def _hit(word: Word, below: Word, always: Word) -> Word:
    """Return 1 if the word is less than `below`, or if `always` is not 0."""
    return apply(Op.ULT, bits(word), bits(below)) | bits(always)


def threshold(p: float) -> tuple[int, int]:
    """Return `below` and `always` for a probability: the chance is p, rounded up to 2**-32."""
    limit = math.ceil(p * 2.0**32)
    return (0, 1) if limit == 1 << 32 else (limit, 0)


@program("fFF")
def bernoulli(word: Word, below: Word, always: Word) -> Word:
    """Return 1 with the chance that `below` and `always` stand for, else 0."""
    return where(_hit(word, below, always), floating(1.0), 0.0)


@program("fFF")
def bernoulli_integer(word: Word, below: Word, always: Word) -> Word:
    """Return 1 with the chance that `below` and `always` stand for, else 0."""
    return _hit(word, below, always)


@program("fd")
def bernoulli_each(word: Word, p: Word) -> Word:
    """Return 1 with the chance p, rounded up to a multiple of 2**-32, else 0."""
    return where(_hit_each(word, p), floating(1.0), 0.0)


@program("fd")
def bernoulli_each_integer(word: Word, p: Word) -> Word:
    """Return 1 with the chance p, rounded up to a multiple of 2**-32, else 0."""
    return _hit_each(word, p)


def _hit_each(word: Word, p: Word) -> Word:
    return to_double(bits(word)) < p * 2.0**32


@program("ffFFF")
def dropout(word: Word, x: Word, below: Word, always: Word, scale: Word) -> tuple[Word, Word]:
    """Return x * 1 * scale and 1, or x * 0 * scale and 0."""
    hit = _hit(word, below, always)
    return x * where(hit, floating(1.0), 0.0) * scale, hit


@program("fdFFD")
def dropout_double(
    word: Word, x: Word, below: Word, always: Word, scale: Word
) -> tuple[Word, Word]:
    """Return x * 1 * scale and 1, or x * 0 * scale and 0."""
    hit = _hit(word, below, always)
    return x * where(hit, double(1.0), 0.0) * scale, hit


@program("f")
def kept(x: Word) -> Word:
    """Return 1 for every element."""
    return equal(x, x) | 1


@program("fiF")
def dropout_backward(gradient: Word, mask: Word, scale: Word) -> Word:
    """Return the gradient where the mask is, else 0 times it, scaled."""
    return gradient * where(mask, floating(1.0), 0.0) * scale


@program("diD")
def dropout_backward_double(gradient: Word, mask: Word, scale: Word) -> Word:
    """Return the gradient where the mask is, else 0 times it, scaled."""
    return gradient * where(mask, double(1.0), 0.0) * scale


@program("ffFF")
def leaky_noise(word: Word, x: Word, low: Word, high: Word) -> tuple[Word, Word]:
    """Return x above 0, else x times a slope of [low, high); and the slope, 1 above 0."""
    is_above = (x <= 0.0) ^ 1
    slope = where(is_above, floating(1.0), _between(_unit(bits(word)), low, high))
    return x * slope, slope


@program("fF")
def leaky_mean(x: Word, slope: Word) -> Word:
    """Return x above 0, else x times the slope."""
    return where(x > 0.0, x, x * slope)


@program("ff")
def race(word: Word, p: Word) -> Word:
    """Return what the largest of decides a draw with chances p: p over an exponential number."""
    return p / _waiting(word)


@program("ff")
def threshold_of(word: Word, total: Word) -> Word:
    """Return a number of (0, 1) times the total."""
    x, _ = _apart(bits(word) >> 1)
    return x * total
