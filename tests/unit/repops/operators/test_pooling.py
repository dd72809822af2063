"""Pools and their inverses: near to binary64, kernels as stages, ties and what is no number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.repops import library
from gensyn_lightning.repops.registry import reproducible

# Torch warns of running without kernels.
pytestmark = pytest.mark.filterwarnings("ignore")
Call = Callable[[Tensor], Any]
SHAPES = {1: (2, 3, 9), 2: (1, 2, 7, 8), 3: (1, 2, 4, 5, 6)}
CALLS: dict[tuple[int, str], Call] = {}


def pool(name: str, rank: int) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(F, f"{name}{rank}d")
    return found


def unpooled(x: Tensor, rank: int) -> Tensor:
    values, places = pool("max_pool", rank)(x, 2, return_indices=True)
    found: Tensor = pool("max_unpool", rank)(values, places, 2, output_size=x.shape[2:])
    return found


for _rank in SHAPES:
    CALLS |= {
        (_rank, "max"): lambda x, n=_rank: pool("max_pool", n)(x, 3, 2, 1),
        (_rank, "max dilated"): lambda x, n=_rank: pool("max_pool", n)(x, 2, 1, 0, 2),
        (_rank, "max ceil"): lambda x, n=_rank: pool("max_pool", n)(x, 2, 2, ceil_mode=True),
        (_rank, "max overlapping"): lambda x, n=_rank: pool("max_pool", n)(x, 3, 1, 1),
        (_rank, "max of one"): lambda x, n=_rank: pool("max_pool", n)(x[0], 2),
        (_rank, "mean"): lambda x, n=_rank: pool("avg_pool", n)(x, 3, 2, 1),
        (_rank, "mean ceil"): lambda x, n=_rank: pool("avg_pool", n)(x, 2, 2, 1, True, False),
        (_rank, "mean without padding"): lambda x, n=_rank: pool("avg_pool", n)(
            x, 3, 2, 1, count_include_pad=False
        ),
        (_rank, "adaptive mean"): lambda x, n=_rank: pool("adaptive_avg_pool", n)(x, 3),
        (_rank, "adaptive mean of all"): lambda x, n=_rank: pool("adaptive_avg_pool", n)(x, 1),
        (_rank, "adaptive mean to more"): lambda x, n=_rank: pool("adaptive_avg_pool", n)(x, 9),
        (_rank, "adaptive max"): lambda x, n=_rank: pool("adaptive_max_pool", n)(x, 3),
        (_rank, "adaptive max to more"): lambda x, n=_rank: pool("adaptive_max_pool", n)(x, 9),
        (_rank, "norm"): lambda x, n=_rank: pool("lp_pool", n)(x.abs() + 0.1, 3.0, 2),
        (_rank, "inverse"): lambda x, n=_rank: unpooled(x, n),
    }
SAMPLES = torch.tensor([0.11, 0.83, 0.42, 0.67, 0.93, 0.25] * 3)
CALLS |= {
    (2, "divided by another number"): lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    (3, "divided by another number"): lambda x: F.avg_pool3d(x, 2, divisor_override=3),
    (2, "oblong"): lambda x: F.avg_pool2d(x, (1, 3), (2, 1), (0, 1)),
    (2, "max of channels last"): lambda x: F.max_pool2d(
        x.to(memory_format=torch.channels_last), 3, 2
    ),
    (2, "mean of channels last"): lambda x: F.avg_pool2d(
        x.to(memory_format=torch.channels_last), 3, 2
    ),
    (2, "fractional"): lambda x: F.fractional_max_pool2d(
        x, 2, (4, 5), _random_samples=SAMPLES[:4].reshape(1, 2, 2).to(x.dtype)
    ),
    (3, "fractional"): lambda x: F.fractional_max_pool3d(
        x, 2, (2, 3, 4), _random_samples=SAMPLES[:6].reshape(1, 2, 3).to(x.dtype)
    ),
}
WRONG: dict[str, tuple[int, Call]] = {
    "more padding than half": (2, lambda x: F.max_pool2d(x, 2, 1, 2)),
    "a window too large": (2, lambda x: F.avg_pool2d(x, 20)),
    "a stride of nothing": (2, lambda x: F.max_pool2d(x, 2, 0)),
    "too few dimensions": (2, lambda x: F.max_pool2d(x[0, 0], 2)),
    "places outside": (
        1,
        lambda x: F.max_unpool1d(x, torch.full(x.shape, 99, dtype=torch.int64), 2),
    ),
    "fractional windows too large": (
        2,
        lambda x: F.fractional_max_pool2d(x, 5, (7, 7), _random_samples=torch.rand(1, 2, 2)),
    ),
}


def values(rank: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return numbers that are all different, and the same in any computation."""
    shape = SHAPES[rank]
    count = torch.Size(shape).numel()
    places = torch.arange(count, dtype=torch.int64) * 379 % 1009
    return ((places - 400).double() / 256).reshape(shape).to(dtype)


def results_of(x: Tensor, call: Call) -> list[Tensor]:
    x = x.clone().requires_grad_()
    made = call(x)
    places = torch.arange(made.numel()).reshape(made.shape) * 7 % 16
    made.backward((places - 8).to(x.dtype) / 8)
    return [made.detach(), x.grad]


def all_results(dtype: torch.dtype) -> dict[tuple[int, str], list[Tensor]]:
    return {name: results_of(values(name[0], dtype), call) for name, call in CALLS.items()}


@pytest.fixture(scope="module")
def right() -> dict[tuple[int, str], list[Tensor]]:
    return all_results(torch.float64)


@pytest.fixture(scope="module")
def by_stages() -> dict[tuple[int, str], list[Tensor]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: None)
        with reproducible():
            return all_results(torch.float32)


@pytest.fixture(scope="module", autouse=True)
def computing(right: Any, by_stages: Any) -> Iterator[None]:
    with reproducible():
        yield


@pytest.mark.parametrize("name", CALLS, ids=str)
def test_results_and_gradients_are_near_to_binary64(name: tuple[int, str], right: Any) -> None:
    found = results_of(values(name[0], torch.float32), CALLS[name])
    for ours, exact in zip(found, right[name], strict=True):
        assert ours.shape == exact.shape
        assert ours.stride() == exact.stride()
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CALLS, ids=str)
def test_kernels_compute_what_the_stages_say(name: tuple[int, str], by_stages: Any) -> None:
    found = results_of(values(name[0], torch.float32), CALLS[name])
    assert all(map(torch.equal, found, by_stages[name]))


@pytest.mark.parametrize("name", WRONG)
def test_what_torch_refuses_is_refused(name: str) -> None:
    rank, call = WRONG[name]
    with pytest.raises((RuntimeError, IndexError)):
        call(values(rank, torch.float32))


@pytest.mark.parametrize("name", [(2, "max"), (2, "mean"), (2, "adaptive mean"), (2, "inverse")])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_rounded_once(name: tuple[int, str], dtype: torch.dtype) -> None:
    x = values(name[0], dtype)
    half, whole = results_of(x, CALLS[name])[0], results_of(x.float(), CALLS[name])[0]
    assert half.dtype is dtype
    assert torch.equal(half, whole.to(dtype))


def test_of_equals_the_first_is_the_maximum() -> None:
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    found, places = F.max_pool2d(x, 2, return_indices=True)
    found.sum().backward()
    assert places.flatten().tolist() == [0, 2, 8, 10]
    assert x.grad.flatten().nonzero().flatten().tolist() == [0, 2, 8, 10]


def test_what_is_no_number_is_the_maximum() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    x[0, 0, 1, 0] = float("nan")
    found, places = F.max_pool2d(x, 2, return_indices=True)
    assert found[0, 0, 0, 0].isnan()
    assert int(places[0, 0, 0, 0]) == 4


def test_strides_change_nothing() -> None:
    x = values(2, torch.float32)
    spread = torch.zeros(1, 2, 14, 16)[..., ::2, ::2].copy_(x)
    last = x.to(memory_format=torch.channels_last)
    for call in (CALLS[2, "max"], CALLS[2, "mean"], CALLS[2, "adaptive mean"]):
        wanted = results_of(x, call)
        for other in (spread, last):
            assert all(map(torch.equal, results_of(other, call), wanted))


def test_pools_of_nothing_are_empty() -> None:
    assert F.max_pool2d(torch.zeros(0, 3, 4, 4), 2).shape == (0, 3, 2, 2)
    assert F.avg_pool2d(torch.zeros(0, 3, 4, 4), 2).shape == (0, 3, 2, 2)


def test_whole_numbers_have_a_maximum() -> None:
    x = torch.arange(16).reshape(1, 1, 4, 4)
    assert F.max_pool2d(x, 2).flatten().tolist() == [5, 7, 13, 15]
