"""Scaled dot-product attention, fused where there is no dropout, whatever the strides.

A row of scores is computed, made weights and used up while it is in the cache; no more than a few
rows are kept. The backward pass computes the weights again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import composed, covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.operators.contraction import products
from gensyn_lightning.repops.operators.rows import constant
from gensyn_lightning.repops.plan import Kernel, Operand, Plan, Scalar, WordSource, broadcast
from gensyn_lightning.repops.program import Program
from gensyn_lightning.repops.programs import attention, reduction, softmax
from gensyn_lightning.repops.programs.arithmetic import mul
from gensyn_lightning.repops.stage import Dim, Read, Shape, Stage
from gensyn_lightning.repops.stages import Stages
from gensyn_lightning.repops.word import Definition

_HALVES = (torch.bfloat16, torch.float16)
_FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


@composed("scaled_dot_product_attention")
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(query @ key^T * scale + mask) @ value, dropout applied to the weights."""
    _check(query, key, value, attn_mask, is_causal=is_causal)
    if enable_gqa:
        key, value = (_repeated(each, query.shape[-3]) for each in (key, value))
    if dropout_p > 0 or (attn_mask is not None and attn_mask.requires_grad):
        return _taken_apart(query, key, value, attn_mask, dropout_p, is_causal, scale)
    batch: tuple[int, ...] = query.shape[:-2]
    if not (len(batch) == 2 and batch == key.shape[:-2] == value.shape[:-2]):
        batch = broadcast(*(tuple(each.shape[:-2]) for each in (query, key, value)))
        query, key, value = (
            _of_rank_four(each.expand(*batch, *each.shape[-2:]), batch)
            for each in (query, key, value)
        )
    if attn_mask is not None:
        attn_mask = _of_rank_four(attn_mask, batch)
    made: Tensor = _FUSED(query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=scale)[0]
    return made if len(batch) == 2 else made.reshape(*batch, *made.shape[-2:])


def _check(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, is_causal: bool
) -> None:
    """Raise as torch does."""
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead."
        )
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise RuntimeError("Expected query, key, and value to all be at least 2 dimensional")
    if mask is not None and mask.dtype not in (torch.bool, query.dtype, torch.float32):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {mask.dtype} and query.dtype: {query.dtype} instead."
        )
    if mask is not None and is_causal:
        raise RuntimeError("Explicit attn_mask should not be set when is_causal=True")


def _repeated(tensor: Tensor, heads: int) -> Tensor:
    """Return keys or values for as many heads as there are of queries, each for a group of them."""
    if heads % tensor.shape[-3]:
        raise RuntimeError("the heads of key and value must divide those of query")
    return tensor.repeat_interleave(heads // tensor.shape[-3], -3)


def _of_rank_four(tensor: Tensor, batch: Sequence[int]) -> Tensor:
    """Return the tensor with two dimensions of batch, which are `batch`'s last and all before."""
    if len(batch) > 2:
        return tensor.expand(*batch, *tensor.shape[-2:]).flatten(0, -4)
    while tensor.dim() < 4:
        tensor = tensor.unsqueeze(0)
    return tensor


def _taken_apart(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
) -> Tensor:
    """Return attention made of operators one after the other, in binary32 throughout."""
    dtype = query.dtype
    if dtype in _HALVES:
        query, key, value = query.float(), key.float(), value.float()
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    if mask is not None and mask.dtype is torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), -math.inf)
    factor = _scale_of(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query, key.transpose(-2, -1)) * factor
    if mask is None:
        weights = torch.softmax(scores, -1)
    else:
        weights = torch.ops.aten._safe_softmax.default(scores + mask, -1)
    return torch.matmul(torch.dropout(weights, dropout_p, True), value).to(dtype)


def _scale_of(depth: int) -> float:
    return 1 / math.sqrt(depth) if depth else 1.0


@covers("_scaled_dot_product_flash_attention_for_cpu", static=("dropout_p",))
def attention_(
    plan: Plan,
    query: Operand,
    key: Operand,
    value: Operand,
    dropout_p: float,
    is_causal: bool,
    attn_mask: Operand | None,
    scale: Scalar | None,
) -> None:
    """Return attention without dropout, and the logarithm of each row's sum of exponentials."""
    mask = _checked(query, key, value, dropout_p, attn_mask)
    shape = (*query.shape[:3], value.shape[3])
    same = shape == query.shape
    out = plan.result_like(query) if same else plan.result(shape, query.dtype)
    log = plan.result(query.shape[:3], Dtype.F32)
    views = [out, log, query, key, value, *mask]
    plan.call(FORWARD, views, (int(is_causal),), [_factor(scale, query.shape[3])])
    plan.returns(out, log)


@covers("_scaled_dot_product_flash_attention_for_cpu_backward", static=("dropout_p",))
def attention_backward(
    plan: Plan,
    grad_out: Operand,
    query: Operand,
    key: Operand,
    value: Operand,
    out: Operand,
    logsumexp: Operand,
    dropout_p: float,
    is_causal: bool,
    attn_mask: Operand | None,
    scale: Scalar | None,
) -> None:
    """Return the gradients of queries, keys and values."""
    mask = _checked(query, key, value, dropout_p, attn_mask)
    made = [plan.result_like(each) for each in (query, key, value)]
    views = [*made, grad_out, query, key, value, *mask]
    plan.call(BACKWARD, views, (int(is_causal),), [_factor(scale, query.shape[3])])
    plan.returns(*made)


def _checked(
    query: Operand, key: Operand, value: Operand, dropout_p: float, mask: Operand | None
) -> list[Operand]:
    """Refuse what is not defined; return the mask, if there is one, in the shape of the scores."""
    if query.dtype.kind != "f":
        raise NotReproducible(
            f"attention of {query.dtype.name} tensors is not defined", hint="use float32"
        )
    if dropout_p:
        raise NotReproducible(
            "fused attention has no dropout", hint="call F.scaled_dot_product_attention"
        )
    batch = query.shape[:2]
    fits = query.rank == key.rank == value.rank == 4 and key.shape[:2] == value.shape[:2] == batch
    if not fits or key.shape[3] != query.shape[3] or key.shape[2] != value.shape[2]:
        raise RuntimeError("attention: the shapes of query, key and value do not fit together")
    if mask is None:
        return []
    return [mask.expand((*batch, query.shape[2], key.shape[2]))]


def _factor(scale: Scalar | None, depth: int) -> WordSource:
    return constant("f", _scale_of(depth)) if scale is None else WordSource(scale, "f")


def _transposed(stages: Stages, number: int) -> int:
    """Add a stage that exchanges the last two dimensions."""
    *batch, rows, cols = stages.shapes[number]
    return stages.copy(number, (*batch, cols, rows), [0, 1, 3, 2])


def _product(
    stages: Stages, a: int, b: int, out: int | None = None, *, visible: Sequence[int] = ()
) -> int:
    """Add a stage of products of matrices; `visible` numbers the coordinates of key and query."""
    left, right = stages.shapes[a], stages.shapes[b]
    shape = (*left[:3], right[3])
    number = len(stages.shapes) if out is None else out
    dtype = Dtype.F32 if out is None else stages.dtypes[out]
    if out is None:
        stages.shapes.append(shape)
        stages.dtypes.append(dtype)
    stage = products(number, dtype, (shape, left, right), a, b)
    stages.made.append(_seen(stage, reduction.sum_of_products["fff"], visible))
    return number


def _fold(stages: Stages, term: Definition, reads: Sequence[int], causal: bool) -> int:
    """Add a stage that folds rows of scores, whose keys are the reduced coordinate."""
    made = stages.fold(term, reads, [3])
    stages.made[-1] = _seen(stages.made[-1], term, (4, 2) if causal else ())
    return made


def _seen(stage: Stage, term: Definition, visible: Sequence[int]) -> Stage:
    """Return the fold of only those terms whose key comes no later than their query."""
    if not visible:
        return stage
    program = attention.causal(term).trace()[0]
    return replace(stage, program=program, coordinates=tuple(visible))


def _weights(
    stages: Stages, numbers: Sequence[int], mask: int | None, causal: bool
) -> tuple[int, int, int]:
    """Add the stages from queries and keys to weights; return weights, shifts and totals."""
    query, key = numbers
    scores = _product(stages, query, _transposed(stages, key))
    shape = stages.shapes[scores]
    if mask is None:
        scores = stages.map(attention.scaled_score, shape, [scores], words=[0])
    else:
        if stages.dtypes[mask] is Dtype.BOOL:
            mask = stages.map(attention.mask_number, shape, [mask])
        scores = stages.map(attention.masked_score, shape, [scores, mask], words=[0])
    largest = _fold(stages, reduction.largest["ff"], [scores], causal)
    shift = stages.map(attention.finite_shift, stages.shapes[largest], [largest])
    total = _fold(stages, softmax.sum_of_exp_of_difference["fff"], [scores, shift], causal)
    power = stages.map(softmax.exp_of_difference["ff"], shape, [scores, shift])
    part = stages.map(attention.weight_of_one, stages.shapes[total], [total])
    return stages.map(mul["ff"], shape, [power, part]), shift, total


def _define(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    stages, causal = Stages(list(shapes), list(dtypes)), bool(params[0])
    out, log, query, key, value = range(5)
    weights, shift, total = _weights(stages, (query, key), 5 if len(shapes) > 5 else None, causal)
    logs = stages.map(attention.log_of_scores, stages.shapes[total], [shift, total])
    stages.made.append(_without_last(stages, logs, log))
    _product(stages, weights, value, out, visible=(4, 2) if causal else ())
    return stages.made


def _without_last(stages: Stages, number: int, out: int) -> Stage:
    """Return the stage that drops the last dimension, of size 1."""
    shape = stages.shapes[number][:-1]
    dims = [Dim(size, tuple(int(at == each) for each in range(3))) for at, size in enumerate(shape)]
    read = Read(number, (*dims, Dim(1, (0, 0, 0))))
    return Stage(out, stages.dtypes[out], shape, Program(1, (), (), 0), (read,))


def _define_backward(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    stages, causal = Stages(list(shapes), list(dtypes)), bool(params[0])
    grad_query, grad_key, grad_value, grad_out, query, key, value = range(7)
    weights, _, _ = _weights(stages, (query, key), 7 if len(shapes) > 7 else None, causal)
    gradients = _product(stages, grad_out, _transposed(stages, value))
    total = _fold(stages, reduction.sum_of_products["fff"], [gradients, weights], causal)
    shape = stages.shapes[gradients]
    reads = [gradients, weights, total]
    scores = stages.map(attention.score_gradient, shape, reads, words=[0])
    row, col = ((4, 2), (2, 4)) if causal else ((), ())
    _product(stages, scores, key, grad_query, visible=row)
    _product(stages, _transposed(stages, scores), query, grad_key, visible=col)
    _product(stages, _transposed(stages, weights), grad_out, grad_value, visible=col)
    return stages.made


FORWARD = Kernel("repops_attention", 2, _define)
BACKWARD = Kernel("repops_attention_backward", 3, _define_backward)
