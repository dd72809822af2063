"""The kernel that writes where an index says, and joins of it that reduce."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.plan import Kernel, Operand, Plan
from gensyn_lightning.repops.programs import arithmetic, indexing
from gensyn_lightning.repops.stage import Dim, Fold, Read, Shape, Stage, same_place

NONE = -(1 << 63)
"""The index no source has."""

_NUMBER = {name: at for at, (name, _) in enumerate(indexing.OPERATIONS)}
_OPERATION = {"sum": "add", "prod": "mul", "amax": "largest", "amin": "smallest", "mean": "add"}
_IDENTITY = {"sum": 0.0, "prod": 1.0, "amax": -math.inf, "amin": math.inf, "mean": 0.0}


def write(
    plan: Plan,
    name: str,
    out: Operand,
    index: Operand,
    source: Operand,
    start: Operand | None = None,
    skip: int = NONE,
) -> None:
    """Fold sources into `out`[P, R, Q], from `start` or 0, where `index`[P, N, Q] names the row.

    Half types are added up in binary32 and rounded once. Sources of index `skip` are left out.
    """
    dtype = out.dtype if name == "write" else rows.computing_dtype(out.dtype)
    target = out if out.dtype is dtype else plan.new(out.shape, dtype)
    views = [target]
    if start is not None:
        views.append(rows.in_dtype(plan, start, dtype))
    views += [index, rows.in_dtype(plan, source, dtype)]
    params = (_NUMBER[name], int(start is not None), 0)
    plan.call(INDEX_WRITE, views, params, [rows.constant("i", skip)])
    if target is not out:
        copy_elements(plan, out, target)


def add_found(
    plan: Plan,
    out: Operand,
    index: Operand,
    table: Operand,
    row: Operand,
    skip: int = NONE,
) -> None:
    """Add rows `table`[`row`[n]] into the rows of `out` that `index`[n] names, from 0, in order."""
    target = out if out.dtype is Dtype.F32 else plan.new(out.shape, Dtype.F32)
    wide = index.unsqueeze(0).unsqueeze(2).expand((1, index.shape[0], out.shape[1]))
    views = [target.unsqueeze(0), wide, rows.in_dtype(plan, table, Dtype.F32).unsqueeze(0), row]
    plan.call(INDEX_WRITE, views, (_NUMBER["add"], 0, 1), [rows.constant("i", skip)])
    if target is not out:
        copy_elements(plan, out, target)


def reduced(
    plan: Plan,
    out: Operand,
    self: Operand,
    groups: rows.Groups,
    index: Operand,
    source: Operand,
    reduce: str,
    include_self: bool,
) -> None:
    """Join sources by a write's name or a reduction's, with what was there or without."""
    begin = rows.grouped(plan, self, groups)
    merged = rows.merged(out, groups)
    target = plan.new(begin.shape, out.dtype) if merged is None else merged
    name = _OPERATION.get(reduce, reduce)
    if reduce != "mean" and include_self:
        write(plan, name, target, index, source, begin)
    else:
        _counting(plan, target, begin, index, source, reduce, include_self)
    if merged is None:
        laid = plan.new(out.shape, out.dtype)
        copy_elements(plan, rows.grouped(plan, laid, groups), target)
        copy_elements(plan, out, laid)


def _counting(
    plan: Plan,
    out: Operand,
    start: Operand,
    index: Operand,
    source: Operand,
    reduce: str,
    include_self: bool,
) -> None:
    """Reduce where it matters how many sources there are, or whether there is any."""
    kind = out.dtype.kind
    dtype = rows.computing_dtype(out.dtype)
    begin = rows.in_dtype(plan, start, dtype)
    count, total = plan.new(out.shape, Dtype.I64), plan.new(out.shape, dtype)
    ones = rows.filled(plan, (), Dtype.I64, 1)
    write(
        plan,
        "add",
        count,
        index,
        ones.expand(index.shape),
        ones.expand(out.shape) if include_self else None,
    )
    first = begin if include_self else rows.filled(plan, out.shape, dtype, _IDENTITY[reduce])
    write(plan, _OPERATION[reduce], total, index, source, first)
    choose = MEAN[kind] if reduce == "mean" else CHOSEN[kind]
    map_elements(plan, choose, out, [count, total, begin])


MEAN = {"f": indexing.mean_of, "d": indexing.mean_of_d}
CHOSEN = {"f": indexing.chosen_if_any, "d": indexing.chosen_if_any_d}


def _stages(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    operation, given, found = params
    name = indexing.OPERATIONS[operation][0]
    kind = dtypes[0].kind
    index, source = 1 + given, 2 + given
    terms = shapes[index][1] + given
    programs = indexing.FROM_GIVEN if given else indexing.FROM_ZERO
    [program] = (indexing.FROM_FOUND if found else programs)[f"{name}_{kind}"].trace()
    [combine] = arithmetic.add[kind * 2].trace()
    reads = [_term_of(index, shapes[index], given)]
    if found:
        reads += _found(index, shapes)
    else:
        reads.append(_term_of(source, shapes[source], given))
    if given:
        reads.append(same_place(1, shapes[0], rank=4))
    return [
        Stage(
            0,
            dtypes[0],
            shapes[0],
            program,
            tuple(reads),
            Fold((terms,), max(terms, 1), 1, 0, combine),
            coordinates=(1, 3) if given else (1,),
            attributes=(0,),
        )
    ]


def _found(index: int, shapes: Sequence[Shape]) -> list[Read]:
    """Return the reads of row[n] and of the source at (p, row[n], q)."""
    prefix, rows_there, suffix = shapes[index + 1]
    chosen = (
        Dim(prefix, (1, 0, 0, 0)),
        Dim(rows_there, (0, 0, 0, 0), gathered=(0, 1)),
        Dim(suffix, (0, 0, 1, 0)),
    )
    row = Read(index + 2, (Dim(shapes[index + 2][0], (0, 0, 0, 1)),))
    return [row, Read(index + 1, chosen)]


def _term_of(source: int, shape: Shape, given: int) -> Read:
    """Return the read at (p, n, q) of coordinates (p, r, q, n); n less 1 where one is given."""
    prefix, terms, suffix = shape
    return Read(
        source,
        (
            Dim(prefix, (1, 0, 0, 0)),
            Dim(terms, (0, 0, 0, 1), offset=-given),
            Dim(suffix, (0, 0, 1, 0)),
        ),
    )


INDEX_WRITE = Kernel("repops_index_write", 1, _stages)
