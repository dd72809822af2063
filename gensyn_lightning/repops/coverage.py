"""Which ATen operators are covered by kernels of ours, and by which lowering.

    @covers("add.Tensor", inplace="add_.Tensor", out="add.out", elementwise=True)
    def add(plan, self, other, alpha): ...

A lowering gets its arguments in the schema's order (those written into are left out), computes into
`plan.result(...)` and ends with `plan.returns(...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

Lower = Callable[..., None]


class Form(Enum):
    """Where an operator's result goes: a new tensor, its first argument, `out=` arguments."""

    FUNCTIONAL = "functional"
    INPLACE = "inplace"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Covered:
    """One operator: its overload's name, the lowering, and what the lowering depends on.

    `static` names the numbers a plan depends on. `elementwise` says that every output element is
    made from the inputs' elements at the same place, so that the result may overwrite an input.
    `prepare` rewrites the arguments of every call, before they are read: masks to numbers, say.
    """

    name: str
    lower: Lower
    form: Form
    static: frozenset[str]
    elementwise: bool
    prepare: Callable[[list[Any]], list[Any]] | None = None


COVERED: dict[str, Covered] = {}


def covers(
    *names: str,
    inplace: str = "",
    out: str = "",
    static: tuple[str, ...] = (),
    elementwise: bool = False,
    prepare: Callable[[list[Any]], list[Any]] | None = None,
) -> Callable[[Lower], Lower]:
    """Register a lowering for operators of one schema, their in-place and their `out=` variants."""

    def register(lower: Lower) -> Lower:
        forms = [(each, Form.FUNCTIONAL) for each in names]
        forms += [(each, Form.INPLACE) for each in inplace.split()]
        forms += [(each, Form.OUT) for each in out.split()]
        for name, form in forms:
            if name in COVERED:
                raise ValueError(f"{name} is covered twice")
            COVERED[name] = Covered(name, lower, form, frozenset(static), elementwise, prepare)
        return lower

    return register


def plan_for(covered: Covered, plan: Any, given: list[Any], written: list[bool]) -> None:
    """Write into `plan` what the operator does, in whichever form it was called.

    A target that the operator also reads is written at the end, unless every element of the
    result depends on its own place only.
    """
    from gensyn_lightning.repops.mapping import copy_elements

    targets = [each for each, is_written in zip(given, written, strict=True) if is_written]
    if covered.form is Form.FUNCTIONAL:
        covered.lower(plan, *given)
        return
    inputs = given
    if covered.form is Form.OUT:
        inputs = [each for each, is_written in zip(given, written, strict=True) if not is_written]
    safe = covered.elementwise or covered.form is Form.OUT
    plan.targets = list(targets) if safe else []
    covered.lower(plan, *inputs)
    for target, made in zip(targets, plan.results, strict=False):
        if made is not target:
            copy_elements(plan, target, made)
    plan.results = tuple(targets[: len(plan.results)])
