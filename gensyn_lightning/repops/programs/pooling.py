"""Terms of folds over windows, and where windows begin and end."""

from __future__ import annotations

from gensyn_lightning.repops.word import (
    Word,
    equal,
    is_nan,
    maximum,
    minimum,
    program,
    to_double,
    to_float,
    to_integer,
    where,
)


@program("fif")
def pool_largest(carry: Word, place: Word, x: Word) -> Word:
    """Return the larger of the carry and a tap inside (`place` is not negative); NaN stays."""
    return _larger(carry, x, place >= 0)


@program("iiff")
def pool_place(carry: Word, place: Word, x: Word, largest: Word) -> Word:
    """Return the place of the first tap that is the largest, or of the last NaN."""
    return _place(carry, place, x, largest, place >= 0)


@program("fiiiiiiifiii")
def pool_largest_within(
    carry: Word, d: Word, h: Word, w: Word, nd: Word, nh: Word, nw: Word, place: Word, x: Word,
    kd: Word, kh: Word, kw: Word,
) -> Word:  # fmt: skip
    """Return the larger of the carry and tap (kd, kh, kw) of a window of nd, nh, nw."""
    return _larger(carry, x, (kd < nd) & (kh < nh) & (kw < nw))


@program("iiiiiiiiffiii")
def pool_place_within(
    carry: Word, d: Word, h: Word, w: Word, nd: Word, nh: Word, nw: Word, place: Word, x: Word,
    largest: Word, kd: Word, kh: Word, kw: Word,
) -> Word:  # fmt: skip
    """Return the place of the first tap of the window that is the largest, or of the last NaN."""
    return _place(carry, place, x, largest, (kd < nd) & (kh < nh) & (kw < nw))


def _larger(carry: Word, x: Word, inside: Word) -> Word:
    return where(inside & ((carry < x) | is_nan(x)), x, carry)


def _place(carry: Word, place: Word, x: Word, largest: Word, inside: Word) -> Word:
    first = (carry < 0) & equal(x, largest)
    return where(inside & (first | (is_nan(x) & is_nan(largest))), place, carry)


@program("ff")
def pool_sum(carry: Word, x: Word) -> Word:
    """Return the sum so far; padding is 0."""
    return carry + x


@program("fiiiiiifiii")
def pool_sum_within(
    carry: Word, d: Word, h: Word, w: Word, nd: Word, nh: Word, nw: Word, x: Word,
    kd: Word, kh: Word, kw: Word,
) -> Word:  # fmt: skip
    """Return the sum so far of a window of nd, nh, nw elements."""
    return where((kd < nd) & (kh < nh) & (kw < nw), carry + x, carry)


@program("fiiiiiifiii")
def pool_share_within(
    carry: Word, d: Word, h: Word, w: Word, nd: Word, nh: Word, nw: Word, share: Word,
    at_d: Word, at_h: Word, at_w: Word,
) -> Word:  # fmt: skip
    """Return the sum so far of the shares of the windows that begin at d, h, w and hold a place."""
    return where(
        _holds(d, nd, at_d) & _holds(h, nh, at_h) & _holds(w, nw, at_w), carry + share, carry
    )


def _holds(first: Word, count: Word, at: Word) -> Word:
    return (first <= at) & (at < first + count)


@program("fiiiI")
def pool_mean(total: Word, nd: Word, nh: Word, nw: Word, divisor: Word) -> Word:
    """Return the total over the number of elements, or over the divisor unless that is 0."""
    return total / to_float(where(equal(divisor, 0), nd * nh * nw, divisor))


@program("iIIIII")
def pool_length(
    out: Word, window: Word, step: Word, padding: Word, size: Word, counts_padding: Word
) -> Word:
    """Return how many elements window number `out` holds along one dimension."""
    start = out * step - padding
    end = minimum(start + window, size + padding)
    inside = minimum(end, size) - maximum(start, 0)
    return where(counts_padding, end - start, inside)


@program("iII")
def pool_first(out: Word, size: Word, outs: Word) -> Word:
    """Return where adaptive window number `out` begins: floor(out * size / outs)."""
    return _floor(out * size, outs)


@program("iII")
def pool_adaptive_length(out: Word, size: Word, outs: Word) -> Word:
    """Return how long adaptive window number `out` is: it ends at ceil((out + 1) * size / outs)."""
    end = _floor((out + 1) * size + outs - 1, outs)
    return end - _floor(out * size, outs)


def _floor(a: Word, b: Word) -> Word:
    """Return the whole part of a quotient of whole numbers, exact while `a` is below 2**52."""
    return to_integer(to_double(a) / to_double(b))
