"""The type a result has, and how tensors and numbers reach a program: torch's own rules."""

from __future__ import annotations

import torch

from gensyn_lightning.repops.arguments import DTYPES, TORCH
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.plan import (
    Operand,
    Plan,
    Scalar,
    WordSource,
    dense_strides,
)
from gensyn_lightning.repops.stage import Shape


def default_dtype() -> Dtype:
    """Return the type of floating-point numbers, and of integers where a function needs those."""
    return DTYPES[torch.get_default_dtype()]


def common_dtype(*values: Operand | Scalar) -> Dtype:
    """Return the type torch computes a function of these in.

    Tensors with dimensions decide, then those without, then numbers: each of these groups only
    counts where it is of a higher category (bool, integer, floating) than those before it.
    """
    groups = [
        [each.dtype for each in values if isinstance(each, Operand) and each.rank],
        [each.dtype for each in values if isinstance(each, Operand) and not each.rank],
        [_type_of(each) for each in values if isinstance(each, Scalar)],
    ]
    result: Dtype | None = None
    for group in groups:
        for each in group[1:]:
            group[0] = promoted(group[0], each)
        if group and (result is None or _category(group[0]) > _category(result)):
            result = group[0] if result is None else promoted(result, group[0])
    if result is None:
        raise ValueError("nothing has no type")
    return result


def _type_of(number: Scalar) -> Dtype:
    if number.kind == "d":
        return default_dtype()
    return Dtype.I64 if number.kind == "i" else Dtype.BOOL


def promoted(a: Dtype, b: Dtype) -> Dtype:
    """Return the type that holds both."""
    return DTYPES[torch.promote_types(TORCH[a], TORCH[b])]


def _category(dtype: Dtype) -> int:
    return 2 if dtype.is_floating else int(dtype is not Dtype.BOOL)


def laid_out_like(plan: Plan, shape: Shape, dtype: Dtype, *values: Operand | Scalar) -> Operand:
    """Return the result of `shape`, its strides in the order of the first value that has it."""
    for each in values:
        if isinstance(each, Operand) and each.shape == shape:
            return plan.result(shape, dtype, dense_strides(shape, each.strides))
    return plan.result(shape, dtype)


def value_of(kind: str, *values: Operand | Scalar) -> tuple[list[Operand], list[WordSource], str]:
    """Return reads, words and the kinds that name a program for them.

    Numbers come as words; a number before a tensor is put there as a read of a constant tensor.
    """
    reads = [each for each in values if isinstance(each, Operand)]
    words = [WordSource(each, kind) for each in values if isinstance(each, Scalar)]
    return reads, words, kind * len(reads) + kind.upper() * len(words)
