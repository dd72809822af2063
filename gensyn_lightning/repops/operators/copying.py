"""Copies that convert: into integers, and into narrower floating types."""

from __future__ import annotations

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.plan import Exact, Operand, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs import arithmetic

_HALVES = (Dtype.F16, Dtype.BF16)


@covers("copy_")
def copy_(plan: Plan, self: Operand, src: Operand | Scalar, non_blocking: bool) -> None:
    """Return `self` with `src`, broadcast and converted, in it."""
    del non_blocking
    if isinstance(src, Scalar):
        _fill(plan, self, src)
        return
    if is_exact(src.dtype, self.dtype):
        raise Exact
    copy_elements(plan, self, src)
    plan.returns(self)


def _fill(plan: Plan, self: Operand, number: Scalar) -> None:
    """Put a number everywhere, rounded once."""
    if not self.dtype.is_floating:
        raise Exact
    kind = self.dtype.kind
    map_elements(plan, arithmetic.fill[kind.upper()], self, [], [WordSource(number, kind)])
    plan.returns(self)


def is_exact(source: Dtype, target: Dtype) -> bool:
    """Return whether torch converts every number alike on every machine.

    It does not where a floating number may not fit an integer, nor where a NaN is rounded: the
    vector units and the scalar code then differ.
    """
    if source is target or not source.is_floating:
        return True
    if target is Dtype.BOOL or (source in _HALVES and target in (Dtype.F32, Dtype.F64)):
        return True
    return source is Dtype.F32 and target is Dtype.F64
