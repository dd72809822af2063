"""The fused optimizers: one program for every parameter, and its rates from its own step count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.plan import Operand, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs import optimizer
from gensyn_lightning.repops.word import Definition, double_bits, float_bits

Tensors = Sequence[Operand]
Rate = Scalar | Operand


@covers("_fused_adam_", "_fused_adam_.tensor_lr")
def fused_adam(plan: Plan, *arguments: Any) -> None:
    """Do a step of Adam, or AMSGrad, for every parameter."""
    _adam(plan, False, *arguments)


@covers("_fused_adamw_", "_fused_adamw_.tensor_lr")
def fused_adamw(plan: Plan, *arguments: Any) -> None:
    """Do a step of AdamW for every parameter."""
    _adam(plan, True, *arguments)


@covers("_fused_sgd_", "_fused_sgd_.tensor_lr")
def fused_sgd(
    plan: Plan,
    params: Tensors,
    grads: Tensors,
    buffers: Tensors,
    weight_decay: Scalar,
    momentum: Scalar,
    lr: Rate,
    dampening: Scalar,
    nesterov: bool,
    maximize: bool,
    is_first_step: bool,
    grad_scale: Operand | None,
    found_inf: Operand | None,
) -> None:
    """Do a step of gradient descent, with momentum if there are buffers for it."""
    words = [momentum, dampening, weight_decay]
    if params:
        rate, kept, share, decay = _rates(plan, optimizer.sgd_rates, "", lr, words, None, 4)
    for at, (param, grad) in enumerate(zip(params, grads, strict=True)):
        kind = _checked(param, grad, *buffers[at : at + 1])
        _unscale(plan, grad, grad_scale, found_inf)
        sign = _sign(maximize, kind)
        if not buffers:
            definition = _of_kind(optimizer.sgd, kind)
            _update(plan, definition, [param], grad, [rate, decay], [sign], found_inf)
            continue
        definition = _of_kind(optimizer.sgd_momentum, kind)
        flags = [WordSource(int(is_first_step), "i"), WordSource(int(nesterov), "i")]
        rates = [rate, kept, share, decay]
        _update(plan, definition, [param, buffers[at]], grad, rates, [sign, *flags], found_inf)
    plan.returns()


@covers("_fused_adagrad_", "_fused_adagrad_.tensor_lr")
def fused_adagrad(
    plan: Plan,
    params: Tensors,
    grads: Tensors,
    sums: Tensors,
    steps: Tensors,
    lr: Rate,
    lr_decay: Scalar,
    weight_decay: Scalar,
    eps: Scalar,
    maximize: bool,
    grad_scale: Operand | None,
    found_inf: Operand | None,
) -> None:
    """Do a step of Adagrad for every parameter."""
    for param, grad, total, step in zip(params, grads, sums, steps, strict=True):
        kind = _checked(param, grad, total)
        _unscale(plan, grad, grad_scale, found_inf)
        words = [lr_decay, weight_decay]
        size, decay = _rates(plan, optimizer.adagrad_rates, "i", lr, words, step, 2)
        _update(
            plan,
            _of_kind(optimizer.adagrad, kind),
            [param, total],
            grad,
            [size, decay],
            [WordSource(eps, kind), _sign(maximize, kind)],
            found_inf,
        )
    plan.returns()


def _adam(
    plan: Plan,
    is_decoupled: bool,
    params: Tensors,
    grads: Tensors,
    means: Tensors,
    squares: Tensors,
    largest: Tensors,
    steps: Tensors,
    lr: Rate,
    beta1: Scalar,
    beta2: Scalar,
    weight_decay: Scalar,
    eps: Scalar,
    amsgrad: bool,
    maximize: bool,
    grad_scale: Operand | None,
    found_inf: Operand | None,
) -> None:
    numbers = [beta2, eps] if is_decoupled else [beta2, weight_decay, eps]
    step_of = {
        (False, False): optimizer.adam,
        (False, True): optimizer.adam_amsgrad,
        (True, False): optimizer.adamw,
        (True, True): optimizer.adamw_amsgrad,
    }[is_decoupled, amsgrad]
    for at, (param, grad) in enumerate(zip(params, grads, strict=True)):
        state = [means[at], squares[at], *([largest[at]] if amsgrad else [])]
        kind = _checked(param, grad, *state)
        _unscale(plan, grad, grad_scale, found_inf)
        words = [beta1, beta2, weight_decay]
        rates = _rates(plan, optimizer.adam_rates, "i", lr, words, steps[at], 5)
        _update(
            plan,
            _of_kind(step_of, kind),
            [param, *state],
            grad,
            rates if is_decoupled else rates[:-1],
            [*(WordSource(each, kind) for each in numbers), _sign(maximize, kind)],
            found_inf,
        )
    plan.returns()


def _rates(
    plan: Plan,
    definitions: dict[str, Definition],
    step_kind: str,
    lr: Rate,
    words: Sequence[Scalar],
    step: Operand | None,
    count: int,
) -> list[Operand]:
    """Return what is the same for all elements of a parameter, as binary64 tensors."""
    made = [plan.new((), Dtype.F64) for _ in range(count)]
    reads = [single(each) for each in (step, lr) if isinstance(each, Operand)]
    given = [each for each in (lr, *words) if isinstance(each, Scalar)]
    kinds = step_kind + ("d" if isinstance(lr, Operand) else "D") + "D" * len(words)
    map_elements(plan, definitions[kinds], made, reads, [WordSource(each, "d") for each in given])
    return made


def _update(
    plan: Plan,
    definition: Definition,
    state: Tensors,
    grad: Operand,
    rates: Tensors,
    words: Sequence[WordSource],
    found_inf: Operand | None,
) -> None:
    """Write a step's results over the state they follow, unless an infinity was found."""
    reads = [state[0], grad, *state[1:]]
    outs = state if found_inf is None else [plan.like(each) for each in state]
    map_elements(plan, definition, outs, reads, words, singles=rates)
    if found_inf is not None:
        for old, new in zip(state, outs, strict=True):
            _keep(plan, old, new, found_inf)


def _keep(plan: Plan, old: Operand, new: Operand, found_inf: Operand) -> None:
    kept = plan.like(old)
    definition = _of_kind(optimizer.kept, old.dtype.kind)
    map_elements(plan, definition, kept, [old, new, single(found_inf)])
    copy_elements(plan, old, kept)


def _unscale(
    plan: Plan, grad: Operand, grad_scale: Operand | None, found_inf: Operand | None
) -> None:
    """Divide a gradient by the scale where there is one."""
    if grad_scale is None:
        return
    found = plan.new((), Dtype.F32) if found_inf is None else single(found_inf)
    if found_inf is None:
        map_elements(plan, optimizer.nothing_found, found, [])
    definition = _of_kind(optimizer.unscaled, grad.dtype.kind)
    map_elements(plan, definition, grad, [grad, found], singles=[single(grad_scale)])


def _checked(*tensors: Operand) -> str:
    """Return the kind a parameter is computed in; its gradient and state must have its shape."""
    first = tensors[0]
    if not first.dtype.is_floating or any(each.dtype is not first.dtype for each in tensors):
        raise NotReproducible(
            "a parameter, its gradient and its state have different types",
            hint="let the optimizer make its own state, or pass fused=False",
        )
    if any(each.shape != first.shape for each in tensors):
        raise ValueError("a parameter, its gradient and its state have different shapes")
    return first.dtype.kind


def _of_kind(definitions: dict[str, Definition], kind: str) -> Definition:
    """Return the definition whose first input is of this kind."""
    return next(each for kinds, each in definitions.items() if kinds[0] == kind)


def single(operand: Operand) -> Operand:
    """Return the view of a tensor with one element that has no dimensions."""
    while operand.rank:
        operand = operand.squeeze(0)
    return operand


def _sign(is_negative: bool, kind: str) -> WordSource:
    value = -1.0 if is_negative else 1.0
    return WordSource(float_bits(value) if kind == "f" else double_bits(value), kind)
