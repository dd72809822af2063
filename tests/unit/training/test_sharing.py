"""Shared memory is found where bytes overlap, and rebuilt only within bounds."""

from __future__ import annotations

import pytest

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.protocol.digest import ZERO
from gensyn_lightning.training import sharing
from gensyn_lightning.training.leaf import Alias, Leaf


def tensor(path: str, count: int, alias: Alias | None = None, dtype: str = "float32") -> Leaf:
    return Leaf(path, "tensor", ZERO, dtype, (count,), alias=alias)


def test_overlapping_spans_are_found_through_others() -> None:
    spans = [(10, 20), (0, 5), (15, 30), (5, 8), (29, 31), (40, 41)]
    assert sharing.overlapping(spans) == [[1], [3], [0, 2, 4], [5]]


def test_twins_carry_their_bytes_once() -> None:
    twin = Alias("a", 0)
    leaves = [
        tensor("a", 4),
        tensor("b", 4, twin),
        tensor("c", 2, twin),
        tensor("d", 2, twin),
        tensor("e", 4),
    ]
    found = sharing.sources(leaves)
    assert found == {"a": "a", "b": "a", "c": "c", "d": "c", "e": "e"}


def test_a_group_places_its_members_in_one_piece() -> None:
    (group,) = sharing.groups([tensor("a", 4), tensor("b", 4, Alias("a", -8))])
    assert group.span == 24
    assert group.offsets == (8, 0)


def test_members_are_placed_where_their_numbers_are_aligned() -> None:
    odd = tensor("b", 8, Alias("a", -3), dtype="int8")
    (group,) = sharing.groups([tensor("a", 4), odd])
    assert group.offsets[0] % 4 == 0
    assert group.offsets[0] - group.offsets[1] == 3


@pytest.mark.parametrize(
    "other",
    [
        tensor("b", 4, Alias("a", 16)),
        tensor("b", 4, Alias("a", 1 << 40)),
        tensor("b", 0, Alias("a", 0)),
        tensor("b", 4, Alias("a", 2)),
        tensor("b", 4, Alias("c", 0)),
        tensor("b", 4, Alias("b", 0)),
    ],
)
def test_sharing_that_cannot_be_is_refused(other: Leaf) -> None:
    with pytest.raises(StateError):
        sharing.groups([tensor("a", 4), other])


def test_memory_far_larger_than_what_fills_it_is_refused() -> None:
    sparse = Leaf("a", "tensor", ZERO, "float32", (2,), (1 << 30,))
    with pytest.raises(LimitExceeded, match="more memory"):
        sharing.groups([sparse])
