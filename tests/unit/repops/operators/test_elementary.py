"""The exponential and the logarithm of binary64 tensors."""

import math

import pytest
import torch

from gensyn_lightning.repops.registry import reproducible

pytestmark = pytest.mark.filterwarnings("ignore:no compiled kernels")

UNIT = 2.0**-52
EDGES = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 709.7, 709.8, -744.0, -746.0]


def numbers(name: str) -> torch.Tensor:
    torch.manual_seed(3)
    near = torch.rand(4000, dtype=torch.float64)
    if name == "exp":
        return torch.cat([near * 1400 - 700, near - 0.5])
    return torch.cat([(near * 1400 - 700).exp(), near + 0.5])


@pytest.mark.parametrize("name", ["exp", "log"])
def test_results_are_at_most_three_units_off(name: str) -> None:
    x = numbers(name)
    wanted = getattr(torch, name)(x)
    with reproducible():
        found = getattr(torch, name)(x)
        again = getattr(torch, name)(x)
    assert torch.equal(found, again)
    torch.testing.assert_close(found, wanted, rtol=3 * UNIT, atol=0)


@pytest.mark.parametrize("name", ["exp", "log"])
def test_edges_are_those_of_torch(name: str) -> None:
    x = torch.tensor(EDGES, dtype=torch.float64)
    wanted = getattr(torch, name)(x)
    with reproducible():
        found = getattr(torch, name)(x)
    torch.testing.assert_close(found, wanted, rtol=3 * UNIT, atol=5e-324, equal_nan=True)


@pytest.mark.parametrize("name", ["exp", "log"])
def test_every_form_gradients_and_strides(name: str) -> None:
    x = (torch.rand(3, 4, dtype=torch.float64) + 0.5).t()
    function = getattr(torch, name)
    leaf = x.clone().requires_grad_()
    [wanted] = torch.autograd.grad(function(leaf).sum(), leaf)
    with reproducible():
        right = function(x)
        assert right.stride() == x.stride()
        out = torch.empty(0, dtype=torch.float64)
        assert function(x, out=out) is out
        inplace = x.clone()
        assert getattr(inplace, f"{name}_")() is inplace
        single = function(x, out=torch.empty(4, 3))
        with pytest.raises(RuntimeError, match="can't be cast"):
            function(x, out=torch.empty(4, 3, dtype=torch.int64))
        [gradient] = torch.autograd.grad(function(leaf).sum(), leaf)
    assert torch.equal(out, right)
    assert torch.equal(inplace, right)
    assert torch.equal(single, right.float())
    torch.testing.assert_close(gradient, wanted)


def test_positions_are_encoded_from_a_binary64_exponential() -> None:
    step = torch.arange(0, 8, 2, dtype=torch.float64) * -0.5
    wanted = torch.exp(step).float()
    with reproducible():
        assert torch.equal(torch.exp(step).float(), wanted)
