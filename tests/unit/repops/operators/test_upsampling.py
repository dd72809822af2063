"""Interpolation and its gradients are near to stock's in binary64, and the stages' bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry

Call = tuple[tuple[int, ...], dict[str, Any]]
CALLS: list[Call] = [
    ((2, 3, 9), {"size": 14, "mode": "linear"}),
    ((2, 3, 9), {"size": 4, "mode": "linear", "align_corners": True}),
    ((2, 3, 9), {"scale_factor": 1.7, "mode": "linear"}),
    ((2, 3, 9), {"size": 1, "mode": "linear", "align_corners": True}),
    ((1, 2, 5, 7), {"size": (9, 4), "mode": "bilinear"}),
    ((1, 2, 5, 7), {"size": (9, 4), "mode": "bilinear", "align_corners": True}),
    ((1, 2, 5, 7), {"scale_factor": 2.3, "mode": "bilinear"}),
    ((1, 2, 5, 7), {"size": (5, 7), "mode": "bilinear"}),
    ((1, 2, 5, 17), {"size": (9, 40), "mode": "bicubic"}),
    ((1, 2, 5, 7), {"scale_factor": (0.6, 2.0), "mode": "bicubic", "align_corners": True}),
    ((1, 2, 9, 8), {"size": (4, 11), "mode": "bilinear", "antialias": True}),
    ((1, 2, 9, 8), {"size": (4, 11), "mode": "bicubic", "antialias": True}),
    ((1, 2, 3, 4, 5), {"size": (5, 2, 7), "mode": "trilinear"}),
    ((1, 2, 3, 4, 5), {"size": (5, 2, 7), "mode": "trilinear", "align_corners": True}),
]
NEAREST: list[Call] = [
    ((2, 3, 9), {"size": 14, "mode": "nearest"}),
    ((2, 3, 9), {"size": 4, "mode": "nearest-exact"}),
    ((1, 2, 5, 7), {"scale_factor": 2, "mode": "nearest"}),
    ((1, 2, 5, 7), {"size": (3, 11), "mode": "nearest-exact"}),
    ((1, 2, 3, 4, 5), {"size": (5, 2, 7), "mode": "nearest"}),
    ((1, 2, 3, 4, 5), {"scale_factor": 1.5, "mode": "nearest-exact"}),
]


def both(
    call: Call, dtype: torch.dtype, *, last: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a result and a gradient."""
    shape, options = call
    generator = np.random.default_rng(3)  # torch's draws are others under reproducible()
    x = torch.from_numpy(generator.standard_normal(shape).astype(np.float32)).to(dtype)
    if last and len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    made = interpolate(x, **options)
    weight = torch.from_numpy(generator.standard_normal(made.shape).astype(np.float32)).to(dtype)
    [gradient] = torch.autograd.grad(made, x, weight)
    return made.detach(), gradient


def test_results_and_gradients_are_near_to_those_of_binary64() -> None:
    # Nearest neighbours are found in binary32, whichever type the elements have.
    calls = [*CALLS, *NEAREST]
    expected = [both(each, torch.float64) for each in CALLS]
    expected += [both(each, torch.float32) for each in NEAREST]
    with registry.reproducible():
        made = [both(each, torch.float32) for each in calls]
    for call, pair, stock in zip(calls, made, expected, strict=True):
        for one, other in zip(pair, stock, strict=True):
            assert one.shape == other.shape
            assert torch.allclose(one.double(), other.double(), rtol=1e-5, atol=5e-6), call


def test_kernels_do_what_the_stages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for _ in range(2):
        with registry.reproducible():
            made.append(
                [
                    both(each, dtype, last=last)
                    for each in (*CALLS, *NEAREST)
                    for dtype, last in ((torch.float32, False), (torch.bfloat16, True))
                ]
            )
        monkeypatch.setattr(registry, "loaded", lambda: None)
    for one, other in zip(*made, strict=True):
        assert all(map(torch.equal, one, other))


def test_layout_makes_no_difference_and_is_kept() -> None:
    calls = CALLS[4:12]
    strides = [both(each, torch.float32, last=True)[0].stride() for each in calls]
    with registry.reproducible():
        for call, stride in zip(calls, strides, strict=True):
            plain, plain_gradient = both(call, torch.float32)
            last, last_gradient = both(call, torch.float32, last=True)
            assert torch.equal(plain, last)
            assert torch.equal(plain_gradient, last_gradient)
            assert last.stride() == stride


def test_infinity_spreads_to_what_is_made_of_it_only() -> None:
    x = torch.ones(1, 1, 4, 4)
    x[0, 0, 1, 1] = float("inf")
    with registry.reproducible():
        made = interpolate(x, size=(8, 8), mode="bilinear")
        untouched = interpolate(x, size=(2, 2), mode="nearest")
    assert made.isinf().any()
    assert torch.equal(untouched, torch.ones(1, 1, 2, 2))


def test_binary64_is_refused() -> None:
    with registry.reproducible(), pytest.raises(NotReproducible, match="float64"):
        interpolate(torch.ones(1, 1, 4, dtype=torch.float64), size=3, mode="linear")


def test_a_nan_is_the_one_nan_in_every_layout() -> None:
    x = torch.linspace(-1, 1, 240).reshape(1, 3, 4, 20)
    x[0, :, 1, 3], x[0, :, 1, 4] = float("inf"), -float("inf")
    with registry.reproducible():
        for each in (x, x.contiguous(memory_format=torch.channels_last)):
            made = interpolate(each, size=(8, 41), mode="bilinear").contiguous()
            words = made.view(torch.int32)[made.isnan()]
            assert words.numel() > 0
            assert set(words.tolist()) == {0x7FC00000}
