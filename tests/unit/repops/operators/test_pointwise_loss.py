"""Losses element by element: what shares are, and in which order gradients add up."""

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.repops.registry import reproducible

pytestmark = pytest.mark.filterwarnings("ignore:no compiled kernels")

HALF = torch.tensor([0.5, 0.25, 1.0, 0.0])


def message(x: torch.Tensor, target: torch.Tensor) -> str:
    with pytest.raises(RuntimeError) as caught:
        F.binary_cross_entropy(x, target)
    return str(caught.value)


@pytest.mark.parametrize("bad", [1.5, -0.25, math.nan, math.inf])
@pytest.mark.parametrize("which", ["input", "target"])
def test_what_is_no_share_is_the_error_it_is_in_torch(which: str, bad: float) -> None:
    wrong = HALF.clone()
    wrong[2] = bad
    pair = (wrong, HALF) if which == "input" else (HALF, wrong)
    wanted = message(*pair)
    assert which in wanted
    with reproducible():
        F.binary_cross_entropy(HALF, HALF)
        F.binary_cross_entropy(HALF, HALF)
        assert message(*pair) == wanted


def test_shares_and_nothing_at_all_have_a_loss_and_gradients() -> None:
    x = torch.rand(5, 7, requires_grad=True)
    target = torch.rand(5, 7)
    wanted = F.binary_cross_entropy(x.double(), target.double())
    [gradient] = torch.autograd.grad(wanted, x)
    with reproducible():
        found = F.binary_cross_entropy(x, target)
        [ours] = torch.autograd.grad(found, x)
        assert F.binary_cross_entropy(torch.empty(0), torch.empty(0)).isnan()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours, gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("log_target", [False, True])
def test_a_target_used_twice_gets_its_gradient_in_one_order(log_target: bool) -> None:
    x, weight = torch.linspace(-3, 2, 60), torch.linspace(-1, 2, 60)
    target, *uses = (torch.linspace(0.05, 0.95, 60).requires_grad_() for _ in range(4))
    with reproducible():
        made = F.kl_div(x, target, reduction="none", log_target=log_target)
        one, two, three = uses
        apart = one.exp() * (two - x) if log_target else torch.xlogy(one, two) - three * x
        parts = torch.autograd.grad(apart, uses[: 2 if log_target else 3], weight)
        [gradient] = torch.autograd.grad(made, target, weight)
    assert torch.equal(gradient, sum(parts[1:], parts[0]))
