"""Every draw: the same for the same seed or generator, of the right moments, kernels as stages."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import library
from gensyn_lightning.repops.registry import reproducible

COUNT = 20_000
FEW = 130  # by the reference, which is slow
F = nn.functional


@dataclass(frozen=True)
class Draw:
    """How to draw some numbers with a generator, and the mean and variance they ought to have."""

    make: Callable[[int, torch.Generator | None], Tensor]
    mean: float
    variance: float
    takes_generator: bool = True


def empty(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(count, dtype=dtype)


def full(count: int, value: float) -> Tensor:
    return torch.full((count,), value)


def dropout(kind: type[nn.Module], *shape: int) -> Callable[[int, Any], Tensor]:
    def make(count: int, generator: torch.Generator | None) -> Tensor:
        sizes = (count, *shape)
        found: Tensor = kind(0.25)(torch.ones(sizes)).reshape(count, -1)[:, 0]
        return found

    return make


DRAWS = {
    "rand": Draw(lambda n, g: torch.rand(n, generator=g), 0.5, 1 / 12),
    "rand bfloat16": Draw(lambda n, g: empty(n, torch.bfloat16).uniform_(generator=g), 0.5, 1 / 12),
    "rand float16": Draw(lambda n, g: empty(n, torch.float16).uniform_(generator=g), 0.5, 1 / 12),
    "rand float64": Draw(lambda n, g: torch.rand(n, generator=g, dtype=torch.float64), 0.5, 1 / 12),
    "rand_like": Draw(lambda n, g: torch.rand_like(empty(n)), 0.5, 1 / 12, False),
    "uniform_": Draw(lambda n, g: empty(n).uniform_(-3, 5, generator=g), 1.0, 64 / 12),
    "randn": Draw(lambda n, g: torch.randn(n, generator=g), 0.0, 1.0),
    "randn float64": Draw(lambda n, g: torch.randn(n, generator=g, dtype=torch.float64), 0.0, 1.0),
    "randn_like": Draw(lambda n, g: torch.randn_like(empty(n)), 0.0, 1.0, False),
    "normal_": Draw(lambda n, g: empty(n).normal_(2, 3, generator=g), 2.0, 9.0),
    "normal of numbers": Draw(lambda n, g: torch.normal(2.0, 3.0, (n,), generator=g), 2.0, 9.0),
    "normal about": Draw(lambda n, g: torch.normal(full(n, 2.0), 3.0, generator=g), 2.0, 9.0),
    "normal of width": Draw(lambda n, g: torch.normal(2.0, full(n, 3.0), generator=g), 2.0, 9.0),
    "normal of each": Draw(
        lambda n, g: torch.normal(full(n, 2.0), full(n, 3.0), generator=g), 2.0, 9.0
    ),
    "log_normal_": Draw(
        lambda n, g: empty(n).log_normal_(0.1, 0.5, generator=g),
        math.exp(0.225),
        (math.exp(0.25) - 1) * math.exp(0.45),
    ),
    "exponential_": Draw(lambda n, g: empty(n).exponential_(2.0, generator=g), 0.5, 0.25),
    "geometric_": Draw(lambda n, g: empty(n).geometric_(0.4, generator=g), 2.5, 0.6 / 0.16),
    "geometric_ int64": Draw(
        lambda n, g: empty(n, torch.int64).geometric_(0.4, generator=g), 2.5, 0.6 / 0.16
    ),
    # The Cauchy distribution has no moments, half of it lies within its width of its middle.
    "cauchy_": Draw(
        lambda n, g: (empty(n).cauchy_(1.0, 2.0, generator=g).sub(1.0).abs() < 2.0).float(),
        0.5,
        0.25,
    ),
    "bernoulli": Draw(lambda n, g: torch.bernoulli(full(n, 0.3), generator=g), 0.3, 0.21),
    "bernoulli p": Draw(lambda n, g: torch.bernoulli(empty(n), 0.3, generator=g), 0.3, 0.21),
    "bernoulli_": Draw(lambda n, g: empty(n).bernoulli_(0.3, generator=g), 0.3, 0.21),
    "bernoulli_ of each": Draw(
        lambda n, g: empty(n).bernoulli_(full(n, 0.3), generator=g), 0.3, 0.21
    ),
    "bernoulli_ int64": Draw(
        lambda n, g: empty(n, torch.int64).bernoulli_(0.3, generator=g), 0.3, 0.21
    ),
    "randint": Draw(lambda n, g: torch.randint(2, 12, (n,), generator=g), 6.5, 99 / 12),
    "randint_like": Draw(lambda n, g: torch.randint_like(empty(n), 10), 4.5, 99 / 12, False),
    "random_": Draw(lambda n, g: empty(n).random_(2, 12, generator=g), 6.5, 99 / 12),
    "randperm": Draw(lambda n, g: torch.randperm(n, generator=g).double() / n, 0.5, 1 / 12),
    "multinomial": Draw(
        lambda n, g: torch.multinomial(torch.tensor([1.0, 3.0]), n, True, generator=g),
        0.75,
        0.1875,
    ),
    "standard gamma": Draw(lambda n, g: torch._standard_gamma(full(n, 2.5), generator=g), 2.5, 2.5),
    "small gamma": Draw(lambda n, g: torch._standard_gamma(full(n, 0.4), generator=g), 0.4, 0.4),
    "dirichlet": Draw(
        lambda n, g: torch._sample_dirichlet(full(2 * n, 2.0).reshape(n, 2), generator=g)[:, 0],
        0.5,
        0.05,
    ),
    "poisson": Draw(lambda n, g: torch.poisson(full(n, 3.0), generator=g), 3.0, 3.0),
    "many of poisson": Draw(lambda n, g: torch.poisson(full(n, 30.0), generator=g), 30.0, 30.0),
    "binomial": Draw(
        lambda n, g: torch.binomial(full(n, 9.0), full(n, 0.6), generator=g), 5.4, 2.16
    ),
    "many of binomial": Draw(
        lambda n, g: torch.binomial(full(n, 90.0), full(n, 0.6), generator=g), 54.0, 21.6
    ),
    "dropout": Draw(dropout(nn.Dropout), 1.0, 1 / 3, False),
    "dropout1d": Draw(dropout(nn.Dropout1d, 1, 2), 1.0, 1 / 3, False),
    "dropout2d": Draw(dropout(nn.Dropout2d, 1, 2, 2), 1.0, 1 / 3, False),
    "dropout3d": Draw(dropout(nn.Dropout3d, 1, 2, 2, 2), 1.0, 1 / 3, False),
    "rrelu": Draw(
        lambda n, g: F.rrelu(full(n, -1.0), 0.2, 0.6, training=True), -0.4, 0.16 / 12, False
    ),
    "trunc_normal_": Draw(lambda n, g: nn.init.trunc_normal_(empty(n), generator=g), 0.0, 0.774),
}


@pytest.fixture(scope="module")
def by_stages() -> dict[str, Tensor]:
    """Return what the reference draws."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(library, "load", lambda: None)
        with reproducible():
            return {name: drawn(each, FEW) for name, each in DRAWS.items()}


@pytest.fixture(scope="module", autouse=True)
def computing(by_stages: dict[str, Tensor]) -> Iterator[None]:
    with reproducible():
        yield


def drawn(draw: Draw, count: int, seed: int = 7) -> Tensor:
    torch.manual_seed(seed)
    return draw.make(count, None)


@pytest.mark.parametrize("name", DRAWS)
def test_kernels_draw_what_the_stages_say(name: str, by_stages: Any) -> None:
    assert torch.equal(drawn(DRAWS[name], FEW), by_stages[name])


@pytest.mark.parametrize("name", DRAWS)
def test_the_moments_are_right(name: str) -> None:
    draw = DRAWS[name]
    found = drawn(draw, COUNT).double().numpy()
    width = math.sqrt(draw.variance / COUNT)
    assert abs(float(found.mean()) - draw.mean) < 5 * width
    assert abs(float(found.var()) / draw.variance - 1) < 0.12


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_names_a_draw(name: str) -> None:
    one, again, other = (drawn(DRAWS[name], FEW, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_draws_what_its_seed_says_and_nothing_else_moves(name: str) -> None:
    draw = DRAWS[name]
    if not draw.takes_generator:
        return
    before = torch.get_rng_state()
    made = draw.make(FEW, torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(made, drawn(draw, FEW))


def test_a_draw_of_nothing_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    for each in (torch.rand(0), torch.randn(3, 0), F.dropout(torch.ones(0))):
        assert each.numel() == 0
    assert torch.equal(torch.get_rng_state(), before)


def test_an_element_depends_on_its_place_only() -> None:
    torch.manual_seed(3)
    rows = torch.empty(5, 7).normal_()
    torch.manual_seed(3)
    turned = torch.empty(7, 5).t().normal_()
    assert torch.equal(rows, turned)


def test_uniform_draws_stay_below_their_end() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        found = torch.empty(100_000, dtype=dtype).uniform_()
        assert float(found.min()) >= 0
        assert float(found.max()) < 1


def test_normal_draws_follow_their_distribution() -> None:
    found = torch.randn(200_000).sort().values.double()
    chance = 0.5 * (1 + (found / math.sqrt(2)).float().erf().double())
    steps = torch.arange(1, 200_001, dtype=torch.float64) / 200_000
    assert float((chance - steps).abs().max()) < 1.63 / math.sqrt(200_000)


def test_a_permutation_has_every_place_once() -> None:
    assert torch.randperm(1000).sort().values.equal(torch.arange(1000))


def test_dropout_has_the_gradient_of_its_mask() -> None:
    x = torch.randn(1000).requires_grad_()
    found = F.dropout(x, 0.25)
    found.backward(torch.ones(1000))
    kept = found != 0
    assert torch.equal(x.grad, torch.where(kept, 1 / 0.75, torch.tensor(0.0)))


def test_dropout_of_nothing_or_everything_is_exact() -> None:
    x = torch.randn(10)
    assert torch.equal(F.dropout(x, 0.0), x)
    assert torch.equal(F.dropout(x, 1.0), torch.zeros(10))
    assert F.dropout(x, 0.5, training=False) is x or torch.equal(F.dropout(x, 0.5, False), x)


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    for kind in (nn.AlphaDropout, nn.FeatureAlphaDropout):
        found = kind(0.2)(torch.randn(200, 50, 4)).double().numpy()
        assert abs(float(found.mean())) < 0.05
        assert abs(float(found.var()) - 1) < 0.1


def test_checkpointed_blocks_draw_the_same_again() -> None:
    x = torch.randn(50, requires_grad=True)
    torch.manual_seed(1)
    F.dropout(x * 2, 0.5).sum().backward()
    right, x.grad = x.grad, None
    torch.manual_seed(1)
    block = lambda y: F.dropout(y * 2, 0.5)  # noqa: E731
    torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False).sum().backward()
    assert torch.equal(x.grad, right)


def test_parameters_out_of_range_are_refused_as_torch_does() -> None:
    with pytest.raises(RuntimeError):
        torch.empty(3).uniform_(2, 1)
    with pytest.raises(RuntimeError):
        torch.empty(3).normal_(0, -1)
    with pytest.raises(RuntimeError):
        torch.empty(3).exponential_(0)
    with pytest.raises(RuntimeError):
        torch.empty(3).geometric_(1.5)
    with pytest.raises(RuntimeError):
        torch.poisson(torch.tensor([-1.0]))
    with pytest.raises(NotReproducible):
        torch.binomial(torch.tensor([2]), torch.tensor([1]))


def test_gamma_draws_move_with_their_shape() -> None:
    shape = torch.tensor([0.3, 1.0, 4.0, 60.0]).repeat(500)
    drawn = torch._standard_gamma(shape)
    found = torch._standard_gamma_grad(shape, drawn)
    # The mean of a draw is its shape, so that on average it moves as much.
    assert torch.allclose(found.reshape(500, 4).mean(0), torch.ones(4), atol=0.15)


def test_shares_of_two_move_apart() -> None:
    alpha = torch.tensor([2.0, 3.0], requires_grad=True)
    found = torch.distributions.Dirichlet(alpha.expand(4000, 2)).rsample()
    found[:, 0].mean().backward()
    # The mean of the first is a / (a + b).
    assert torch.allclose(alpha.grad, torch.tensor([3 / 25, -2 / 25]), atol=0.01)
