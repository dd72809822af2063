"""Exponentials and logarithms keep the accuracy they state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gensyn_lightning.repops.programs import exponential

CASES = [
    (exponential.exp, np.exp, 0.87),
    (exponential.exp2, np.exp2, 0.88),
    (exponential.expm1, np.expm1, 1.44),
    (exponential.log, np.log, 0.86),
    (exponential.log2, np.log2, 1.3),
    (exponential.log10, np.log10, 1.6),
    (exponential.log1p, np.log1p, 0.92),
]


@pytest.mark.parametrize(("definition", "exact", "bound"), CASES)
def test_an_exponential_or_logarithm_is_as_accurate_as_it_says(
    definition: Any, exact: Any, bound: float, error_of: Callable[..., float]
) -> None:
    assert error_of(definition, exact) <= bound


def test_logarithms_of_powers_of_two_are_whole(apply: Callable[..., Any]) -> None:
    exponents = np.arange(-149, 128)
    assert np.array_equal(apply(exponential.log2, 2.0**exponents), exponents)
    assert np.array_equal(apply(exponential.exp2, exponents), 2.0**exponents)
