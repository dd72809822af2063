"""Which elements an output of a resampling is made of, and by which weights.

Places are computed in binary64: `scale` is the size of the input over that of the output, or the
inverse of the factor that was asked for. The weights are binary32.
"""

from __future__ import annotations

from gensyn_lightning.repops.word import (
    Word,
    absolute,
    equal,
    floating,
    fma,
    integer,
    maximum,
    minimum,
    program,
    to_double,
    to_float,
    to_integer,
    where,
)

CUBIC, SHARP_CUBIC = -0.75, -0.5


@program("fiff")
def resample_term(carry: Word, place: Word, weight: Word, x: Word) -> Word:
    """Return the sum so far of weights times elements; a negative place is none."""
    return where(place < 0, carry, fma(weight, x, carry))


@program("fiffi")
def resample_adjoint_term(carry: Word, place: Word, weight: Word, x: Word, row: Word) -> Word:
    """Return the sum so far of what the tables take from one element."""
    return where(equal(place, row), fma(weight, x, carry), carry)


@program("iDII")
def linear_taps(out: Word, scale: Word, size: Word, aligned: Word) -> tuple[Word, ...]:
    """Return the places and weights of the two elements next to output `out`."""
    place = maximum(_place(out, scale, aligned), 0.0)
    first = minimum(to_integer(place), size - 1)
    rest = minimum(to_float(place - to_double(first)), 1.0)
    return first, minimum(first + 1, size - 1), floating(1.0) - rest, rest


@program("iDII")
def cubic_taps(out: Word, scale: Word, size: Word, aligned: Word) -> tuple[Word, ...]:
    """Return the places and weights of the four elements around output `out`."""
    place = _place(out, scale, aligned)
    whole = _floor(place)
    rest = to_float(place - to_double(whole))
    places = [_clamped(whole + step, size) for step in (-1, 0, 1, 2)]
    weights = cubic_weights(rest)
    return (*places, *weights)


def cubic_weights(rest: Word) -> tuple[Word, ...]:
    """Return the weights of cubic convolution, `rest` of the way from the second to the third."""
    other = floating(1.0) - rest
    return (
        _cubic_far(rest + 1.0, CUBIC),
        _cubic_near(rest, CUBIC),
        _cubic_near(other, CUBIC),
        _cubic_far(other + 1.0, CUBIC),
    )


def _cubic_near(x: Word, a: float) -> Word:
    """Return the cubic convolution kernel for x in [0, 1]."""
    return fma(fma(x, a + 2.0, -(a + 3.0)) * x, x, 1.0)


def _cubic_far(x: Word, a: float) -> Word:
    """Return the cubic convolution kernel for x in [1, 2]."""
    return fma(fma(fma(x, a, -5.0 * a), x, 8.0 * a), x, -4.0 * a)


@program("iFI")
def nearest_tap(out: Word, scale: Word, size: Word) -> Word:
    """Return the place that output `out` copies, as torch computes it: in binary32."""
    return minimum(to_integer(to_float(out) * scale), size - 1)


@program("iFI")
def nearest_exact_tap(out: Word, scale: Word, size: Word) -> Word:
    """Return the place next to the middle of output `out`, as torch computes it: in binary32."""
    return minimum(to_integer((to_float(out) + 0.5) * scale), size - 1)


@program("iiDDDI")
def smooth_linear_taps(
    out: Word, tap: Word, scale: Word, support: Word, stretch: Word, size: Word
) -> tuple[Word, Word]:
    """Return the place and the weight, not yet normal, of a tap under a triangle."""
    place, x = _smooth(out, tap, scale, support, stretch, size)
    return place, where(place < 0, 0.0, maximum(floating(1.0) - absolute(x), 0.0))


@program("iiDDDI")
def smooth_cubic_taps(
    out: Word, tap: Word, scale: Word, support: Word, stretch: Word, size: Word
) -> tuple[Word, Word]:
    """Return the place and the weight, not yet normal, of a tap under a cubic."""
    place, signed = _smooth(out, tap, scale, support, stretch, size)
    x = absolute(signed)
    far = where(x < 2.0, _cubic_far(x, SHARP_CUBIC), 0.0)
    return place, where(place < 0, 0.0, where(x < 1.0, _cubic_near(x, SHARP_CUBIC), far))


def _smooth(
    out: Word, tap: Word, scale: Word, support: Word, stretch: Word, size: Word
) -> tuple[Word, Word]:
    """Return the place of a tap, or -1, and how far it is from the middle of the output."""
    middle = scale * (to_double(out) + 0.5)
    first = maximum(to_integer(middle - support + 0.5), 0)
    end = minimum(to_integer(middle + support + 0.5), size)
    place = first + tap
    distance = (to_double(place) - middle + 0.5) * stretch
    return where(place < end, place, -1), to_float(distance)


@program("ff")
def normal_weight(weight: Word, total: Word) -> Word:
    """Return a weight over the sum of all; 0 where that is 0."""
    return where(equal(total, 0.0), weight, weight / total)


@program("iII")
def reflected_tap(out: Word, before: Word, size: Word) -> Word:
    """Return the place that padding by reflection copies."""
    place = absolute(out - before)
    last = size - 1
    return where(place < size, place, last + last - place)


@program("iII")
def replicated_tap(out: Word, before: Word, size: Word) -> Word:
    """Return the place that padding by the edge copies."""
    return _clamped(out - before, size)


def _place(out: Word, scale: Word, aligned: Word) -> Word:
    middle = (to_double(out) + 0.5) * scale - 0.5
    return where(aligned, to_double(out) * scale, middle)


def _floor(a: Word) -> Word:
    whole = to_integer(a)
    return where(a < to_double(whole), whole - 1, whole)


def _clamped(place: Word, size: Word) -> Word:
    return minimum(maximum(place, integer(0)), size - 1)
