"""Draws by rejection: of the gamma, Dirichlet, Poisson and binomial distributions.

Proposals are drawn for all elements at a time, until every element has accepted one; how often
depends on values that are the same on every machine. Chances are computed in binary64.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, exp, log

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.operators.transcendental import log_gamma
from gensyn_lightning.repops.plan import broadcast

Generator = torch.Generator | None
Propose = Callable[[], tuple[Tensor, Tensor]]
_FEW = 10.0  # up to this mean, the chances of 0, 1, 2, ... are added up instead


@composed("_standard_gamma", out="_standard_gamma.out")
def standard_gamma(self: Tensor, generator: Generator = None) -> Tensor:
    """Return draws of the gamma distributions of these shapes, by Marsaglia and Tsang's method."""
    least = torch.finfo(self.dtype).tiny
    return _gamma(_checked("gamma", self), generator).to(self.dtype).clamp(min=least)


@composed("_sample_dirichlet", out="_sample_dirichlet.out")
def sample_dirichlet(self: Tensor, generator: Generator = None) -> Tensor:
    """Return draws of Dirichlet distributions: gamma draws, divided by their sums."""
    drawn = _gamma(_checked("dirichlet", self), generator).clamp(min=1e-300)
    least = torch.finfo(self.dtype).tiny
    return (drawn / drawn.sum(-1, keepdim=True)).to(self.dtype).clamp(min=least)


def _gamma(shape: Tensor, generator: Generator) -> Tensor:
    """Return gamma draws; a shape below 1 is raised by 1 and the draw scaled by a power."""
    small = shape < 1.0
    raised = torch.where(small, shape + 1.0, shape)
    base = raised - 1.0 / 3.0
    scale = 1.0 / (9.0 * base).sqrt()

    def propose() -> tuple[Tensor, Tensor]:
        normal = torch.empty(shape.shape, dtype=torch.float64).normal_(generator=generator)
        root = 1.0 + scale * normal
        cube = root * root * root
        chance = _uniform(shape, generator)
        bound = 0.5 * normal * normal + base * (1.0 - cube + log(cube.clamp(min=1e-300)))
        return base * cube, (root > 0) & (log(chance) < bound)

    found = _accepted(propose, shape.isnan() | ~(shape > 0))
    power = exp(log(_uniform(shape, generator)) / torch.where(small, shape, 1.0))
    found = torch.where(small, found * power, found)
    return torch.where(shape > 0, found, torch.where(shape == 0, 0.0, math.nan))


@composed("poisson", out="poisson.out")
def poisson(self: Tensor, generator: Generator = None) -> Tensor:
    """Return draws of the Poisson distributions of these means."""
    mean = _checked("poisson", self)
    if bool((mean < 0).any()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    few = _by_chances(exp(-mean), lambda k: mean / float(k), mean <= _FEW, generator)
    if bool((mean <= _FEW).all()):
        return few.to(self.dtype)
    return torch.where(mean <= _FEW, few, _many_events(mean, generator)).to(self.dtype)


def _many_events(mean: Tensor, generator: Generator) -> Tensor:
    """Return Poisson draws by Hörmann's transformed rejection (PTRS, 1993)."""
    safe = mean.clamp(min=_FEW)
    size, logarithm = safe.sqrt(), log(safe)
    b = 0.931 + 2.53 * size
    a = -0.059 + 0.02483 * b
    inverse = 1.1239 + 1.1328 / (b - 3.4)

    def propose() -> tuple[Tensor, Tensor]:
        u, v = _uniform(safe, generator) - 0.5, _uniform(safe, generator)
        away = 0.5 - u.abs()
        k = ((2.0 * a / away + b) * u + safe + 0.43).floor()
        chance = log(v * inverse / (a / (away * away) + b))
        bound = k * logarithm - safe - log_gamma(k.clamp(min=0.0) + 1.0)
        return k, (k >= 0) & (away > 0.0) & (chance <= bound)

    return _accepted(propose, mean <= _FEW)


@composed("binomial", out="binomial.out")
def binomial(count: Tensor, prob: Tensor, generator: Generator = None) -> Tensor:
    """Return how many of `count` trials succeed, each with its chance."""
    trials, chance = _checked("binomial", count), _checked("binomial", prob)
    shape = broadcast(trials.shape, chance.shape)
    trials, chance = trials.expand(shape), chance.expand(shape)
    if bool(((trials < 0) | (trials != trials.floor())).any()):
        raise RuntimeError("binomial: counts have to be whole numbers that are not negative")
    turned = chance > 0.5
    p = torch.where(turned, 1.0 - chance, chance).clamp(min=0.0)
    odds = p / (1.0 - p)
    mean = trials * p
    none = exp(trials * log(1.0 - p))
    few = _by_chances(
        none, lambda k: odds * (trials - float(k - 1)) / float(k), mean <= _FEW, generator
    )
    found = few
    if not bool((mean <= _FEW).all()):
        many = _many_successes(trials, torch.where(mean <= _FEW, 0.5, p), mean <= _FEW, generator)
        found = torch.where(mean <= _FEW, few, many)
    found = torch.minimum(found, trials)
    return torch.where(turned, trials - found, found).to(count.dtype)


def _many_successes(trials: Tensor, p: Tensor, done: Tensor, generator: Generator) -> Tensor:
    """Return binomial draws by Hörmann's transformed rejection (BTRS, 1993)."""
    trials = torch.where(done, 40.0, trials)
    size = (trials * p * (1.0 - p)).sqrt()
    b = 1.15 + 2.53 * size
    a = -0.0873 + 0.0248 * b + 0.01 * p
    middle, scale = trials * p + 0.5, (2.83 + 5.1 / b) * size
    mode, odds = ((trials + 1.0) * p).floor(), log(p / (1.0 - p))
    top = log_gamma(mode + 1.0) + log_gamma(trials - mode + 1.0)

    def propose() -> tuple[Tensor, Tensor]:
        u, v = _uniform(p, generator) - 0.5, _uniform(p, generator)
        away = 0.5 - u.abs()
        k = ((2.0 * a / away + b) * u + middle).floor()
        inside = torch.minimum(k.clamp(min=0.0), trials)
        chance = log(v * scale / (a / (away * away) + b))
        bound = top - log_gamma(inside + 1.0) - log_gamma(trials - inside + 1.0)
        return k, (k == inside) & (chance <= bound + (inside - mode) * odds)

    return _accepted(propose, done)


def _by_chances(
    none: Tensor, ratio: Callable[[int], Tensor], wanted: Tensor, generator: Generator
) -> Tensor:
    """Return the first number up to which the chances add up to more than a uniform draw.

    `none` is the chance of 0, `ratio(k)` that of k by that of k - 1.
    """
    drawn = torch.where(wanted, _uniform(none, generator), 0.0)
    found, chance, total, k = torch.zeros_like(none), none, none, 0
    while bool((wanted & (drawn > total) & (chance > 0)).any()):
        k += 1
        found = torch.where(drawn > total, found + 1.0, found)
        chance = torch.where(wanted, chance * ratio(k), 0.0).clamp(min=0.0)
        if k > _FEW:
            chance = torch.where(chance < 2.0**-60, 0.0, chance)
        total = total + chance
    return found


def _accepted(propose: Propose, done: Tensor) -> Tensor:
    """Return the first proposal that each element accepts."""
    found = torch.zeros(done.shape, dtype=torch.float64)
    while not bool(done.all()):
        value, accepted = propose()
        found = torch.where(~done & accepted, value, found)
        done = done | accepted
    return found


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    """Return numbers above 0 and below 1."""
    return torch.empty(like.shape, dtype=torch.float64).uniform_(generator=generator) + 2.0**-54


def _checked(name: str, x: Tensor) -> Tensor:
    if x.is_complex() or not x.is_floating_point():
        raise NotReproducible(f"{name} of {x.dtype} is not defined", hint="convert to float32")
    return x.double()
