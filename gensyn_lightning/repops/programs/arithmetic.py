"""Sums, products, quotients and choices, for binary32, binary64 and integers alike."""

from __future__ import annotations

from gensyn_lightning.repops import word
from gensyn_lightning.repops.word import Word, family, is_nan, where


@family("ff", "dd", "ii", "fF", "dD", "iI")
def add(a: Word, b: Word) -> Word:
    """Return a + b."""
    return a + b


@family("ff", "dd", "ii")
def sub(a: Word, b: Word) -> Word:
    """Return a - b."""
    return a - b


@family("ff", "dd", "ii", "fF", "dD", "iI")
def mul(a: Word, b: Word) -> Word:
    """Return a * b."""
    return a * b


@family("ff", "dd")
def div(a: Word, b: Word) -> Word:
    """Return a / b."""
    return a / b


@family("ffF", "ddD", "iiI")
def add_scaled(a: Word, b: Word, alpha: Word) -> Word:
    """Return a + alpha * b, rounded twice."""
    return a + alpha * b


@family("f", "d", "i")
def copy(a: Word) -> Word:
    """Return a."""
    return a


@family("ff", "dd")
def maximum(a: Word, b: Word) -> Word:
    """Return the larger; NaN if either is."""
    return where(is_nan(b), b, word.maximum(a, b))
