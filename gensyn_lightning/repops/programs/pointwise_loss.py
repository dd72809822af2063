"""Losses of single elements, and their derivatives."""

from __future__ import annotations

from gensyn_lightning.repops.programs.exponential import log, log1p
from gensyn_lightning.repops.word import Word, absolute, family, is_nan, maximum, program, where


@family("ff", "dd")
def squared_error(x: Word, target: Word) -> Word:
    """Return (x - target)**2."""
    off = x - target
    return off * off


@family("ffF", "ddD")
def smooth_error(x: Word, target: Word, beta: Word) -> Word:
    """Return half the square of the error over beta below beta, then |error| - beta / 2."""
    off = absolute(x - target)
    return where(off < beta, off * off * 0.5 / beta, off - beta * 0.5)


@family("ffF", "ddD")
def huber_error(x: Word, target: Word, delta: Word) -> Word:
    """Return half the square of the error up to delta, else delta (|error| - delta / 2)."""
    off = absolute(x - target)
    return where(off <= delta, off * off * 0.5, (off - delta * 0.5) * delta)


@program("ff")
def binary_entropy(x: Word, target: Word) -> Word:
    """Return -(target log x + (1 - target) log(1 - x)), logarithms not below -100."""
    inside, outside = maximum(log(x), -100.0), maximum(log1p(-x), -100.0)
    return (target - 1.0) * outside - target * inside


@program("fff")
def binary_entropy_weighted(x: Word, target: Word, weight: Word) -> Word:
    """Return the binary entropy times a weight."""
    value: Word = binary_entropy(x, target) * weight
    return value


@family("fffF", "dddD")
def squared_error_backward(gradient: Word, x: Word, target: Word, scale: Word) -> Word:
    """Return scale (x - target) gradient, where the scale is 2, or 2 by the count for a mean."""
    return scale * (x - target) * gradient


@family("fffFF", "dddDD")
def smooth_error_backward(gradient: Word, x: Word, target: Word, beta: Word, scale: Word) -> Word:
    """Return the gradient through the smooth error, times a scale."""
    off = x - target
    near = scale * off * gradient / beta
    signed = where(off < 0.0, -scale, scale) * gradient
    return where(absolute(off) < beta, near, where(is_nan(off), off, signed))


@family("fffFF", "dddDD")
def huber_error_backward(gradient: Word, x: Word, target: Word, delta: Word, scale: Word) -> Word:
    """Return the gradient through the Huber error, times a scale."""
    off = x - target
    bounded = where(off > delta, delta, where(off < -delta, -delta, off))
    return scale * bounded * gradient


@family("fffF", "dddD")
def binary_entropy_backward(gradient: Word, x: Word, target: Word, scale: Word) -> Word:
    """Return the gradient through the binary entropy, times a scale."""
    spread = maximum((1.0 - x) * x, 1e-12)
    return gradient * (x - target) / spread * scale


@family("ffffF", "ddddD")
def binary_entropy_weighted_backward(
    gradient: Word, x: Word, target: Word, weight: Word, scale: Word
) -> Word:
    """Return the gradient through the weighted binary entropy, times a scale."""
    spread = maximum((1.0 - x) * x, 1e-12)
    return gradient * (x - target) / spread * weight * scale
