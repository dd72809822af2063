"""What a matrix product becomes when it is scaled and added to something."""

from __future__ import annotations

from gensyn_lightning.repops.word import Word, equal, program, where


@program("ffFF")
def scaled_sum(product: Word, added: Word, beta: Word, alpha: Word) -> Word:
    """Return beta * added + alpha * product, each rounded; where beta is 0, without `added`."""
    scaled = alpha * product
    return where(equal(beta, 0.0), scaled, beta * added + scaled)
