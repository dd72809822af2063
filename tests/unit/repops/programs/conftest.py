"""Runs a program over binary32 inputs and measures how far off it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gensyn_lightning.repops import interpreter
from gensyn_lightning.repops.word import Definition

SMALLEST = 2.0**-149
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, SMALLEST, -SMALLEST]
Apply = Callable[..., Any]


@pytest.fixture(scope="session")
def apply() -> Apply:
    """Return a function that runs a program of binary32 inputs by the reference."""

    def run(definition: Definition, *inputs: Any) -> Any:
        [program] = definition.trace()
        words = [interpreter.from_floats(np.asarray(each, np.float32)) for each in inputs]
        return interpreter.floats(interpreter.run(program, words))

    return run


@pytest.fixture(scope="session")
def samples() -> Any:
    """Return binary32 numbers of every exponent and sign, whole numbers, and special values."""
    random = np.random.default_rng(1)
    patterns = random.integers(0, 2**32, 60_000, dtype=np.uint64).astype(np.uint32)
    usual = random.normal(0, 4, 20_000).astype(np.float32)
    wide = random.uniform(-110, 110, 20_000).astype(np.float32)
    whole = np.arange(-200, 200, dtype=np.float32)
    special = np.array(SPECIAL, np.float32)
    return np.concatenate([patterns.view(np.float32), usual, wide, whole, special])


@pytest.fixture(scope="session")
def error_of(apply: Apply, samples: Any) -> Callable[..., float]:
    """Return a function that gives a program's worst error against a binary64 function."""

    def worst(definition: Definition, exact: Callable[..., Any], *inputs: Any) -> float:
        given = inputs or (samples,)
        with np.errstate(all="ignore"):
            expected = exact(*(each.astype(np.float64) for each in given))
        return units_off(apply(definition, *given), expected)

    return worst


def units_off(got: Any, exact: Any) -> float:
    """Return the worst error in units in the last place.

    NaN, infinities and the signs of zeros have to agree; what overflows when it is rounded may do
    so a unit earlier.
    """
    with np.errstate(all="ignore"):
        nearest = exact.astype(np.float32)
    assert np.array_equal(np.isnan(got), np.isnan(nearest))
    finite = np.isfinite(nearest) & np.isfinite(got)
    edge = np.abs(exact) > float(np.finfo(np.float32).max) * (1 - 2.0**-22)
    others = ~finite & ~np.isnan(got) & ~edge
    assert np.array_equal(got[others], nearest[others])
    zero = exact == 0
    assert np.array_equal(np.signbit(got[zero]), np.signbit(nearest[zero]))
    _, exponent = np.frexp(np.abs(exact[finite]))
    unit = np.ldexp(1.0, np.maximum(exponent, -125) - 24)
    return float(np.max(np.abs(got[finite].astype(np.float64) - exact[finite]) / unit))
