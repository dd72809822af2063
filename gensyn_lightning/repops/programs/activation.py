"""Activation functions of binary32 numbers and their derivatives.

Errors are the worst over all inputs, in units in the last place of the exact result.
"""

from __future__ import annotations

from gensyn_lightning.repops.programs.error_function import normal_tail
from gensyn_lightning.repops.word import Word, absolute, fma, maximum, program, where

SQRT_HALF = 0.7071067811865476
BELL_AT_0 = 0.3989422804014327  # 1 / sqrt(2 pi)


@program("f")
def gelu(x: Word) -> Word:
    """Return x P(X < x) for a standard normal X: at most 9 units off where it is normal."""
    size = absolute(x)
    tail, _ = normal_tail(size)
    return fma(-size, tail, maximum(x, -0.0))


@program("ff")
def gelu_backward(gradient: Word, x: Word) -> Word:
    """Return the gradient times the derivative of gelu."""
    tail, bell = normal_tail(absolute(x))
    below = where(x < 0.0, tail, 1.0 - tail)
    return gradient * fma(x * BELL_AT_0, bell, below)
