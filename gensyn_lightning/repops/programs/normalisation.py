"""Layer and batch normalisation: what is summed, and what is made of every element.

Variances take two passes: the mean first, then the squares of the distances from it.
"""

from __future__ import annotations

from gensyn_lightning.repops.programs.arithmetic import add
from gensyn_lightning.repops.word import Word, family, floating, fma, sqrt, terms


def _normal(x: Word, mean: Word, rstd: Word) -> Word:
    return (x - mean) * rstd


@family("fFF", "ffF")
def root_of_variance(squares: Word, count: Word, eps: Word) -> Word:
    """Return one over the root of squares / count + eps."""
    return floating(1.0) / sqrt(squares / count + eps)


@family("fff")
def normal(x: Word, mean: Word, rstd: Word) -> Word:
    """Return (x - mean) * rstd."""
    return _normal(x, mean, rstd)


@family("ffff")
def weighted_normal(x: Word, mean: Word, rstd: Word, weight: Word) -> Word:
    """Return the normal times a weight."""
    return _normal(x, mean, rstd) * weight


@family("ffff")
def biased_normal(x: Word, mean: Word, rstd: Word, bias: Word) -> Word:
    """Return the normal plus a bias."""
    return _normal(x, mean, rstd) + bias


@family("fffff")
def affine_normal(x: Word, mean: Word, rstd: Word, weight: Word, bias: Word) -> Word:
    """Return the normal times a weight, plus a bias, rounded once."""
    return fma(_normal(x, mean, rstd), weight, bias)


@terms("fffff", combine=add)
def sum_of_gradient_times_normal(carry: Word, dy: Word, x: Word, mean: Word, rstd: Word) -> Word:
    """Add dy times the normal, rounded once."""
    return fma(dy, _normal(x, mean, rstd), carry)


@terms("fff", combine=add)
def sum_of_weighted_gradient(carry: Word, dy: Word, weight: Word) -> Word:
    """Add dy * weight, rounded before it is added."""
    return carry + dy * weight


@terms("ffffff", combine=add)
def sum_of_weighted_gradient_times_normal(
    carry: Word, dy: Word, x: Word, mean: Word, rstd: Word, weight: Word
) -> Word:
    """Add dy * weight, rounded, times the normal."""
    return fma(dy * weight, _normal(x, mean, rstd), carry)


@family("ffffff")
def layer_gradient(
    dy: Word, x: Word, mean: Word, rstd: Word, of_gradient: Word, of_product: Word
) -> Word:
    """Return layer normalisation's gradient, given the means of dy and dy * normal."""
    return fma(-_normal(x, mean, rstd), of_product, dy - of_gradient) * rstd


@family("fffffff")
def weighted_layer_gradient(
    dy: Word, x: Word, mean: Word, rstd: Word, of_gradient: Word, of_product: Word, weight: Word
) -> Word:
    """Return layer normalisation's gradient, given the means of g = dy * weight and g * normal."""
    return fma(-_normal(x, mean, rstd), of_product, dy * weight - of_gradient) * rstd
