"""Places drawn by weight: the chances, the limits, and the same places for the same seed."""

import pytest
import torch

from gensyn_lightning.repops.registry import reproducible


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_places_are_drawn_in_proportion_to_their_weights(dtype: torch.dtype) -> None:
    weights = torch.tensor([1.0, 0.0, 3.0, 4.0], dtype=dtype)
    torch.manual_seed(5)
    with reproducible():
        found = torch.multinomial(weights, 8000, replacement=True)
    shares = torch.bincount(found, minlength=4) / 8000
    assert torch.allclose(shares, torch.tensor([0.125, 0.0, 0.375, 0.5]), atol=0.02)


def test_without_replacement_no_place_comes_twice_and_the_first_has_its_chance() -> None:
    weights = torch.tensor([[1.0, 0.0, 3.0, 4.0]]).expand(4000, 4)
    torch.manual_seed(6)
    with reproducible():
        found = torch.multinomial(weights, 3)
    assert (found.sort(-1).values == torch.tensor([0, 2, 3])).all()
    first = torch.bincount(found[:, 0], minlength=4) / 4000
    assert torch.allclose(first, torch.tensor([0.125, 0.0, 0.375, 0.5]), atol=0.03)


def test_the_same_generator_draws_the_same_places() -> None:
    weights = torch.rand(2, 9)
    with reproducible():
        made = [
            torch.multinomial(weights, 4, generator=torch.Generator().manual_seed(3))
            for _ in range(2)
        ]
    assert torch.equal(*made)


@pytest.mark.parametrize("weights", [[-1.0, 2.0], [float("nan"), 1.0], [0.0, 0.0]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with reproducible(), pytest.raises(RuntimeError):
        torch.multinomial(torch.tensor(weights), 1)


def test_a_weighted_sampler_draws() -> None:
    sampler = torch.utils.data.WeightedRandomSampler([0.1, 0.9, 0.5], 20)
    with reproducible():
        assert set(sampler) <= {0, 1, 2}
