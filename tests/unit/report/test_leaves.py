from __future__ import annotations

from typing import Any

import pytest

from gensyn_lightning.errors import GensynError
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.report.leaves import model_digest, read, read_structure
from gensyn_lightning.training import state
from gensyn_lightning.training.files import structure_bytes
from gensyn_lightning.training.leaf import VALUE, Leaf


def test_a_structure_gives_the_leaves_and_the_models_digest() -> None:
    import torch

    value = {"model": {"weight": torch.ones(3)}, "loops": {"epoch": 2}}
    encoded = state.encode(value)
    leaves = read_structure(structure_bytes(encoded))
    assert leaves == encoded.leaves
    assert model_digest(leaves) == state.model_digest(encoded)


def test_values_are_rows_too() -> None:
    digest = digest_of(b"").hex()
    row = {"kind": VALUE, "path": "loops", "digest": digest}
    assert read([row]) == (Leaf("loops", VALUE, digest_of(b"")),)


@pytest.mark.parametrize(
    "row",
    [
        {"kind": VALUE, "path": "loops"},
        {"kind": VALUE, "path": 1, "digest": "00" * 32},
        {"kind": VALUE, "path": "a", "digest": None},
        {"kind": VALUE, "path": "a", "digest": "00" * 32, "dtype": "float32"},
        {"kind": VALUE, "path": "a" * 5000, "digest": "00" * 32},
        {"path": "a", "digest": "00" * 32},
        [],
        None,
    ],
)
def test_another_form_is_refused(row: Any) -> None:
    with pytest.raises(GensynError):
        read([row])


def test_leaves_out_of_order_are_refused() -> None:
    rows = [{"kind": VALUE, "path": each, "digest": "00" * 32} for each in "ba"]
    with pytest.raises(GensynError, match="order"):
        read(rows)
