"""Strides are computed as torch computes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import layout

FORMATS = {"channels_last": torch.channels_last, "channels_last_3d": torch.channels_last_3d}


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3, 4, 5), (1, 3, 1, 1), (2, 1, 3, 2, 2)])
def test_dense_strides_are_those_of_torch(shape: tuple[int, ...]) -> None:
    assert layout.dense_strides(shape, "contiguous") == torch.empty(shape).stride()
    for name, form in FORMATS.items():
        if len(shape) == layout.NAMED[name]:
            made = torch.empty(shape).to(memory_format=form)
            assert layout.dense_strides(shape, name) == made.stride()
        else:
            with pytest.raises(StateError):
                layout.dense_strides(shape, name)


def test_a_layout_has_a_name_or_its_strides() -> None:
    assert layout.layout_of((2, 3), (3, 1)) == "contiguous"
    assert layout.layout_of((2, 3), (1, 2)) == (1, 2)
    assert layout.layout_of((0, 3), (9, 9)) == "contiguous"
    assert layout.layout_of((2, 3, 4, 5), (60, 1, 15, 3)) == "channels_last"


def test_item_sizes_are_those_of_torch_and_numpy() -> None:
    for name, size in layout.ITEM_SIZES.items():
        assert getattr(torch, name).itemsize == size
    for name in ("|b1", "|i1", "<u2", ">i4", "<f8", "<c16", "|S7", "<U3", "<M8[ns]", "<m8[25s]"):
        assert layout.array_item_size(name) == np.dtype(name).itemsize


@pytest.mark.parametrize("name", ["<f16", "<c32", "|O8", "|V4", "i4", "<f8[ns]", "<U0", "<i3", ""])
def test_other_dtypes_are_refused(name: str) -> None:
    with pytest.raises(StateError):
        layout.array_item_size(name)


@pytest.mark.parametrize(
    ("shape", "steps"),
    [((5,), (100,)), ((3, 4), (1, 1000)), ((3, 4), (5000, 0)), ((2, 1), (90, 7))],
)
def test_loosened_strides_keep_their_order_with_small_gaps(
    shape: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    loose = layout.loosened(shape, steps)
    view = torch.empty(20_000).as_strided(shape, steps)
    made = torch.empty(20_000).as_strided(shape, loose)
    assert made.is_contiguous() == view.is_contiguous()
    moved = [axis for axis in range(len(shape)) if shape[axis] > 1]
    by_old = sorted(moved, key=lambda each: steps[each])
    assert by_old == sorted(moved, key=lambda each: loose[each])
    assert layout.extent(shape, loose, 1) <= 2 * view.numel() + 2
