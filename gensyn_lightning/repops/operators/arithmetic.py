"""Sums, products and quotients of two tensors, or of a tensor and a number."""

from __future__ import annotations

from collections.abc import Mapping

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.operators.promotion import common_dtype, laid_out_like, value_of
from gensyn_lightning.repops.plan import Exact, Operand, Plan, Scalar, broadcast
from gensyn_lightning.repops.programs import arithmetic
from gensyn_lightning.repops.word import Definition

Value = Operand | Scalar


@covers("add.Tensor", inplace="add_.Tensor", out="add.out", static=("alpha",), elementwise=True)
def add(plan: Plan, self: Value, other: Value, alpha: float) -> None:
    """Return self + alpha * other."""
    if alpha != 1:
        raise NotImplementedError
    binary(plan, arithmetic.add, self, other)


@covers("mul.Tensor", inplace="mul_.Tensor", out="mul.out", elementwise=True)
def mul(plan: Plan, self: Value, other: Value) -> None:
    """Return self * other."""
    binary(plan, arithmetic.mul, self, other)


def binary(plan: Plan, family: Mapping[str, Definition], self: Value, other: Value) -> None:
    """Compute a function of two values in their common type, broadcast to one shape."""
    dtype = common_dtype(self, other)
    if not dtype.is_floating:
        raise Exact
    shape = broadcast(*(each.shape for each in (self, other) if isinstance(each, Operand)))
    out = laid_out_like(plan, shape, dtype, self, other)
    reads, words, kinds = value_of(dtype.kind, self, other)
    map_elements(plan, family[kinds], out, reads, words)
    plan.returns(out)


__all__ = ["Dtype", "add", "binary", "mul"]
