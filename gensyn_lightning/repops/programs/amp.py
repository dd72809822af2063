"""What a gradient scaler computes: whether gradients are finite, and the next scale."""

from __future__ import annotations

from gensyn_lightning.repops.word import (
    Word,
    absolute,
    equal,
    family,
    floating,
    integer,
    program,
    to_double,
    to_float,
    where,
)


@family("fF", "dD")
def scaled_by(a: Word, scale: Word) -> Word:
    """Return a * scale, where `scale` is one number for all."""
    return a * scale


@family("ff", "fd")
def non_finite(found: Word, value: Word) -> Word:
    """Return 1 if `value` is infinite or NaN, else `found`."""
    return where(is_finite(value), found, floating(1.0))


@program("ff")
def either(a: Word, b: Word) -> Word:
    """Return `a` if it is not 0, else `b`."""
    return where(equal(a, 0.0), b, a)


@program("fifDDI")
def next_scale(
    scale: Word, tracker: Word, found: Word, growth: Word, backoff: Word, interval: Word
) -> tuple[Word, Word]:
    """Return the scale and how many steps it has held: less after an infinity, more after long."""
    failed = equal(found, 0.0) ^ 1
    held = tracker + 1
    is_due = equal(held, interval)
    grown = to_float(to_double(scale) * growth)
    grown = where(is_finite(grown), grown, scale)
    reduced = to_float(to_double(scale) * backoff)
    scale = where(failed, reduced, where(is_due, grown, scale))
    return scale, where(failed | is_due, integer(0), held)


def is_finite(value: Word) -> Word:
    """Return 1 for a number that is neither infinite nor NaN."""
    return absolute(value) < float("inf")
