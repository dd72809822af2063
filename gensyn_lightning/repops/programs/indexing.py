"""Terms of folds that follow an index, and programs that make indices and tables of positions."""

from __future__ import annotations

from collections.abc import Callable

from gensyn_lightning.repops import word
from gensyn_lightning.repops.word import (
    Definition,
    Word,
    equal,
    fma,
    is_nan,
    program,
    sqrt,
    to_double,
    to_float,
    where,
)

Combine = Callable[[Word, Word], Word]


def _larger(a: Word, b: Word) -> Word:
    return word.maximum(a, b) if a.kind == "i" else where(is_nan(b), b, word.maximum(a, b))


def _smaller(a: Word, b: Word) -> Word:
    return word.minimum(a, b) if a.kind == "i" else where(is_nan(b), b, word.minimum(a, b))


OPERATIONS: tuple[tuple[str, Combine], ...] = (
    ("add", lambda a, b: a + b),
    ("write", lambda a, b: b),
    ("mul", lambda a, b: a * b),
    ("largest", _larger),
    ("smallest", _smaller),
)
"""What is done with a source where an index says so; the position is the kernel's parameter."""


def _from_zero(name: str, combine: Combine, kind: str) -> Definition:
    def term(carry: Word, index: Word, source: Word, row: Word, skip: Word) -> Word:
        taken = equal(index, row) & (equal(row, skip) ^ 1)
        return where(taken, combine(carry, source), carry)

    return Definition(f"index_{name}_{kind}", f"{kind}i{kind}iI", term)


def _from_given(name: str, combine: Combine, kind: str) -> Definition:
    def term(
        carry: Word, index: Word, source: Word, given: Word, row: Word, at: Word, skip: Word
    ) -> Word:
        taken = equal(index, row) & (equal(row, skip) ^ 1)
        return where(equal(at, 0), given, where(taken, combine(carry, source), carry))

    return Definition(f"index_{name}_onto_{kind}", f"{kind}i{kind}{kind}iiI", term)


def _looked_up(name: str, combine: Combine, kind: str) -> Definition:
    def term(carry: Word, index: Word, place: Word, source: Word, row: Word, skip: Word) -> Word:
        taken = equal(index, row) & (equal(row, skip) ^ 1)
        return where(taken, combine(carry, source), carry)

    return Definition(f"index_{name}_found_{kind}", f"{kind}ii{kind}iI", term)


FROM_FOUND = {f"{name}_f": _looked_up(name, combine, "f") for name, combine in OPERATIONS[:1]}
FROM_ZERO = {
    f"{name}_{kind}": _from_zero(name, combine, kind)
    for name, combine in OPERATIONS
    for kind in "fdi"
}
FROM_GIVEN = {
    f"{name}_{kind}": _from_given(name, combine, kind)
    for name, combine in OPERATIONS
    for kind in "fdi"
}


@program("iI")
def flat_index(index: Word, size: Word) -> Word:
    """Return the index, counted from the end if it is negative; -1 if it is out of range."""
    return _wrapped(index, size)


@program("iiI")
def flat_index_after(before: Word, index: Word, size: Word) -> Word:
    """Return the row-major index of two: `before` in leading dimensions, `index` in the last."""
    last = _wrapped(index, size)
    return where((before < 0) | (last < 0), -1, before * size + last)


def _wrapped(index: Word, size: Word) -> Word:
    moved = where(index < 0, index + size, index)
    return where((moved < 0) | (moved >= size), -1, moved)


@program("iff")
def mean_of(count: Word, total: Word, otherwise: Word) -> Word:
    """Return the total over the count; `otherwise` where nothing was counted."""
    return where(count > 0, total / to_float(count), otherwise)


@program("iff")
def chosen_if_any(count: Word, made: Word, otherwise: Word) -> Word:
    """Return `made`; `otherwise` where nothing was counted."""
    return where(count > 0, made, otherwise)


@program("idd")
def mean_of_d(count: Word, total: Word, otherwise: Word) -> Word:
    """Return the total over the count; `otherwise` where nothing was counted."""
    return where(count > 0, total / to_double(count), otherwise)


@program("idd")
def chosen_if_any_d(count: Word, made: Word, otherwise: Word) -> Word:
    """Return `made`; `otherwise` where nothing was counted."""
    return where(count > 0, made, otherwise)


@program("iiI")
def affine(last: Word, first: Word, step: Word) -> Word:
    """Return `first * step + last`."""
    return first * step + last


@program("iii")
def count_at_most(carry: Word, offset: Word, at: Word) -> Word:
    """Return a fold's next carry: one more if the offset is at most the place."""
    return where(offset <= at, carry + 1, carry)


@program("iiI")
def unless_index(value: Word, index: Word, excluded: Word) -> Word:
    """Return the value; -1 where the index is the one excluded."""
    return where(equal(index, excluded), -1, value)


@program("ffi")
def place_if_same(a: Word, b: Word, place: Word) -> Word:
    """Return the place where both are the same, two NaN included; else the largest integer."""
    same = equal(a, b) | (is_nan(a) & is_nan(b))
    return where(same, place, (1 << 63) - 1)


@program("ii")
def place_if_any(place: Word, count: Word) -> Word:
    """Return the place; -1 where nothing was counted."""
    return where(count > 0, place, -1)


@program("fi")
def over_count(a: Word, count: Word) -> Word:
    """Return `a` over the count; `a` where nothing was counted."""
    return where(count > 0, a / to_float(count), a)


@program("fifif")
def gathered_term(carry: Word, row: Word, a: Word, column: Word, b: Word) -> Word:
    """Return a contraction's next carry, between rows that were looked up."""
    return fma(a, b, carry)


@program("fiI")
def zero_at(a: Word, index: Word, excluded: Word) -> Word:
    """Return `a`; 0 where the index is the one excluded."""
    return where(equal(index, excluded), 0.0, a)


@program("ff")
def square_term(carry: Word, a: Word) -> Word:
    """Return the next carry of a sum of squares."""
    return fma(a, a, carry)


@program("ff")
def magnitude_term(carry: Word, a: Word) -> Word:
    """Return the next carry of a sum of magnitudes."""
    return carry + word.absolute(a)


@program("fFF")
def shrinking(size: Word, limit: Word, norm_type: Word) -> Word:
    """Return what a row is multiplied by to be no longer than `limit`, given its squares' sum."""
    norm = where(equal(norm_type, 2.0), sqrt(size), size)
    return where(norm > limit, limit / (norm + 1e-7), 1.0)


CONSTANT = {kind: Definition(f"constant_{kind}", kind.upper(), lambda a: a) for kind in "fdi"}
"""The word itself, for every element."""

second = {kind: Definition(f"second_{kind}", f"i{kind}", lambda index, a: a) for kind in "fdi"}
"""What was read at an index."""
