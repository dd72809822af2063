"""The larger and the smaller of two numbers, and what lies between bounds."""

from __future__ import annotations

from gensyn_lightning.repops import word
from gensyn_lightning.repops.programs.reduction import larger, smaller
from gensyn_lightning.repops.word import Word, family, is_nan, where


@family("ff", "fF", "dd", "dD")
def maximum(a: Word, b: Word) -> Word:
    """Return the larger; NaN if either is; +0 of the two zeros."""
    value: Word = larger[a.kind * 2](a, b)
    return value


@family("ff", "fF", "dd", "dD")
def minimum(a: Word, b: Word) -> Word:
    """Return the smaller; NaN if either is; -0 of the two zeros."""
    value: Word = smaller[a.kind * 2](a, b)
    return value


@family("ff", "dd")
def fmax(a: Word, b: Word) -> Word:
    """Return the larger of those that are not NaN; +0 of the two zeros."""
    value: Word = larger[a.kind * 2](a, b)
    return where(is_nan(a), b, where(is_nan(b), a, value))


@family("ff", "dd")
def fmin(a: Word, b: Word) -> Word:
    """Return the smaller of those that are not NaN; -0 of the two zeros."""
    value: Word = smaller[a.kind * 2](a, b)
    return where(is_nan(a), b, where(is_nan(b), a, value))


@family("ff", "fF", "dd", "dD")
def at_least(x: Word, low: Word) -> Word:
    """Return x where it is not below `low`, equal zeros as they are; NaN if either is."""
    return where(is_nan(low), low, word.maximum(x, low))


@family("ff", "fF", "dd", "dD")
def at_most(x: Word, high: Word) -> Word:
    """Return x where it is not above `high`, equal zeros as they are; NaN if either is."""
    return where(is_nan(high), high, word.minimum(x, high))


@family("fff", "fFF", "ddd", "dDD")
def between(x: Word, low: Word, high: Word) -> Word:
    """Return x brought to at least `low`, then to at most `high`; NaN if any is."""
    inside = where(is_nan(low), low, word.maximum(x, low))
    return where(is_nan(high), high, word.minimum(inside, high))
