"""Softmax, its logarithm and their gradients: what is summed along a row, and what is made of it.

The largest element is taken off first, so that the sum of exponentials lies between 1 and the
number of terms; a quotient is a product with the reciprocal of the sum, rounded once more.
"""

from __future__ import annotations

from gensyn_lightning.repops.programs.arithmetic import add
from gensyn_lightning.repops.programs.exponential import exp, log
from gensyn_lightning.repops.word import Word, family, floating, fma, terms


@family("ff")
def exp_of_difference(x: Word, largest: Word) -> Word:
    """Return e**(x - largest)."""
    made: Word = exp(x - largest)
    return made


@family("f")
def reciprocal_of_sum(total: Word) -> Word:
    """Return 1 / total."""
    return floating(1.0) / total


@family("f")
def log_of_sum(total: Word) -> Word:
    """Return the logarithm of the total: at most 0.86 units off."""
    made: Word = log(total)
    return made


@family("fff")
def log_softmax(x: Word, largest: Word, log_of_total: Word) -> Word:
    """Return (x - largest) - log_of_total."""
    return (x - largest) - log_of_total


@family("fff")
def softmax_backward(gradient: Word, result: Word, total: Word) -> Word:
    """Return (gradient - total) * result, where total is the sum of their products."""
    return (gradient - total) * result


@family("fff")
def log_softmax_backward(gradient: Word, result: Word, total: Word) -> Word:
    """Return gradient - e**result * total, where total is the sum of the gradients."""
    return fma(-exp(result), total, gradient)


@terms("fff", combine=add)
def sum_of_exp_of_difference(carry: Word, x: Word, largest: Word) -> Word:
    """Add e**(x - largest)."""
    term: Word = exp(x - largest)
    return carry + term
