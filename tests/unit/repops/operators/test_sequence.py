"""Sequences have stock's length and type, and elements rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry

EXACT: list[Callable[[], torch.Tensor]] = [
    lambda: torch.arange(7),
    lambda: torch.arange(-3, 12, 4),
    lambda: torch.arange(9, -9, -5),
    lambda: torch.arange(2**60, 2**60 + 5),
    lambda: torch.arange(0),
    lambda: torch.arange(5, dtype=torch.uint8),
    lambda: torch.arange(6, out=torch.empty(2, 3, dtype=torch.int64)),
    lambda: torch.arange(6, out=torch.empty(0)),
    lambda: torch.arange(1.0, 9.0, 0.5),
    lambda: torch.arange(3, dtype=torch.bfloat16),
    lambda: torch.arange(0.5, 4.0, dtype=torch.int64),
    lambda: torch.linspace(0, 1, 5),
    lambda: torch.linspace(3, 11, 9, dtype=torch.int32),
    lambda: torch.linspace(3, 11, 1),
    lambda: torch.linspace(3, 11, 0),
    lambda: torch.linspace(torch.tensor(1.0), 2, 3),
    lambda: torch.linspace(-4, 4, 17, dtype=torch.float64),
]
NEAR: list[Callable[[torch.dtype], torch.Tensor]] = [
    lambda dtype: torch.arange(0, 1, 0.1, dtype=dtype),
    lambda dtype: torch.arange(-2.3, 77.7, 1 / 3, dtype=dtype),
    lambda dtype: torch.linspace(-1, 1, 100, dtype=dtype),
    lambda dtype: torch.linspace(0.1, 1e6, 33, dtype=dtype),
]
POWERS: list[Callable[[Any], torch.Tensor]] = [
    lambda dtype: torch.logspace(-4, 3, 50, dtype=dtype),
    lambda dtype: torch.logspace(0, 10, 11, base=2, dtype=dtype),
]
WINDOWS: list[Callable[[Any], torch.Tensor]] = [
    lambda dtype: torch.hann_window(32, dtype=dtype),
    lambda dtype: torch.hann_window(31, periodic=False, dtype=dtype),
    lambda dtype: torch.hamming_window(32, dtype=dtype),
    lambda dtype: torch.blackman_window(32, dtype=dtype),
    lambda dtype: torch.bartlett_window(32, dtype=dtype),
]


def test_sequences_of_what_is_representable_are_stocks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [each() for each in EXACT]
    for _ in range(2):
        with registry.reproducible():
            made = [each() for each in EXACT]
        for one, other in zip(made, expected, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert torch.equal(one, other)
        monkeypatch.setattr(registry, "loaded", lambda: None)


def test_elements_are_those_of_binary64_rounded_once() -> None:
    with registry.reproducible():
        made = [(each(torch.float32), each(torch.float64)) for each in NEAR]
    for (one, double), stock in zip(made, NEAR, strict=True):
        assert torch.equal(one, double.to(torch.float32))
        assert torch.allclose(double, stock(torch.float64), rtol=1e-15, atol=1e-15)


def test_powers_and_windows_are_near_to_those_of_binary64() -> None:
    with registry.reproducible():
        powers = [each(torch.float32) for each in POWERS]
        windows = [each(torch.float32) for each in WINDOWS]
    for one, stock in zip(powers, POWERS, strict=True):
        assert torch.allclose(one.double(), stock(torch.float64), rtol=6e-8, atol=0)
    for one, stock in zip(windows, WINDOWS, strict=True):
        assert torch.allclose(one.double(), stock(torch.float64), rtol=0, atol=5e-7)


def test_kernels_do_what_the_stages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    calls = [(each, dtype) for each in NEAR for dtype in dtypes]
    calls += [(each, torch.float32) for each in (*POWERS, *WINDOWS)]
    made = []
    for _ in range(2):
        with registry.reproducible():
            made.append([each(dtype) for each, dtype in calls])
        monkeypatch.setattr(registry, "loaded", lambda: None)
    for one, other in zip(*made, strict=True):
        assert torch.equal(one, other)


def test_what_is_no_sequence_is_refused() -> None:
    with registry.reproducible():
        for start, end, step in ((0, 5, 0), (0, 5, -1), (0, float("inf"), 1)):
            with pytest.raises(RuntimeError):
                torch.arange(start, end, step)
        with pytest.raises(NotReproducible):
            torch.logspace(0, 1, 3, base=-2)
