"""Every other elementary function keeps the accuracy it states, over all kinds of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gensyn_lightning.repops.programs import (
    error_function,
    gamma,
    hyperbolic,
    power,
    rounding,
    trigonometric,
)


def each(function: Callable[..., float]) -> Callable[..., Any]:
    """Return a function of Python's for arrays; what it refuses is NaN."""

    def safe(x: float) -> float:
        try:
            return function(x)
        except (ValueError, OverflowError):
            return math.nan

    return np.vectorize(safe, otypes=[np.float64])


def logistic(x: Any) -> Any:
    """Return 1 / (1 + e**-x), subnormal results too."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def log_gamma(x: Any) -> Any:
    """Return log |gamma(x)|, infinite at the poles."""
    value = each(math.lgamma)(x)
    return np.where((x <= 0) & (x == np.floor(x)) | np.isinf(x), np.inf, value)


CASES = [
    (hyperbolic.tanh, np.tanh, 1.4),
    (hyperbolic.sigmoid, logistic, 2.4),
    (hyperbolic.sinh, np.sinh, 0.51),
    (hyperbolic.cosh, np.cosh, 0.51),
    (hyperbolic.asinh, np.arcsinh, 0.51),
    (hyperbolic.acosh, np.arccosh, 0.51),
    (hyperbolic.atanh, np.arctanh, 0.51),
    (error_function.erf, each(math.erf), 1.0),
    (error_function.erfc, each(math.erfc), 0.51),
    (trigonometric.sin, np.sin, 1.3),
    (trigonometric.cos, np.cos, 1.3),
    (trigonometric.tan, np.tan, 2.9),
    (trigonometric.asin, np.arcsin, 0.51),
    (trigonometric.acos, np.arccos, 0.51),
    (trigonometric.atan, np.arctan, 0.51),
    (power.rsqrt["f"], lambda x: 1 / np.sqrt(x), 1.5),
    (power.reciprocal["f"], lambda x: 1 / x, 0.5),
    (power.square_root["f"], np.sqrt, 0.5),
    (rounding.floor["f"], np.floor, 0),
    (rounding.ceil["f"], np.ceil, 0),
    (rounding.trunc["f"], np.trunc, 0),
    (rounding.round_even["f"], np.round, 0),
    (rounding.frac["f"], lambda x: x - np.trunc(x), 0),
]


@pytest.mark.parametrize(("definition", "exact", "bound"), CASES)
def test_a_function_is_as_accurate_as_it_says(
    definition: Any, exact: Any, bound: float, error_of: Callable[..., float]
) -> None:
    assert error_of(definition, exact) <= bound


def test_the_logarithm_of_gamma_is_accurate_above_minus_a_half(
    samples: Any, error_of: Callable[..., float]
) -> None:
    kept = samples[~(samples < -0.5)]
    assert error_of(gamma.lgamma, log_gamma, kept) <= 1


def test_digamma_follows_its_recurrence(apply: Callable[..., Any]) -> None:
    x = np.arange(1, 60) / 8
    got = apply(gamma.digamma, np.float32(x + 1)).astype(np.float64)
    assert np.allclose(got - apply(gamma.digamma, x), 1 / x, rtol=3e-6)
    assert np.isneginf(apply(gamma.digamma, [0.0]))[0]
    assert np.isnan(apply(gamma.digamma, [-1.0]))[0]


def test_a_binary_function_is_as_accurate_as_it_says(error_of: Callable[..., float]) -> None:
    draw = np.random.default_rng(2)
    special = [0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, np.inf, -np.inf, np.nan, 1e-45, 3e38, 16777216]
    left, right = (one.ravel() for one in np.meshgrid(*[np.array(special, np.float32)] * 2))
    near = np.exp(draw.normal(size=20_000) * 3).astype(np.float32)
    far = draw.normal(size=20_000).astype(np.float32) * 10
    a, b = np.concatenate([left, near]), np.concatenate([right, far])
    assert error_of(power.pow_["ff"], np.power, a, b) <= 0.51
    assert error_of(power.hypot, np.hypot, a, b) <= 0.51
    assert error_of(trigonometric.atan2, np.arctan2, a, b) <= 0.51
    assert error_of(trigonometric.atan2, np.arctan2, b, a) <= 0.51


def test_the_inverse_of_erf_undoes_it(apply: Callable[..., Any]) -> None:
    x = np.linspace(-0.999, 0.999, 2001).astype(np.float32)
    back = each(math.erf)(apply(error_function.erfinv, x).astype(np.float64))
    assert np.max(np.abs(back - x)) < 2e-7
    assert np.array_equal(apply(error_function.erfinv, [1.0, -1.0]), [np.inf, -np.inf])


def test_sinc_is_zero_at_whole_numbers(apply: Callable[..., Any]) -> None:
    x = np.array([0, 1, -3, 0.5, np.inf], np.float32)
    got = apply(trigonometric.sinc, x)
    assert np.array_equal(got[:3], [1, 0, 0])
    assert got[3] == np.float32(2 / math.pi)
    assert np.isnan(got[4])
