"""The largest and smallest of nothing."""

from collections.abc import Callable

import pytest
import torch

from gensyn_lightning.repops.registry import reproducible

pytestmark = [
    pytest.mark.filterwarnings("ignore:no compiled kernels"),
    pytest.mark.filterwarnings("ignore:_aminmax is deprecated"),
]

CALLS: dict[str, Callable[[torch.Tensor], object]] = {
    "amax": torch.amax,
    "amin of dimensions": lambda x: x.amin((-1, 0)),
    "amax of first": lambda x: x.amax(0),
    "amax of last": lambda x: x.amax(-1),
    "max": torch.max,
    "min": torch.min,
    "max of last": lambda x: x.max(-1).values,
    "min of first": lambda x: x.min(0).indices,
    "aminmax": lambda x: torch.aminmax(x).min,
    "aminmax of first": lambda x: torch.aminmax(x, dim=0).max,
    "_aminmax": lambda x: torch._aminmax(x)[0],
    "_aminmax of last": lambda x: torch._aminmax(x, -1)[0],
}


def outcome(call: Callable[[torch.Tensor], object], x: torch.Tensor) -> tuple[object, str]:
    try:
        return type(None), str(call(x))
    except (IndexError, RuntimeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("name", CALLS)
def test_the_extreme_of_nothing_is_the_error_it_is_in_torch(
    name: str, shape: tuple[int, ...]
) -> None:
    x = torch.empty(shape)
    wanted = outcome(CALLS[name], x)
    with reproducible():
        assert outcome(CALLS[name], x) == wanted
