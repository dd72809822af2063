"""Embeddings, their bags and all gradients are near to stock's in binary64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import embedding, embedding_bag

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry

BAGS: list[dict[str, Any]] = [
    {"mode": "sum"},
    {"mode": "mean"},
    {"mode": "max"},
    {"mode": "mean", "padding_idx": 1},
    {"mode": "max", "padding_idx": 1},
    {"mode": "mean", "include_last_offset": True},
    {"mode": "sum", "weighted": True},
    {"mode": "sum", "weighted": True, "padding_idx": 3},
]
INDICES = torch.tensor([0, 1, 1, 3, 5, 1, 4])


def numbers(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    made = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    return torch.from_numpy(made).to(dtype)


def bag(options: dict[str, Any], dtype: torch.dtype, offsets: torch.Tensor) -> list[torch.Tensor]:
    """Return bags, the table's gradient and the gradient of weights if there are any."""
    given = {key: value for key, value in options.items() if key != "weighted"}
    table = numbers(dtype, 6, 4).requires_grad_()
    leaves = [table]
    if "weighted" in options:
        leaves.append(numbers(dtype, 7).requires_grad_())
        given["per_sample_weights"] = leaves[1]
    made = embedding_bag(INDICES, table, offsets, **given)
    gradients = torch.autograd.grad(made, leaves, numbers(dtype, *made.shape))
    return [made.detach(), *gradients]


def test_bags_are_near_to_those_of_binary64(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = torch.tensor([0, 2, 2, 5, 7])[: len(INDICES)]
    ends = {True: offsets, False: offsets[:4]}
    calls = [(each, ends["include_last_offset" in each]) for each in BAGS]
    expected = [bag(each, torch.float64, at) for each, at in calls]
    kept: list[list[torch.Tensor]] = []
    for _ in range(2):
        with registry.reproducible():
            made = [bag(each, torch.float32, at) for each, at in calls]
        for (call, _at), own, stock in zip(calls, made, expected, strict=True):
            for one, other in zip(own, stock, strict=True):
                assert torch.allclose(one.double(), other, rtol=1e-5, atol=1e-6), call
        kept.append([one for each in made for one in each])
        monkeypatch.setattr(registry, "loaded", lambda: None)
    assert all(map(torch.equal, *kept))


def test_gradients_are_divided_by_the_number_of_a_rows_own_uses() -> None:
    """Stock torch on the CPU divides some of a bag's rows by the number of another row's uses."""
    offsets = torch.tensor([0, 2, 2, 5])
    uses = torch.bincount(INDICES, minlength=6).clamp(min=1)[:, None]
    with registry.reproducible():
        [_, whole] = bag({"mode": "sum"}, torch.float32, offsets)
        [_, divided] = bag({"mode": "sum", "scale_grad_by_freq": True}, torch.float32, offsets)
    assert torch.equal(divided, whole / uses)


def test_gradients_of_tables_are_near_to_those_of_binary64() -> None:
    options: list[dict[str, Any]] = [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True}]

    def gradient(given: dict[str, Any], dtype: torch.dtype) -> torch.Tensor:
        table = numbers(dtype, 6, 4).requires_grad_()
        made = embedding(INDICES.reshape(7, 1), table, **given)
        return torch.autograd.grad(made, table, numbers(dtype, 7, 1, 4))[0]

    expected = [gradient(each, torch.float64) for each in options]
    with registry.reproducible():
        made = [gradient(each, torch.float32) for each in options]
    for one, other in zip(made, expected, strict=True):
        assert torch.allclose(one.double(), other, rtol=1e-5, atol=1e-6)


def test_a_sparse_gradient_is_refused() -> None:
    table = numbers(torch.float32, 6, 4).requires_grad_()
    with registry.reproducible():
        made = embedding_bag(INDICES, table, torch.tensor([0]), mode="sum", sparse=True)
        with pytest.raises(NotReproducible, match="sparse"):
            torch.autograd.grad(made, table, torch.ones(1, 4))
