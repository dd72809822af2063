"""Attention: how products of queries and keys become weights, and the way back for gradients."""

from __future__ import annotations

import math

from gensyn_lightning.repops.programs.exponential import log
from gensyn_lightning.repops.word import Definition, Word, equal, floating, program, where


@program("fF")
def scaled_score(product: Word, scale: Word) -> Word:
    """Return product * scale."""
    return product * scale


@program("ffF")
def masked_score(product: Word, mask: Word, scale: Word) -> Word:
    """Return product * scale + mask, each rounded."""
    return product * scale + mask


@program("i")
def mask_number(visible: Word) -> Word:
    """Return what a mask of truth values adds to a score: 0, or minus infinity."""
    return where(visible, floating(0.0), floating(-math.inf))


@program("f")
def finite_shift(largest: Word) -> Word:
    """Return what is taken off the scores: the largest; 0 where all are minus infinity."""
    return where(equal(largest, -math.inf), floating(0.0), largest)


@program("f")
def weight_of_one(total: Word) -> Word:
    """Return the factor from exponentials to weights: 1 / total, 0 where there is no weight."""
    return where(equal(total, 0.0), floating(0.0), floating(1.0) / total)


@program("ff")
def log_of_scores(shift: Word, total: Word) -> Word:
    """Return the logarithm of the sum of exponentials of scores."""
    made: Word = log(total)
    return shift + made


@program("fffF")
def score_gradient(gradient: Word, weight: Word, total: Word, scale: Word) -> Word:
    """Return ((gradient - total) * weight) * scale, total being the sum of their products."""
    return ((gradient - total) * weight) * scale


def causal(term: Definition) -> Definition:
    """Return a fold's term for terms that come no later than the row: others leave the carry.

    Its last inputs are the two coordinates: that of the key, and that of the query.
    """

    def function(carry: Word, *rest: Word) -> Word:
        *reads, key, query = rest
        made: Word = term(carry, *reads)
        return where(query < key, carry, made)

    return Definition(f"causal_{term.name}", f"{term.kinds}ii", function, term.combine, term.init)
