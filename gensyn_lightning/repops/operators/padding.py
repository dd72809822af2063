"""Gradients of paddings that copy: an element adds up its copies, dimension after dimension."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.operators.resampling import resample
from gensyn_lightning.repops.operators.upsampling import copying
from gensyn_lightning.repops.plan import Exact, Operand, Plan
from gensyn_lightning.repops.programs import upsampling
from gensyn_lightning.repops.word import Definition


def backward(
    rank: int,
    program: Definition,
    plan: Plan,
    grad_output: Operand,
    self: Operand,
    padding: Sequence[int],
) -> None:
    """Return to every element the sum of its copies: depth first, then height, then width."""
    if not grad_output.dtype.is_floating:
        raise Exact
    rows.single(grad_output.dtype, "padding")
    out = rows.result_in_format(plan, self, self.shape)
    tables = []
    for at in range(rank):
        before = padding[2 * (rank - 1 - at)]
        size, outs = self.shape[at - rank], grad_output.shape[at - rank]
        words = [rows.constant("i", before), rows.constant("i", size)]
        tables.append(copying(plan, program, outs, words))
    resample(plan, out, grad_output, tables, adjoint=True)
    plan.returns(out)


for _name, _program in (
    ("reflection_pad", upsampling.reflected_tap),
    ("replication_pad", upsampling.replicated_tap),
):
    for _rank in (1, 2, 3):
        _full = f"{_name}{_rank}d_backward"
        covers(_full, out=f"{_full}.grad_input")(partial(backward, _rank, _program))
