"""The kernel that resamples along depth, height and width by tables of places and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.plan import Kernel, Operand, Plan
from gensyn_lightning.repops.programs import arithmetic, upsampling
from gensyn_lightning.repops.stage import Dim, Fold, Read, Shape, Stage

_BETWEEN = 20  # numbers of tensors in between


@dataclass(frozen=True, slots=True)
class Table:
    """Which elements each output takes along one dimension, and by which weights: both [O, T]."""

    places: Operand
    weights: Operand


def resample(
    plan: Plan, out: Operand, source: Operand, tables: Sequence[Table | None], *, adjoint: bool
) -> None:
    """Resample the last dimensions, one for each table; None leaves one be. Binary32 or narrower.

    The adjoint is the gradient: tables lead from `source` back to `out`.
    """
    rank = len(tables)
    made = out if out.dtype is Dtype.F32 else plan.like(out, Dtype.F32)
    used = (*(None for _ in range(3 - rank)), *tables)
    views = [rows.five(made, rank), rows.five(rows.computed_as(plan, source), rank)]
    for each in used:
        if each is not None:
            views += [each.places, each.weights]
    params = (*(int(each is not None) for each in used), int(adjoint))
    if any(params[:3]):
        plan.call(RESAMPLE, views, params)
    else:
        copy_elements(plan, made, source)
    if made is not out:
        copy_elements(plan, out, made)


def _stages(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    """One stage a dimension: width, height, depth, or the other way round for the adjoint."""
    used, adjoint = params[:3], params[3]
    tables = {}
    number = 2
    for at in range(3):
        if used[at]:
            tables[at] = number
            number += 2
    order = [at for at in (range(3) if adjoint else reversed(range(3))) if used[at]]
    stages: list[Stage] = []
    source, shape = 1, list(shapes[1])
    for count, at in enumerate(order, 1):
        target = 0 if count == len(order) else _BETWEEN + count
        before = tuple(shape)
        shape[2 + at] = shapes[0][2 + at]
        stage = _adjoint_pass if adjoint else _pass
        stages.append(
            stage(target, source, tuple(shape), before, 2 + at, tables[at], shapes[tables[at]])
        )
        source = target
    return stages


def _pass(
    target: int, source: int, shape: Shape, before: Shape, at: int, table: int, taps: Shape
) -> Stage:
    """Fold over the taps t of the output at `at`; coordinates are the output's, then t."""
    of_table = (Dim(taps[0], _unit(6, at)), Dim(taps[1], _unit(6, 5)))
    dims = [Dim(size, _unit(6, each)) for each, size in enumerate(before)]
    dims[at] = Dim(before[at], _unit(6, 6), gathered=(1,))
    reads = (Read(table, of_table), Read(table + 1, of_table), Read(source, tuple(dims)))
    [program] = upsampling.resample_term.trace()
    fold = Fold((taps[1],), max(taps[1], 1), 1, 0, arithmetic.add["ff"].trace()[0])
    return Stage(target, Dtype.F32, shape, program, reads, fold)


def _adjoint_pass(
    target: int, source: int, shape: Shape, before: Shape, at: int, table: int, taps: Shape
) -> Stage:
    """Fold over all outputs o and taps t; coordinates are the element's, then o and t."""
    of_table = (Dim(taps[0], _unit(7, 5)), Dim(taps[1], _unit(7, 6)))
    dims = [Dim(size, _unit(7, each)) for each, size in enumerate(before)]
    dims[at] = Dim(before[at], _unit(7, 5))
    reads = (Read(table, of_table), Read(table + 1, of_table), Read(source, tuple(dims)))
    [program] = upsampling.resample_adjoint_term.trace()
    terms = taps[0] * taps[1]
    fold = Fold(taps, max(terms, 1), 1, 0, arithmetic.add["ff"].trace()[0])
    return Stage(target, Dtype.F32, shape, program, reads, fold, coordinates=(at,))


def _unit(rank: int, at: int) -> tuple[int, ...]:
    return tuple(int(each == at) for each in range(rank))


RESAMPLE = Kernel("repops_upsample", 1, _stages)
