"""Putting an output together from parts that do not overlap."""

from __future__ import annotations

from gensyn_lightning.repops.word import Word, as_kind, bits, program


@program("ff")
def joined_bits(a: Word, b: Word) -> Word:
    """Return the one that is not +0, where at least one is: all bits of both."""
    return as_kind(bits(a) | bits(b), "f")
