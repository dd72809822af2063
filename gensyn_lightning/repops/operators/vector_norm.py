"""Norms of vectors along dimensions, and distances between rows."""

from __future__ import annotations

import math

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduce, reduced_shape
from gensyn_lightning.repops.operators.reduction import (
    Dims,
    count_word,
    dims_of,
    in_dtype,
    require_single,
)
from gensyn_lightning.repops.plan import Operand, Plan, WordSource
from gensyn_lightning.repops.programs import reduction as programs
from gensyn_lightning.repops.word import Definition

Rule = tuple[Definition, list[WordSource], Definition | None]


@covers("linalg_vector_norm", out="linalg_vector_norm.out", static=("ord",))
def linalg_vector_norm(
    plan: Plan, self: Operand, ord: float, dim: Dims, keepdim: bool, dtype: Dtype | None
) -> None:
    """Return the norm of order `ord` along `dim`."""
    source = in_dtype(plan, self, dtype)
    require_single(source, "a norm")
    dims = dims_of(self, dim)
    out = plan.result(reduced_shape(self.shape, dims, keepdim=keepdim), source.dtype)
    term, words, finish = rule_of(float(ord))
    last = words if finish is not None and len(finish.kinds) > 1 else []
    reduce(plan, term, [source], dims, out=out, words=words, finish=finish, finish_words=last)
    plan.returns(out)


@covers("norm.ScalarOpt_dim", out="norm.out", static=("p",))
def norm(plan: Plan, self: Operand, p: float | None, dim: Dims, keepdim: bool) -> None:
    """Return the norm of order `p` along `dim`."""
    linalg_vector_norm(plan, self, 2.0 if p is None else p, dim, keepdim, None)


@covers("norm.ScalarOpt_dim_dtype", out="norm.dtype_out", static=("p",))
def norm_dtype(
    plan: Plan, self: Operand, p: float | None, dim: Dims, keepdim: bool, dtype: Dtype
) -> None:
    """Return the norm of order `p` along `dim`, computed in `dtype`."""
    linalg_vector_norm(plan, self, 2.0 if p is None else p, dim, keepdim, dtype)


@covers("linalg__powsum", static=("ord",))
def powsum(
    plan: Plan, self: Operand, ord: float, dim: Dims, keepdim: bool, dtype: Dtype | None
) -> None:
    """Return the sum of powers that the norm of order `ord` is the root of."""
    source = in_dtype(plan, self, dtype)
    require_single(source, "a sum of powers")
    dims = dims_of(self, dim)
    out = plan.result(reduced_shape(self.shape, dims, keepdim=keepdim), source.dtype)
    term, words, _ = rule_of(float(ord))
    reduce(plan, term, [source], dims, out=out, words=words)
    plan.returns(out)


def rule_of(order: float) -> Rule:
    """Return the term of a norm, its words, and what makes the norm of the total."""
    if order == 0:
        return programs.count_of_nonzero["ff"], [], None
    if order == 1:
        return programs.sum_of_magnitudes["ff"], [], None
    if order == 2:
        return programs.sum_of_squares["ff"], [], programs.root["f"]
    if order == math.inf:
        return programs.largest_magnitude["ff"], [], None
    if order == -math.inf:
        return programs.smallest_magnitude["ff"], [], None
    return programs.sum_of_powers["ffF"], [count_word(order, "f")], programs.root_of_order["fF"]
