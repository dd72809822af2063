"""The larger and the smaller of two tensors, and tensors brought between bounds."""

from __future__ import annotations

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.operators.pointwise import (
    Programs,
    Value,
    cover_binary,
    elementwise,
)
from gensyn_lightning.repops.plan import Operand, Plan
from gensyn_lightning.repops.programs import comparison

cover_binary(
    {
        "maximum": comparison.maximum,
        "minimum": comparison.minimum,
        "fmax": comparison.fmax,
        "fmin": comparison.fmin,
    },
    inplace=False,
)


@covers(
    "clamp",
    "clamp.Tensor",
    inplace="clamp_ clamp_.Tensor",
    out="clamp.out clamp.Tensor_out",
    elementwise=True,
)
def clamp(plan: Plan, self: Operand, min: Value | None, max: Value | None) -> None:
    """Return self brought to at least `min`, then to at most `max`."""
    if min is not None and max is not None:
        elementwise(plan, comparison.between, self, min, max)
    elif min is not None:
        elementwise(plan, comparison.at_least, self, min)
    elif max is not None:
        elementwise(plan, comparison.at_most, self, max)
    else:
        raise ValueError("clamp needs a bound")


def _cover_bound(name: str, program: Programs) -> None:
    @covers(
        name,
        f"{name}.Tensor",
        inplace=f"{name}_ {name}_.Tensor",
        out=f"{name}.out {name}.Tensor_out",
        elementwise=True,
    )
    def lower(plan: Plan, self: Operand, bound: Value) -> None:
        elementwise(plan, program, self, bound)


_cover_bound("clamp_min", comparison.at_least)
_cover_bound("clamp_max", comparison.at_most)
