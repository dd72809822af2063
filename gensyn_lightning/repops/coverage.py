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
from functools import cache
from typing import Any, TypeVar

import torch

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.plan import Operand

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


Function = TypeVar("Function", bound=Callable[..., Any])
COMPOSED: dict[str, Callable[..., Any]] = {}


def composed(*names: str, inplace: str = "", out: str = "") -> Callable[[Function], Function]:
    """Register a function of tensors that stands for operators: it calls others, each defined.

    In-place and `out=` forms copy what the function returns.
    """

    def register(function: Function) -> Function:
        forms: dict[str, Callable[..., Any]] = dict.fromkeys(names, function)
        forms |= dict.fromkeys(inplace.split(), _into_first(function))
        forms |= {each: _into_outs(function, each) for each in out.split()}
        for name, form in forms.items():
            if name in COVERED or name in COMPOSED:
                raise ValueError(f"{name} is covered twice")
            COMPOSED[name] = form
        return function

    return register


def _into_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the in-place form of a function of tensors."""

    def run(target: Any, *args: Any, **kwargs: Any) -> Any:
        made = function(target, *args, **kwargs)
        if made.shape != target.shape:
            raise RuntimeError(
                f"output with shape {list(target.shape)} doesn't match the broadcast shape "
                f"{list(made.shape)}"
            )
        return target.copy_(made)

    return run


def _into_outs(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the `out=` form, of the operator with that name, of a function of tensors."""

    def run(*args: Any, **kwargs: Any) -> Any:
        outs = [kwargs.pop(each) for each in _outs_of(name)]
        made = function(*args, **kwargs)
        for target, value in zip(outs, made if len(outs) > 1 else [made], strict=True):
            if target.shape != value.shape:
                target.resize_(value.shape)
            target.copy_(value)
        return tuple(outs) if len(outs) > 1 else outs[0]

    return run


@cache
def _outs_of(name: str) -> tuple[str, ...]:
    """Return the names of the arguments that an overload writes its results into."""
    packet, _, overload = name.partition(".")
    schema = getattr(getattr(torch.ops.aten, packet), overload)._schema
    return tuple(each.name for each in schema.arguments if each.is_out)


class WrongShape(Exception):
    """`out=` tensors have other shapes than the results.

    `resize` lists each by argument and place in a list, with the shape it ought to have.
    """

    def __init__(self, resize: list[tuple[int, int, tuple[int, ...]]]) -> None:
        super().__init__()
        self.resize = resize


def plan_for(
    covered: Covered, plan: Any, given: list[Any], written: list[bool], *, apart: bool = True
) -> None:
    """Write into `plan` what the operator does, in whichever form it was called.

    A target that the operator also reads is written at the end, unless every element of the
    result depends on its own place only. If the arguments are not `apart` (one that is written
    shares memory with another), what is only read is copied first.
    """
    from gensyn_lightning.repops.mapping import copy_elements

    targets = [each for each, is_written in zip(given, written, strict=True) if is_written]
    for each in _flat(targets):
        if any(not step and size > 1 for size, step in zip(each.shape, each.strides, strict=True)):
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location. Please clone() the tensor before performing the "
                "operation."
            )
    if not apart:
        given = [
            each if is_written else _copied(plan, each)
            for each, is_written in zip(given, written, strict=True)
        ]
    if covered.form is Form.FUNCTIONAL:
        covered.lower(plan, *given)
        return
    inputs = given
    if covered.form is Form.OUT:
        inputs = [each for each, is_written in zip(given, written, strict=True) if not is_written]
    safe = covered.elementwise or covered.form is Form.OUT
    plan.targets = _flat(targets) if safe else []
    covered.lower(plan, *inputs)
    _check_targets(covered, plan, _flat(targets))
    for target, made in zip(_flat(targets), _flat(plan.results), strict=False):
        if made is not target:
            copy_elements(plan, target, made)
    plan.results = tuple(targets[: len(plan.results)])


def _flat(values: Any) -> list[Any]:
    """Return the operands among some arguments, those in lists included."""
    if isinstance(values, list | tuple):
        return [one for each in values for one in _flat(each)]
    return [values] if isinstance(values, Operand) else []


def _copied(plan: Any, value: Any) -> Any:
    from gensyn_lightning.repops.mapping import copy_elements

    if isinstance(value, list | tuple):
        return [_copied(plan, each) for each in value]
    if not isinstance(value, Operand):
        return value
    made = plan.like(value)
    copy_elements(plan, made, value)
    return made


def _check_targets(covered: Covered, plan: Any, targets: list[Operand]) -> None:
    """Raise what torch raises where a result does not fit the tensor it is to be put in."""
    resize = []
    for target, made in zip(targets, _flat(plan.results), strict=False):
        if not castable(made.dtype, target.dtype):
            raise RuntimeError(
                f"result type {made.dtype.name} can't be cast to the desired output type "
                f"{target.dtype.name}"
            )
        if made.shape == target.shape:
            continue
        if covered.form is not Form.OUT:
            raise RuntimeError(
                f"output with shape {list(target.shape)} doesn't match the broadcast shape "
                f"{list(made.shape)}"
            )
        resize.append((*plan.tensors[target.slot].argument, made.shape))
    if resize:
        raise WrongShape(resize)


def castable(source: Dtype, target: Dtype) -> bool:
    """Return whether torch lets a result of one type be stored as the other."""
    category = [2 if each.is_floating else int(each is not Dtype.BOOL) for each in (source, target)]
    return category[0] <= category[1]
