"""Tensors that count: arange, linspace, logspace, range; windows are made of the first."""

from __future__ import annotations

import math
from typing import Any

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.plan import Operand, Plan, WordSource, numel
from gensyn_lightning.repops.programs import sequence as programs
from gensyn_lightning.repops.word import Definition

_ENDS = ("start", "end", "step")


@covers(out="arange.start_out", static=_ENDS)
def arange(plan: Plan, start: Any, end: Any, step: Any) -> None:
    """Return the numbers from `start` up to, but without, `end`."""
    _check(start, end, step)
    if all(isinstance(each, int) for each in (start, end, step)):
        count = -((start - end) // step)
    else:
        count = math.ceil((float(end) - float(start)) / float(step))
    _steps(plan, count, start, step)


@covers(out="range.out", static=_ENDS)
def inclusive(plan: Plan, start: Any, end: Any, step: Any) -> None:
    """Return the numbers from `start` up to and with `end`."""
    _check(start, end, step)
    _steps(plan, math.floor((float(end) - float(start)) / float(step)) + 1, start, step)


@covers(out="linspace.out", static=("start", "end"))
def linspace(plan: Plan, start: Any, end: Any, steps: int) -> None:
    """Return numbers at even distances between both ends, which are among them."""
    kind = _kind(plan)
    words = _between(start, end, steps, kind)
    _fill(plan, _shape(plan, steps), programs.sequence_between[kind], words)


@covers(out="logspace.out", static=("start", "end", "base"))
def logspace(plan: Plan, start: Any, end: Any, steps: int, base: float) -> None:
    """Return powers of a base whose exponents lie at even distances."""
    if _kind(plan) != "f":
        raise NotReproducible("logspace of this type is not defined", hint="use float32")
    if not base > 0:
        raise NotReproducible(f"powers of {base} are not defined", hint="use a base above 0")
    words = [*_between(start, end, steps, "f"), rows.constant("d", base)]
    _fill(plan, _shape(plan, steps), programs.sequence_power, words)


def _check(start: Any, end: Any, step: Any) -> None:
    """Raise what torch raises where there is no such sequence."""
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def _steps(plan: Plan, count: int, start: Any, step: Any) -> None:
    kind = _kind(plan)
    definition = programs.sequence_step_i if kind == "i" else programs.sequence_step[kind]
    word = "i" if kind == "i" else "d"
    _fill(
        plan, _shape(plan, count), definition, [rows.constant(word, each) for each in (start, step)]
    )


def _between(start: Any, end: Any, steps: int, kind: str) -> list[WordSource]:
    """Return the words of a sequence between two ends, cut to integers where it has them."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    first, last = (float(int(each) if kind == "i" else each) for each in (start, end))
    step = (last - first) / (steps - 1) if steps > 1 else 0.0
    ends = [rows.constant("d", each) for each in (first, last if steps > 1 else first, step)]
    return [*ends, rows.constant("i", steps)]


def _kind(plan: Plan) -> str:
    return plan.targets[0].dtype.kind


def _shape(plan: Plan, count: int) -> tuple[int, ...]:
    """Return the shape of the tensor to fill; one with as many elements keeps its own."""
    target = plan.targets[0]
    return target.shape if target.numel == count else (count,)


def _fill(
    plan: Plan, shape: tuple[int, ...], definition: Definition, words: list[WordSource]
) -> None:
    out = plan.result(shape, plan.targets[0].dtype)
    count: Operand = rows.counted(plan, numel(shape)).reshape(shape)
    map_elements(plan, definition, out, [count], words)
    plan.returns(out)
