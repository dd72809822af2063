"""Orders follow stock torch where that is bound, the definition everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from gensyn_lightning.repops import registry

FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
KINDS = [*FLOATS, torch.int64, torch.int32, torch.uint8, torch.bool]
Calls = dict[str, Callable[[torch.Tensor], Any]]
CALLS: Calls = {
    "sort": lambda x: torch.sort(x, dim=1, stable=True),
    "descending": lambda x: torch.sort(x, dim=0, descending=True),
    "argsort": lambda x: torch.argsort(x, dim=-1),
    "stable argsort": lambda x: torch.argsort(x, dim=0, stable=True),
    "msort": torch.msort,
    "topk": lambda x: torch.topk(x, 3, dim=1),
    "least": lambda x: torch.topk(x, 2, dim=0, largest=False, sorted=False),
    "kthvalue": lambda x: torch.kthvalue(x, 2, dim=1, keepdim=True),
    "median": torch.median,
    "median of rows": lambda x: torch.median(x, dim=1),
    "nanmedian": torch.nanmedian,
    "nanmedian of columns": lambda x: torch.nanmedian(x, dim=0, keepdim=True),
    "mode": lambda x: torch.mode(x, dim=1),
}


def sample(dtype: torch.dtype, *shape: int, seed: int = 0) -> torch.Tensor:
    """Return few different numbers, so that many are equal; NaN, infinities and both zeros."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(0, 9, shape, generator=generator)
    if not dtype.is_floating_point:
        return chosen.to(dtype)
    special = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -2.5, 1e-4, 3.0]
    return torch.tensor(special, dtype=dtype)[chosen]


def bits(values: Any) -> list[Any]:
    made = values if isinstance(values, tuple) else (values,)
    whole = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}
    return [each.contiguous().view(whole[each.element_size()]).tolist() for each in made]


def test_kernels_do_what_the_stages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for _ in range(2):
        with registry.reproducible():
            made.append(
                {
                    (name, dtype, at): bits(call(x))
                    for name, call in CALLS.items()
                    for dtype in KINDS
                    for at, x in enumerate(laid_out(dtype))
                }
            )
        monkeypatch.setattr(registry, "loaded", lambda: None)
    for each in made[0]:
        assert made[0][each] == made[1][each], each


def laid_out(dtype: torch.dtype) -> list[torch.Tensor]:
    return [sample(dtype, 6, 5), sample(dtype, 5, 6, seed=1).t(), sample(dtype, 9, 8)[::2, ::2]]


def test_a_sort_is_stock_torchs_stable_one() -> None:
    lengths, down = (1, 2, 47, 49, 300, 9000), (False, True)
    for dtype in (*FLOATS, torch.int64, torch.int16):
        given = [sample(dtype, 3, each) for each in lengths]
        given += [torch.randn(2, each).mul(50).to(dtype) for each in lengths]
        calls = [(each, descending) for each in given for descending in down]
        expected = [torch.sort(x, stable=True, descending=each) for x, each in calls]
        strides = [torch.sort(x.t(), dim=0).values.stride() for x, _ in calls]
        with registry.reproducible():
            for (x, descending), wanted, stride in zip(calls, expected, strides, strict=True):
                for stable in (None, True, False):
                    made = torch.sort(x, stable=stable, dim=-1, descending=descending)
                    assert bits(tuple(made)) == bits(tuple(wanted))
                along = torch.sort(x.t(), dim=0, descending=descending)
                assert torch.equal(along.indices, wanted.indices.t())
                assert x.shape[1] == 1 or along.values.stride() == stride


def test_parts_of_an_order_are_those_of_the_whole() -> None:
    with registry.reproducible():
        for dtype in (*FLOATS, torch.int32, torch.int64):
            for length in (40, 600, 30_000):
                check_parts(sample(dtype, 2, length))
                check_parts((torch.rand(2, length) * 180 - 90).to(dtype))


def check_parts(x: torch.Tensor) -> None:
    length = x.shape[1]
    up, down = torch.sort(x), torch.sort(x, descending=True)
    for k in (1, 7, length // 2, length):
        for whole, largest in ((up, False), (down, True)):
            values, places = torch.topk(x, k, largest=largest)
            assert torch.equal(places, whole.indices[:, :k])
            assert bits(values) == bits(whole.values[:, :k])
        assert torch.equal(torch.kthvalue(x, k).indices, up.indices[:, k - 1])
    nans = [sum(row) for row in x.isnan().tolist()]
    for at, nan in enumerate(nans):
        median = length - nan if nan else (length - 1) // 2
        assert x.median(1).indices[at] == up.indices[at, median]
        assert x.nanmedian(1).indices[at] == up.indices[at, (length - nan - 1) // 2]


def test_values_are_those_of_stock() -> None:
    names = ("median", "median of rows", "nanmedian", "kthvalue", "topk", "mode")
    # Stock torch's mode is at a loss where there are NaN among the elements.
    given = [
        (
            sample(dtype, 7, 31).nan_to_num(9.0, 8.0, 7.0)
            if each == "mode"
            else sample(dtype, 7, 31),
            each,
        )
        for dtype in KINDS[:-1]
        for each in names
    ]
    expected = [CALLS[name](x) for x, name in given]
    with registry.reproducible():
        made = [CALLS[name](x) for x, name in given]
    for one, other in zip(made, expected, strict=True):
        own, stock = (each if isinstance(each, torch.Tensor) else each[0] for each in (one, other))
        assert torch.equal(own.nan_to_num(9.0), stock.nan_to_num(9.0))
        assert (own.dtype, own.shape) == (stock.dtype, stock.shape)


def test_of_the_most_frequent_the_least_is_taken_and_its_last_place() -> None:
    nan = math.nan
    with registry.reproducible():
        assert torch.mode(torch.tensor([3.0, 1.0, 3.0, 1.0, 2.0]))[1].item() == 3
        assert torch.mode(torch.tensor([nan, 2.0, nan]))[0].item() == 2
        assert torch.mode(torch.tensor([nan, nan]))[1].item() == 0


def test_scalars_and_nothing_have_an_order() -> None:
    for x in (torch.tensor(2.0), torch.empty(0), torch.empty(3, 0), torch.empty(0, 3)):
        expected = torch.sort(x)
        with registry.reproducible():
            made = torch.sort(x)
            assert math.isnan(torch.empty(0).median().item())
            assert torch.topk(torch.tensor(2.0), 1).indices.item() == 0
            assert torch.median(torch.tensor(2.0), 0).values.item() == 2
        assert made.values.shape == expected.values.shape
        assert made.indices.shape == expected.indices.shape


def test_what_is_out_of_range_is_refused_as_torch_does() -> None:
    x = torch.ones(3, 4)
    with registry.reproducible():
        for call in (lambda: x.topk(5), lambda: x.kthvalue(0), lambda: x.kthvalue(5)):
            with pytest.raises(RuntimeError, match="out of range"):
                call()
        with pytest.raises(IndexError):
            torch.ones(2, 0).median(1)
        with pytest.raises(IndexError):
            x.sort(2)


def test_results_go_where_they_are_told() -> None:
    x = sample(torch.float32, 4, 6)
    values, places = torch.empty(0), torch.empty(0, dtype=torch.int64)
    with registry.reproducible():
        expected = torch.sort(x)
        torch.sort(x, out=(values, places))
        assert bits((values, places)) == bits(tuple(expected))
        wide = torch.zeros(8, 12)[::2, ::2]
        torch.sort(x, out=(wide, places))
        assert bits((wide, places)) == bits(tuple(expected))
        target = x.clone()
        torch.sort(target, out=(target, places))
        assert bits(target) == bits(expected.values)


def test_gradients_go_to_the_elements_chosen() -> None:
    calls: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda x: (x.sort(0).values * torch.arange(1, 29).reshape(7, 4)).sum(),
        lambda x: (x.topk(2, 1).values ** 2).sum(),
        lambda x: x.median() * 3,
        lambda x: x.nanmedian(0).values.sum(),
        lambda x: x.kthvalue(3, 1).values.sum(),
        lambda x: x.mode(1).values.sum(),
        lambda x: x.msort()[2:4].sum(),
    ]
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    expected = [gradient(call, x.double()) for call in calls]
    with registry.reproducible():
        made = [gradient(call, x) for call in calls]
    for one, other in zip(made, expected, strict=True):
        assert torch.allclose(one.double(), other, rtol=1e-6)


def gradient(call: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    own = x.clone().requires_grad_()
    call(own).backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None
    return own.grad
