"""Kernels compute what the stages say, bit for bit, whatever an operator is called with.

Every operator whose arguments can be drawn from its schema is called with drawn shapes, strides,
types and edge values: once by the kernels, once by the reference.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from drawing import bits, copied, shapes, shared, tensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry
from gensyn_lightning.repops.coverage import Form
from gensyn_lightning.repops.operators import load_all

EXAMPLES = int(os.environ.get("GENSYN_EXAMPLES", "8"))
TYPES = (torch.float32,) * 4 + (torch.bfloat16, torch.float16, torch.float64)
NUMBERS = [0.0, 1.0, -1.5, 0.5, 2.0, 3.0, 1e-3, 0, 1, 2, -1]
REDUCTIONS = """sum.dim_IntList nansum prod.dim_int mean.dim var.correction std.correction
    var_mean.correction std_mean.correction amax amin max.dim min.dim aminmax cumsum cumprod
    _logcumsumexp _softmax _log_softmax _softmax_backward_data _log_softmax_backward_data
    sort.stable mode median nanmedian linalg_vector_norm sum mean prod max min"""
# Draws, lists and indices, whose arguments no schema tells.
TESTED_ELSEWHERE = ("random", "bernoulli", "dropout", "rrelu", "_foreach", "index", "scatter")
ERRORS = (NotReproducible, RuntimeError, IndexError, ValueError, TypeError)


def overload(name: str) -> Any:
    base, _, rest = name.partition(".")
    return getattr(getattr(torch.ops.aten, base, None), rest or "default", None)


def elementwise() -> list[str]:
    return sorted(
        name
        for name, each in load_all().items()
        if each.elementwise
        and each.form is Form.FUNCTIONAL
        and overload(name) is not None
        and not any(each in name for each in TESTED_ELSEWHERE)
    )


def pair(name: str) -> tuple[registry.Operator, registry.Operator]:
    """Return an operator as the kernels compute it, and as the reference does."""
    made = [registry.Operator(load_all()[name], overload(name)) for _ in range(2)]
    made[0].use(registry.loaded(), None)
    made[1].use(None, None)
    return made[0], made[1]


def outcome(operator: registry.Operator, values: list[Any]) -> Any:
    """Return the bits of all results and written arguments, or which error it was."""
    given = copied(values)
    try:
        return [bits(operator(*given)), bits(given)]
    except ERRORS as error:
        return type(error)


def number(draw: st.DrawFn, kind: str) -> Any:
    """Draw an argument that is no tensor."""
    if kind.startswith("Optional[") and draw(st.booleans()):
        return None
    kind = kind.removeprefix("Optional[").removesuffix("]")
    choices = {
        "bool": [False, True],
        "int": [0, 1, 2],
        "number": NUMBERS,
        "float": [float(each) for each in NUMBERS],
        "str": ["none", "tanh", "floor", "trunc"],
        "ScalarType": [None, torch.float32],
    }
    return draw(st.sampled_from(choices.get(kind, [None])))


@st.composite
def calls(draw: st.DrawFn, name: str, reduces: bool = False) -> list[Any]:
    """Draw arguments for an operator from its schema."""
    shape = draw(shapes(int(reduces), 4))
    dtype = draw(st.sampled_from(TYPES))
    values: list[Any] = []
    for each in overload(name)._schema.arguments:
        kind = str(each.real_type)
        if kind == "Tensor" or (kind == "Optional[Tensor]" and draw(st.booleans())):
            own = shape if reduces or not values else shared(draw, shape)
            values.append(draw(tensors(own, dtype)))
        elif each.name == "dim" and reduces:
            values.append(dims(draw, kind, len(shape)))
        elif each.name in ("input_dtype", "half_to_float"):
            values.append(dtype if each.name == "input_dtype" else False)
        elif each.name == "dtype":
            values.append(None)
        elif each.name == "ord":
            values.append(draw(st.sampled_from([0, 1, 2, 3, 0.5, float("inf"), float("-inf")])))
        else:
            values.append(number(draw, kind))
    return values


def dims(draw: st.DrawFn, kind: str, rank: int) -> Any:
    one = st.integers(-rank, rank - 1)
    if kind in ("int", "Optional[int]"):
        return draw(one)
    return sorted({each % rank for each in draw(st.lists(one, min_size=1, max_size=2))})


def compare(name: str, reduces: bool) -> None:
    by_kernels, by_stages = pair(name)
    succeeded: list[bool] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(name, reduces))
    def same(values: list[Any]) -> None:
        found = outcome(by_kernels, values)
        assert found == outcome(by_stages, values)
        succeeded.append(not isinstance(found, type))

    same()
    assert any(succeeded), "every call that was drawn is an error"


@pytest.mark.parametrize("name", elementwise())
def test_every_elementwise_kernel_computes_what_its_stages_say(name: str) -> None:
    compare(name, reduces=False)


@pytest.mark.parametrize("name", REDUCTIONS.split())
def test_every_reducing_kernel_computes_what_its_stages_say(name: str) -> None:
    compare(name, reduces=True)
