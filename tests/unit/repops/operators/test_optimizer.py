from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry

SHAPES = [(3, 5), (), (0,), (17,), (2, 3, 4)]
FUSED = {
    "adam": lambda p, fused=True: torch.optim.Adam(p, lr=1e-2, weight_decay=0.1, fused=fused),
    "adam maximize": lambda p, fused=True: torch.optim.Adam(p, maximize=True, fused=fused),
    "adam amsgrad": lambda p, fused=True: torch.optim.Adam(
        p, weight_decay=0.1, amsgrad=True, fused=fused
    ),
    "adamw": lambda p, fused=True: torch.optim.AdamW(p, lr=1e-2, fused=fused),
    "adamw amsgrad": lambda p, fused=True: torch.optim.AdamW(p, amsgrad=True, fused=fused),
    "adamw tensor rate": lambda p, fused=True: torch.optim.AdamW(
        p, lr=torch.tensor(1e-2), fused=fused
    ),
    "sgd": lambda p, fused=True: torch.optim.SGD(p, lr=0.1, weight_decay=0.1, fused=fused),
    "sgd momentum": lambda p, fused=True: torch.optim.SGD(
        p, lr=0.1, momentum=0.9, dampening=0.1, fused=fused
    ),
    "sgd nesterov": lambda p, fused=True: torch.optim.SGD(
        p, lr=0.1, momentum=0.9, nesterov=True, fused=fused
    ),
    "adagrad": lambda p, fused=True: torch.optim.Adagrad(
        p, lr=0.1, lr_decay=0.1, eps=1e-6, fused=fused
    ),
}
Make = Callable[..., torch.optim.Optimizer]


def drawn(generator: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the same numbers within `reproducible()` and without: torch draws others there."""
    return torch.from_numpy(np.asarray(generator.standard_normal(shape), np.float32))


def spaced(first: float, last: float, count: int) -> torch.Tensor:
    return torch.from_numpy(np.linspace(first, last, count, dtype=np.float32))


def parameters(dtype: torch.dtype, seed: int = 0) -> list[torch.Tensor]:
    generator = np.random.default_rng(seed)
    made = [drawn(generator, each).to(dtype) for each in SHAPES]
    made.append(drawn(generator, (6, 4)).to(dtype).t())
    return [each.requires_grad_() for each in made]


def gradients(params: list[torch.Tensor], step: int) -> None:
    generator = np.random.default_rng(100 + step)
    for each in params:
        each.grad = drawn(generator, tuple(each.shape)).to(each.dtype)


def train(make: Make, dtype: torch.dtype, steps: int = 4, fused: bool = True) -> list[torch.Tensor]:
    params = parameters(dtype)
    optimizer = make(params, fused)
    for step in range(steps):
        gradients(params, step)
        optimizer.step()
    state = [one for each in optimizer.state.values() for one in each.values()]
    return [*params, *(each for each in state if isinstance(each, torch.Tensor))]


@contextmanager
def reference(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(registry, "loaded", lambda: None)
        with registry.reproducible():
            yield


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.dtype == b.dtype
        and a.detach().numpy(force=True).tobytes() == b.detach().numpy(force=True).tobytes()
    )


def bits(tensors: list[torch.Tensor]) -> list[list[Any]]:
    return [each.detach().double().reshape(-1).tolist() for each in tensors]


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_optimizers_agree_with_stock(name: str, dtype: torch.dtype) -> None:
    expected = train(FUSED[name], torch.float64, fused=False)  # fused ones mix up strides
    with registry.reproducible():
        found = train(FUSED[name], dtype)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_fused_kernels_have_the_bits_of_the_reference(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry.reproducible():
        found = train(FUSED[name], dtype, steps=2)
    with reference(monkeypatch):
        expected = train(FUSED[name], dtype, steps=2)
    assert bits(found) == bits(expected)


def test_a_half_precision_parameter_stays_close_to_stock() -> None:
    expected = train(FUSED["adamw"], torch.bfloat16, fused=False)
    with registry.reproducible():
        found = train(FUSED["adamw"], torch.bfloat16)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-2)


def test_threads_do_not_change_a_bit() -> None:
    def large() -> list[torch.Tensor]:
        param = spaced(-1, 1, 100_003).requires_grad_()
        param.grad = spaced(1, -2, 100_003)
        torch.optim.AdamW([param], fused=True).step()
        return [param]

    threads = torch.get_num_threads()
    with registry.reproducible():
        torch.set_num_threads(1)
        one = large()
        torch.set_num_threads(2)
        two = large()
    torch.set_num_threads(threads)
    assert bits(one) == bits(two)


def test_strides_of_a_gradient_do_not_change_a_bit() -> None:
    def step(transposed: bool) -> list[torch.Tensor]:
        param = spaced(-1, 1, 12).reshape(3, 4).requires_grad_()
        grad = spaced(1, -2, 12).reshape(3, 4)
        param.grad = grad.t().contiguous().t() if transposed else grad
        torch.optim.AdamW([param], fused=True).step()
        return [param]

    with registry.reproducible():
        assert bits(step(False)) == bits(step(True))


def test_an_infinity_found_leaves_everything_as_it_was() -> None:
    params = parameters(torch.float32)
    gradients(params, 0)
    state = [torch.ones_like(each) for each in params]
    before = copy.deepcopy([*params, *state])
    with registry.reproducible(), torch.no_grad():
        call_adamw(params, state, found=1.0)
        assert bits([*params, *state]) == bits(before)
        call_adamw(params, state, found=0.0)
    assert bits([*params, *state]) != bits(before)


def test_a_scale_divides_the_gradients() -> None:
    params, others = parameters(torch.float32), parameters(torch.float32)
    gradients(params, 0)
    gradients(others, 0)
    with torch.no_grad():
        for each in params:
            assert each.grad is not None
            each.grad.mul_(1024.0)
        state = [torch.ones_like(each) for each in params]
        other_state = [torch.ones_like(each) for each in params]
        with registry.reproducible():
            call_adamw(params, state, found=0.0, scale=1024.0)
            call_adamw(others, other_state, found=0.0, scale=1.0)
    assert bits([*params, *state]) == bits([*others, *other_state])
    assert bits([p.grad for p in params if p.grad is not None]) == bits(
        [p.grad for p in others if p.grad is not None]
    )


def call_adamw(
    params: list[torch.Tensor], state: list[torch.Tensor], *, found: float, scale: float = 1.0
) -> None:
    torch.ops.aten._fused_adamw_(
        params,
        [each.grad for each in params],
        state,
        [each.clone() for each in state],
        [],
        [torch.tensor(1.0) for _ in params],
        lr=1e-2,
        beta1=0.9,
        beta2=0.999,
        weight_decay=0.1,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
        grad_scale=torch.tensor(scale),
        found_inf=torch.tensor(found),
    )


def test_a_state_of_another_type_is_refused() -> None:
    param = torch.zeros(3, dtype=torch.bfloat16, requires_grad=True)
    param.grad = torch.ones(3, dtype=torch.bfloat16)
    momentum = torch.zeros(3)
    with registry.reproducible(), torch.no_grad(), pytest.raises(NotReproducible, match="types"):
        torch.ops.aten._fused_sgd_(
            [param], [param.grad], [momentum], weight_decay=0.0, momentum=0.9, lr=0.1,
            dampening=0.0, nesterov=False, maximize=False, is_first_step=False,
        )  # fmt: skip


def test_long_runs_keep_their_bias_correction() -> None:
    param = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([param], lr=1e-3, fused=True)
    other = torch.ones(1, dtype=torch.float64, requires_grad=True)
    stock = torch.optim.Adam([other], lr=1e-3, fused=True)
    for step in (1.0, 999.0, 10_000.0):
        for each, used in ((param, optimizer), (other, stock)):
            each.grad = torch.full((1,), 0.5, dtype=torch.float64)
            if used.state[each]:
                used.state[each]["step"].fill_(step)
            if used is stock:
                used.step()
                continue
            with registry.reproducible():
                used.step()
        torch.testing.assert_close(param, other, rtol=1e-12, atol=0)
