"""Activation functions and what they do to a gradient."""

from __future__ import annotations

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.operators.pointwise import (
    Programs,
    apply,
    cover_unary,
    elementwise,
    result_of,
)
from gensyn_lightning.repops.plan import Exact, Operand, Plan, Scalar
from gensyn_lightning.repops.programs import activation
from gensyn_lightning.repops.programs import activation_gradient as gradients

cover_unary(
    {
        "silu": activation.silu,
        "mish": activation.mish,
        "hardsigmoid": activation.hardsigmoid,
        "hardswish": activation.hardswish,
    }
)


@covers("relu", inplace="relu_", elementwise=True)
def relu(plan: Plan, self: Operand) -> None:
    """Return the larger of self and 0."""
    elementwise(plan, activation.relu, self)


@covers("gelu", inplace="gelu_", out="gelu.out", elementwise=True)
def gelu(plan: Plan, self: Operand, approximate: str) -> None:
    """Return self times the share of a normal distribution below it."""
    elementwise(plan, _gelu_of(approximate, activation.gelu, activation.gelu_tanh), self)


@covers("gelu_backward", out="gelu_backward.grad_input", elementwise=True)
def gelu_backward(plan: Plan, gradient: Operand, self: Operand, approximate: str) -> None:
    """Return the gradient through gelu."""
    program = _gelu_of(approximate, gradients.gelu_backward, gradients.gelu_tanh_backward)
    elementwise(plan, program, gradient, self)


def _gelu_of(approximate: str, exact: Programs, by_tanh: Programs) -> Programs:
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return by_tanh if approximate == "tanh" else exact


def _with_parameters(name: str, program: Programs, *, inplace: bool = True) -> None:
    """Cover a function of a tensor and of numbers that come after it."""

    def lower(plan: Plan, self: Operand, *parameters: Scalar) -> None:
        elementwise(plan, program, self, parameters=parameters)

    own = f"{name}_" if inplace else ""
    covers(name, inplace=own, out=f"{name}.out", elementwise=True)(lower)


def _backward(name: str, program: Programs, *, out: bool = True) -> None:
    """Cover a function of a gradient, of a tensor, and of numbers that come after them."""

    def lower(plan: Plan, gradient: Operand, self: Operand, *parameters: Scalar) -> None:
        elementwise(plan, program, gradient, self, parameters=parameters)

    target = f"{name}.grad_input" if out else ""
    covers(name, out=target, elementwise=True)(lower)


_with_parameters("threshold", activation.threshold)
_with_parameters("hardtanh", activation.hardtanh)
_with_parameters("leaky_relu", activation.leaky_relu)
_with_parameters("elu", activation.elu)
_with_parameters("softplus", activation.softplus, inplace=False)
_with_parameters("hardshrink", activation.hardshrink, inplace=False)
_with_parameters("softshrink", activation.softshrink, inplace=False)

_backward("sigmoid_backward", gradients.sigmoid_backward)
_backward("tanh_backward", gradients.tanh_backward)
_backward("silu_backward", gradients.silu_backward)
_backward("mish_backward", gradients.mish_backward, out=False)
_backward("hardsigmoid_backward", gradients.hardsigmoid_backward)
_backward("hardswish_backward", gradients.hardswish_backward, out=False)
_backward("threshold_backward", gradients.threshold_backward)
_backward("hardtanh_backward", gradients.hardtanh_backward)
_backward("softplus_backward", gradients.softplus_backward)
_backward("hardshrink_backward", gradients.shrink_backward)
_backward("softshrink_backward", gradients.shrink_backward)


@covers("leaky_relu_backward", out="leaky_relu_backward.grad_input", elementwise=True)
def leaky_relu_backward(
    plan: Plan, gradient: Operand, self: Operand, slope: Scalar, is_result: bool
) -> None:
    """Return the gradient through leaky_relu; the sign is that of its value too."""
    del is_result
    elementwise(plan, gradients.leaky_relu_backward, gradient, self, parameters=[slope])


@covers("elu_backward", out="elu_backward.grad_input", elementwise=True)
def elu_backward(
    plan: Plan,
    gradient: Operand,
    alpha: Scalar,
    scale: Scalar,
    input_scale: Scalar,
    is_result: bool,
    self: Operand,
) -> None:
    """Return the gradient through elu, by its input or by its value."""
    program = gradients.elu_backward_of_value if is_result else gradients.elu_backward
    elementwise(plan, program, gradient, self, parameters=[alpha, scale, input_scale])


@covers("log_sigmoid_forward", out="log_sigmoid_forward.output", elementwise=True)
def log_sigmoid_forward(plan: Plan, self: Operand) -> None:
    """Return log(sigmoid(self)), and e**-|self| for the gradient."""
    outs = [result_of(plan, self), plan.result_like(self)]
    apply(plan, {"f": activation.log_sigmoid}, outs, [self])
    plan.returns(*outs)


@covers("log_sigmoid_backward", out="log_sigmoid_backward.grad_input", elementwise=True)
def log_sigmoid_backward(plan: Plan, gradient: Operand, self: Operand, buffer: Operand) -> None:
    """Return the gradient through log_sigmoid."""
    elementwise(plan, gradients.log_sigmoid_backward, gradient, self, buffer)


@covers("_prelu_kernel", elementwise=True)
def prelu(plan: Plan, self: Operand, weight: Operand) -> None:
    """Return self above 0, else weight times it."""
    elementwise(plan, activation.leaky_relu, self, weight)


@covers("_prelu_kernel_backward", elementwise=True)
def prelu_backward(plan: Plan, gradient: Operand, self: Operand, weight: Operand) -> None:
    """Return the gradients of self and, element by element, of the weight."""
    outs = [result_of(plan, self, weight, gradient) for _ in range(2)]
    apply(plan, gradients.prelu_backward, outs, [gradient, self, weight])
    plan.returns(*outs)


@covers("glu", out="glu.out")
def glu(plan: Plan, self: Operand, dim: int) -> None:
    """Return the first half along `dim` times the sigmoid of the second."""
    first, second = _halves(self, dim)
    out = plan.result(first.shape, self.dtype)
    apply(plan, {"ff": activation.glu}, out, [first, second])
    plan.returns(out)


@covers("glu_backward", out="glu_backward.grad_input")
def glu_backward(plan: Plan, gradient: Operand, self: Operand, dim: int) -> None:
    """Return the gradient through glu."""
    out = plan.result(self.shape, self.dtype)
    values = [gradient, *_halves(self, dim)]
    apply(plan, {"fff": gradients.glu_backward}, _halves(out, dim), values)
    plan.returns(out)


def _halves(operand: Operand, dim: int) -> list[Operand]:
    if not operand.dtype.is_floating:
        raise Exact
    at = dim % max(operand.rank, 1)
    size, odd = divmod(operand.shape[at], 2)
    if odd:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {odd}")
    return [operand.narrow(at, start, size) for start in (0, size)]
