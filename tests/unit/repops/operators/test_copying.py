from __future__ import annotations

import math

import pytest
import torch

from gensyn_lightning.repops import registry

EDGES = [0.0, -0.0, 0.5, -0.5, 1.5, 3e9, -3e9, 1e30, -1e30, math.inf, -math.inf, math.nan, 1e-40]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


def saturated(value: float, bits: int) -> int:
    """Towards zero into 64 bits, NaN as 0, saturating; then modulo the width."""
    if math.isnan(value):
        return 0
    low, high = -(1 << 63), (1 << 63) - 1
    whole = low if value < low else high if value > high else int(value)
    return whole % (1 << bits)


@pytest.mark.parametrize("source", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("target", INTEGERS)
def test_numbers_become_integers_by_rule(source: torch.dtype, target: torch.dtype) -> None:
    given = torch.tensor(EDGES, dtype=torch.float64).to(source)
    width = torch.iinfo(target).bits
    with registry.reproducible():
        made = given.to(target)
    expected = [saturated(each, width) for each in given.tolist()]
    assert [each % (1 << width) for each in made.tolist()] == expected


@pytest.mark.parametrize("source", [torch.float32, torch.float64])
@pytest.mark.parametrize("target", [torch.bfloat16, torch.float16, torch.float32])
def test_narrowing_rounds_as_stock_does(source: torch.dtype, target: torch.dtype) -> None:
    given = torch.linspace(-70000, 70000, 1001, dtype=torch.float64).to(source)
    expected = given.to(target)
    with registry.reproducible():
        made = given.to(target)
    assert made.dtype is target
    assert torch.equal(made, expected)


@pytest.mark.parametrize(("target", "word"), [(torch.bfloat16, 0x7FC0), (torch.float16, 0x7E00)])
def test_a_rounded_nan_is_the_one_nan(target: torch.dtype, word: int) -> None:
    given = torch.full((40,), math.nan).view(torch.int32)
    given[1::2] |= -(1 << 31)
    with registry.reproducible():
        made = given.view(torch.float32).to(target).view(torch.int16)
    assert set(made.tolist()) == {word}


def test_truth_is_what_is_not_zero() -> None:
    with registry.reproducible():
        assert torch.tensor([0.0, -0.0, 0.5, math.nan]).to(torch.bool).tolist() == [
            False, False, True, True,
        ]  # fmt: skip


def test_a_copy_broadcasts_and_minds_strides_and_overlaps() -> None:
    target = torch.zeros(3, 4, dtype=torch.int32).t()
    with registry.reproducible():
        target.copy_(torch.tensor([1.5, 2.5, 3.5]))
        assert target.tolist() == [[1, 2, 3]] * 4
        line = torch.arange(6, dtype=torch.int64)
        line[1:].copy_(line[:-1].clone())
        assert line.tolist() == [0, 0, 1, 2, 3, 4]


def test_gradients_flow_through_a_conversion() -> None:
    x = torch.ones(3, requires_grad=True)
    with registry.reproducible():
        x.to(torch.bfloat16).backward(torch.full((3,), 2.0, dtype=torch.bfloat16))
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]
    assert x.grad.dtype is torch.float32
