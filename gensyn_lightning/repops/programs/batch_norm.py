"""Batch normalisation: what is made of every element, and of the running statistics."""

from __future__ import annotations

from gensyn_lightning.repops.word import Word, family, floating, fma, sqrt


@family("fff")
def scaled_difference(x: Word, mean: Word, scale: Word) -> Word:
    """Return (x - mean) * scale."""
    return (x - mean) * scale


@family("ffff")
def affine_difference(x: Word, mean: Word, scale: Word, bias: Word) -> Word:
    """Return (x - mean) * scale + bias, the sum rounded once."""
    return fma(x - mean, scale, bias)


@family("fF")
def root_of_stored_variance(variance: Word, eps: Word) -> Word:
    """Return one over the root of variance + eps."""
    return floating(1.0) / sqrt(variance + eps)


@family("ffF")
def running(old: Word, new: Word, momentum: Word) -> Word:
    """Return momentum * new + (1 - momentum) * old, the sum rounded once."""
    return fma(momentum, new, (floating(1.0) - momentum) * old)


@family("ffFF")
def running_variance(old: Word, squares: Word, momentum: Word, freedom: Word) -> Word:
    """Return the same of squares / freedom."""
    return fma(momentum, squares / freedom, (floating(1.0) - momentum) * old)


@family("ffF", "fff")
def mean_product(product: Word, rstd: Word, count: Word) -> Word:
    """Return product * rstd / count."""
    return product * rstd / count


@family("ffffff")
def gradient(
    dy: Word, x: Word, mean: Word, scale: Word, of_gradient: Word, of_product: Word
) -> Word:
    """Return the input's gradient where the means are those of the input itself."""
    return fma(-(x - mean), of_product, dy - of_gradient) * scale
