"""Exponentials and logarithms keep the accuracy they state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gensyn_lightning.repops.programs import exponential

CASES = [
    (exponential.exp, np.exp, 0.87),
    (exponential.log, np.log, 0.86),
]


@pytest.mark.parametrize(("definition", "exact", "bound"), CASES)
def test_an_exponential_or_logarithm_is_as_accurate_as_it_says(
    definition: Any, exact: Any, bound: float, error_of: Callable[..., float]
) -> None:
    assert error_of(definition, exact) <= bound
