"""What orders elements: which of two comes first, and whose turn it is.

NaN counts as greater than every number, the zeros as equal. Of equals the first comes first,
whether the order ascends or descends.
"""

from __future__ import annotations

from gensyn_lightning.repops.word import Definition, Word, equal, family, is_nan, program, where


def _comes_before(ascending: bool, kind: str) -> Definition:
    def term(carry: Word, mine: Word, other: Word, at: Word, of_other: Word) -> Word:
        low, high = (other, mine) if ascending else (mine, other)
        before, same = low < high, equal(mine, other)
        if kind != "i":
            before = before | (is_nan(high) & (is_nan(low) ^ 1))
            same = same | (is_nan(mine) & is_nan(other))
        return carry + (before | (same & (of_other < at)))

    name = "ascending" if ascending else "descending"
    return Definition(f"order_{name}_{kind}", f"i{kind}{kind}ii", term)


ascending_rank = {each: _comes_before(True, each) for each in "fdi"}
"""Count elements that come before one; the fold's carry is first."""

descending_rank = {each: _comes_before(False, each) for each in "fdi"}
"""Count elements that come before one, the greatest first."""


@family("if", "id", "ii")
def order_nans(carry: Word, x: Word) -> Word:
    """Count NaN."""
    return carry if x.kind == "i" else carry + is_nan(x)


@family("iffii", "iddii", "iiiii")
def order_repeats(carry: Word, mine: Word, other: Word, at: Word, of_other: Word) -> Word:
    """Count an element and its equals before it; NaN has no equal."""
    earlier = equal(mine, other) & (of_other < at)
    return carry + (equal(at, of_other) | earlier)


@program("ii")
def order_most(carry: Word, x: Word) -> Word:
    """Keep the larger."""
    return where(carry < x, x, carry)


@program("iiii")
def order_lowest(carry: Word, repeats: Word, most: Word, rank: Word) -> Word:
    """Keep the lower rank of those that are repeated most; a carry below 0 is none."""
    better = (carry < 0) | (rank < carry)
    return where(equal(repeats, most) & better, rank, carry)


@program("iII")
def order_given(at: Word, first: Word, count: Word) -> Word:
    """Return the rank of result `at`, counted from `first`."""
    return at + first


@program("iII")
def order_median(nans: Word, first: Word, count: Word) -> Word:
    """Return the rank of the lower median, or of the first NaN if there is any."""
    return where(nans, count - nans, (count - 1) >> 1)


@program("iII")
def order_nanmedian(nans: Word, first: Word, count: Word) -> Word:
    """Return the rank of the lower median of what is no NaN, or of the first NaN of all."""
    return where(equal(nans, count), 0, (count - nans - 1) >> 1)


@program("iiii")
def order_place(carry: Word, rank: Word, wanted: Word, at: Word) -> Word:
    """Keep the place of the element whose rank is wanted."""
    return where(equal(rank, wanted), at, carry)
