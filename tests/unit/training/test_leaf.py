"""A leaf's bytes are those of its record, and its row says all of it."""

from __future__ import annotations

import pytest

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import encode
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.training import leaf
from gensyn_lightning.training.leaf import Alias, Leaf

LEAVES = (
    Leaf("a", "tensor", digest_of(b"1"), "float32", (2, 3)),
    Leaf("b", "parameter", digest_of(b"2"), "bfloat16", (4,), requires_grad=True),
    Leaf("c", "tensor", digest_of(b"3"), "int8", (2, 2), (1, 2), alias=Alias("a", -4)),
    Leaf("d/é", "array", digest_of(b"4"), "<U3", ()),
    Leaf("e", "value", digest_of(b"5")),
)


def test_the_root_is_a_merkle_root_over_canonical_records() -> None:
    assert leaf.root(LEAVES) == merkle.root([encode(leaf.record(each)) for each in LEAVES])


def test_every_row_is_read_as_the_leaf_it_was() -> None:
    for each in LEAVES[:4]:
        assert leaf.from_row(leaf.to_row(each)) == each


@pytest.mark.parametrize("other", range(1, 5))
def test_every_part_of_a_leaf_changes_its_form(other: int) -> None:
    assert leaf.form(LEAVES[0]) != leaf.form(LEAVES[other])


def test_leaves_stand_in_the_order_of_their_paths_as_bytes() -> None:
    names = ["\U00010000", "\uffff", "a/b", "a", "B"]
    ordered = leaf.in_order(Leaf(each, "value", digest_of(b"")) for each in names)
    assert [each.path for each in ordered] == ["B", "a", "a/b", "\uffff", "\U00010000"]


def test_two_leaves_of_one_name_are_refused() -> None:
    with pytest.raises(StateError, match="two leaves"):
        leaf.in_order([LEAVES[0], LEAVES[0]])


def test_too_many_leaves_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf, "LEAVES_MAX", 3)
    with pytest.raises(LimitExceeded):
        leaf.in_order(LEAVES)
