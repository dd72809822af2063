"""Padding copies; its gradients add the copies up in one order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry

Call = tuple[tuple[int, ...], tuple[int, ...], str]
CALLS: list[Call] = [
    (shape, padding, mode)
    for shape, padding in (
        ((2, 3, 6), (2, 4)),
        ((3, 6), (5, 0)),
        ((2, 2, 5, 4), (3, 1, 2, 4)),
        ((2, 5, 4), (0, 3, 1, 0)),
        ((1, 2, 3, 4, 5), (4, 2, 3, 1, 2, 2)),
    )
    for mode in ("reflect", "replicate")
]
CALLS += [((2, 3, 6), (9, 8), "replicate"), ((1, 1, 4, 6), (-1, 2, 1, -2), "replicate")]
CALLS += [((2, 2, 5, 4), (3, 1, 2, 4), "circular"), ((2, 5), (1, 2), "constant")]


def both(
    call: Call, dtype: torch.dtype, *, last: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a result and a gradient."""
    shape, padding, mode = call
    generator = np.random.default_rng(5)  # torch's draws are others under reproducible()
    x = torch.from_numpy(generator.standard_normal(shape).astype(np.float32)).to(dtype)
    if last and len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    made = pad(x, padding, mode)
    weight = torch.from_numpy(generator.standard_normal(made.shape).astype(np.float32)).to(dtype)
    [gradient] = torch.autograd.grad(made, x, weight)
    return made.detach(), gradient


def test_results_are_stocks_and_gradients_near_to_those_of_binary64() -> None:
    expected = [both(each, torch.float64) for each in CALLS]
    with registry.reproducible():
        made = [both(each, torch.float32) for each in CALLS]
    for call, (padded, gradient), (stock, wide) in zip(CALLS, made, expected, strict=True):
        assert torch.equal(padded.double(), stock), call
        assert gradient.shape == wide.shape
        assert torch.allclose(gradient.double(), wide, rtol=1e-5, atol=5e-6), call


def test_kernels_do_what_the_stages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ((torch.float32, False), (torch.float32, True), (torch.float16, False))
    made = []
    for _ in range(2):
        with registry.reproducible():
            made.append([both(each, *kind[:1], last=kind[1]) for each in CALLS for kind in kinds])
        monkeypatch.setattr(registry, "loaded", lambda: None)
    for one, other in zip(*made, strict=True):
        assert all(map(torch.equal, one, other))


def test_layout_makes_no_difference_to_a_gradient() -> None:
    with registry.reproducible():
        for call in CALLS:
            assert torch.equal(
                both(call, torch.float32)[1], both(call, torch.float32, last=True)[1]
            )


def test_copies_are_added_in_their_order() -> None:
    x = torch.zeros(1, 1, 2, requires_grad=True)
    with registry.reproducible():
        made = pad(x, (2, 0), "replicate")
        [gradient] = torch.autograd.grad(made, x, torch.tensor([[[1e8, 1.0, -1e8, 3.0]]]))
    assert gradient.tolist() == [[[0.0, 3.0]]]


def test_a_gradient_of_binary64_is_refused() -> None:
    x = torch.ones(1, 1, 4, dtype=torch.float64, requires_grad=True)
    with registry.reproducible(), pytest.raises(NotReproducible, match="float64"):
        torch.autograd.grad(pad(x, (1, 1), "reflect"), x, torch.ones(1, 1, 6, dtype=x.dtype))
