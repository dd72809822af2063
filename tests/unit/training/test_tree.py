"""Paths name values without two of them meeting, and trees are written in one way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gensyn_lightning.errors import Malformed
from gensyn_lightning.training import tree

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.one_of(texts, st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.none())


@given(keys, keys)
def test_two_keys_of_one_dict_have_different_segments(left: object, right: object) -> None:
    alike = type(left) is type(right) and left == right
    assert (tree.segment(left) == tree.segment(right)) == alike


@given(keys)
def test_a_segment_is_no_path(key: object) -> None:
    text = tree.segment(key)
    assert text
    assert "/" not in text
    assert len(text) <= 128
    assert text != "__metadata__"


def test_ordinary_names_stand_as_they_are() -> None:
    assert tree.segment("layer1.0.weight") == "layer1.0.weight"
    assert tree.segment(3) == "3"
    assert tree.segment("3") == "~23"
    assert tree.child("", "model") == "model"
    assert tree.child("model", "a/b") == "model/a~1b"
    assert tree.item("model", 4) == "model/4"


def test_the_first_two_levels_are_cut_into_leaves() -> None:
    def dict_of(**entries: object) -> object:
        return {"$dict": [[key, value] for key, value in entries.items()]}

    inner = dict_of(deep=dict_of(deeper=1))
    content = dict_of(model=dict_of(w=tree.LEAF, extra=inner), loops=3)
    paths = [each.path for each in tree.value_leaves(content)]
    assert paths == ["", "model", "model/extra", "loops"]


@pytest.mark.parametrize("text", ["1.5", "NaN", "1e3", '{"b":1,"a":2}', "[1, 2]", '"\\u0061"', ""])
def test_only_the_one_way_of_writing_is_read(text: str) -> None:
    with pytest.raises(Malformed):
        tree.loads(text.encode())
