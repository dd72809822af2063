"""Sums, products, quotients and choices, for binary32, binary64 and integers alike."""

from __future__ import annotations

from gensyn_lightning.repops.word import Word, absolute, family, where


@family("ff", "dd", "ii", "fF", "dD", "iI")
def add(a: Word, b: Word) -> Word:
    """Return a + b."""
    return a + b


@family("ff", "dd", "ii", "fF", "dD")
def sub(a: Word, b: Word) -> Word:
    """Return a - b."""
    return a - b


@family("ff", "dd", "ii", "fF", "dD", "iI")
def mul(a: Word, b: Word) -> Word:
    """Return a * b."""
    return a * b


@family("ff", "dd", "fF", "dD")
def div(a: Word, b: Word) -> Word:
    """Return a / b."""
    return a / b


@family("ffF", "fFF", "ddD", "dDD", "iiI")
def add_scaled(a: Word, b: Word, alpha: Word) -> Word:
    """Return a + alpha * b, rounded twice."""
    return a + alpha * b


@family("ffF", "fFF", "ddD", "dDD")
def sub_scaled(a: Word, b: Word, alpha: Word) -> Word:
    """Return a - alpha * b, rounded twice."""
    return a - alpha * b


@family("fffF", "dddD")
def add_product(a: Word, b: Word, c: Word, scale: Word) -> Word:
    """Return a + scale * b * c, from left to right."""
    return a + scale * b * c


@family("fffF", "dddD")
def add_quotient(a: Word, b: Word, c: Word, scale: Word) -> Word:
    """Return a + scale * b / c, from left to right."""
    return a + scale * b / c


@family("fff", "ffF", "ddd", "ddD")
def lerp(start: Word, end: Word, weight: Word) -> Word:
    """Return start + weight * (end - start), from the nearer side, so that 1 gives the end."""
    step = end - start
    return where(absolute(weight) < 0.5, start + weight * step, end - step * (1.0 - weight))


@family("F", "D")
def fill(a: Word) -> Word:
    """Return a."""
    return a


@family("f", "d", "i")
def copy(a: Word) -> Word:
    """Return a."""
    return a
