"""Sequences: each element from its own number alone, in binary64, rounded once."""

from __future__ import annotations

from collections.abc import Callable

from gensyn_lightning.repops.programs import wide
from gensyn_lightning.repops.word import (
    Definition,
    Word,
    program,
    to_double,
    to_float,
    to_integer,
    where,
)

_ROUNDED: dict[str, Callable[[Word], Word]] = {"f": to_float, "d": lambda a: a, "i": to_integer}


def _evenly(kind: str) -> Definition:
    def element(at: Word, start: Word, step: Word) -> Word:
        return _ROUNDED[kind](to_double(at) * step + start)

    return Definition(f"sequence_step_{kind}", "iDD", element)


def _between(kind: str) -> Definition:
    def element(at: Word, start: Word, end: Word, step: Word, count: Word) -> Word:
        return _ROUNDED[kind](_point(at, start, end, step, count))

    return Definition(f"sequence_between_{kind}", "iDDDI", element)


def _point(at: Word, start: Word, end: Word, step: Word, count: Word) -> Word:
    """Return a point between two ends, counted from the nearer one."""
    left = count - at - 1
    return where(at < left, to_double(at) * step + start, end - to_double(left) * step)


sequence_step = {each: _evenly(each) for each in "fd"}
"""Return `start + at * step`."""

sequence_between = {each: _between(each) for each in "fdi"}
"""Return the point `at` of `count` between two ends."""


@program("iII")
def sequence_step_i(at: Word, start: Word, step: Word) -> Word:
    """Return `start + at * step` of integers."""
    return at * step + start


@program("iDDDID")
def sequence_power(at: Word, start: Word, end: Word, step: Word, count: Word, base: Word) -> Word:
    """Return a power of a `base` above 0, whose exponent is a point between two ends."""
    exponent = _point(at, start, end, step, count)
    return to_float(wide.exp(exponent * wide.log(base)))
