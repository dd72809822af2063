from __future__ import annotations

import math

import pytest
import torch

from gensyn_lightning.repops import registry


def unscale(grads: list[torch.Tensor], scale: float = 0.5) -> float:
    found = torch.zeros(1)
    torch._amp_foreach_non_finite_check_and_unscale_(grads, found, torch.tensor(scale))
    return float(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_gradients_are_unscaled(dtype: torch.dtype) -> None:
    grads = [torch.arange(7.0).to(dtype), torch.ones((), dtype=dtype), torch.ones(0, dtype=dtype)]
    with registry.reproducible():
        assert unscale(grads) == 0
    assert grads[0].tolist() == [each / 2 for each in range(7)]
    assert grads[1].item() == 0.5


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("size", [1, 511, 513, 100_000])
def test_one_number_that_is_not_finite_is_found(bad: float, size: int) -> None:
    for at in {0, size // 2, size - 1}:
        grads = [torch.zeros(3), torch.zeros(size)]
        grads[1][at] = bad
        with registry.reproducible():
            assert unscale(grads) == 1


def test_a_gradient_with_strides_is_searched_too() -> None:
    wide = torch.zeros(4, 6)
    wide[2, 3] = math.inf
    with registry.reproducible():
        assert unscale([wide[:, ::2]]) == 0
        assert unscale([wide[:, 1::2].t()]) == 1


def test_what_was_found_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with registry.reproducible():
            found = torch.ones(1)
            torch._amp_foreach_non_finite_check_and_unscale_(
                [torch.zeros(40)], found, torch.tensor(1.0)
            )
            assert float(found) == 1
            assert unscale([torch.full((40,), math.nan)]) == 1
            assert unscale([torch.full((40,), 2.0**127, dtype=torch.float64)]) == 0
        monkeypatch.setattr(registry, "loaded", lambda: None)


def test_nan_of_unscaling_is_the_one_nan() -> None:
    grads = [torch.full((3,), math.inf)]
    with registry.reproducible():
        unscale(grads, scale=0.0)
    assert set(grads[0].view(torch.int32).tolist()) == {0x7FC00000}


def test_the_scale_follows_stock() -> None:
    generator = torch.Generator().manual_seed(0)
    found = (torch.rand(60, generator=generator) < 0.2).float()

    def scales() -> list[float]:
        scale, tracker = torch.tensor(65536.0), torch.tensor(0, dtype=torch.int32)
        made = []
        for each in found:
            torch._amp_update_scale_(scale, tracker, each.reshape(1), 2.0, 0.5, 3)
            made.append((float(scale), int(tracker)))
        return made

    expected = scales()
    with registry.reproducible():
        assert scales() == expected


def test_a_scale_that_would_overflow_stays() -> None:
    scale, tracker = torch.tensor(3e38), torch.tensor(0, dtype=torch.int32)
    with registry.reproducible():
        torch._amp_update_scale_(scale, tracker, torch.zeros(1), 2.0, 0.5, 1)
    assert float(scale) == float(torch.tensor(3e38))
    assert int(tracker) == 0
