"""Elementary and special functions of one or two tensors; of integers, they are of binary32."""

from __future__ import annotations

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.operators.pointwise import (
    Value,
    cover_binary,
    cover_unary,
    elementwise,
)
from gensyn_lightning.repops.plan import Operand, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs import (
    activation,
    activation_gradient,
    error_function,
    exponential,
    exponential_double,
    gamma,
    hyperbolic,
    power,
    rounding,
    special,
    trigonometric,
)
from gensyn_lightning.repops.word import double_bits, float_bits

cover_unary(
    {
        "exp": {"f": exponential.exp, "d": exponential_double.exp_d},
        "log": {"f": exponential.log, "d": exponential_double.log_d},
        "exp2": exponential.exp2,
        "expm1": exponential.expm1,
        "log2": exponential.log2,
        "log10": exponential.log10,
        "log1p": exponential.log1p,
        "tanh": hyperbolic.tanh,
        "sigmoid": hyperbolic.sigmoid,
        "sinh": hyperbolic.sinh,
        "cosh": hyperbolic.cosh,
        "asinh": hyperbolic.asinh,
        "acosh": hyperbolic.acosh,
        "atanh": hyperbolic.atanh,
        "sin": trigonometric.sin,
        "cos": trigonometric.cos,
        "tan": trigonometric.tan,
        "asin": trigonometric.asin,
        "acos": trigonometric.acos,
        "atan": trigonometric.atan,
        "sinc": trigonometric.sinc,
        "erf": error_function.erf,
        "erfc": error_function.erfc,
        "erfinv": error_function.erfinv,
        "lgamma": gamma.lgamma,
        "digamma": gamma.digamma,
        "sqrt": power.square_root,
        "rsqrt": power.rsqrt,
        "reciprocal": power.reciprocal,
    },
    integers=True,
)
cover_unary({"frac": rounding.frac, "sign": rounding.sign, "sgn": rounding.sign})
cover_binary({"atan2": trigonometric.atan2}, integers=True)
cover_binary({"copysign.Tensor": rounding.copysign}, integers=True)
cover_binary({"hypot": power.hypot})
cover_binary({"logaddexp": special.log_add_exp, "logaddexp2": special.log_add_exp2}, inplace=False)


@covers(out="abs.out", elementwise=True)
def abs_(plan: Plan, self: Operand) -> None:
    """Return |self|."""
    elementwise(plan, rounding.absolute_value, self)


@covers("xlogy.Tensor", inplace="xlogy_.Tensor", out="xlogy.OutTensor", elementwise=True)
def xlogy(plan: Plan, self: Value, other: Value) -> None:
    """Return self log(other), 0 where self is."""
    elementwise(plan, special.xlogy, self, other, integers=True)


@covers("special_xlog1py", out="special_xlog1py.out", elementwise=True)
def xlog1py(plan: Plan, self: Value, other: Value) -> None:
    """Return self log(1 + other), 0 where self is."""
    elementwise(plan, special.xlog1py, self, other, integers=True)


@covers("special_entr", out="special_entr.out", elementwise=True)
def entr(plan: Plan, self: Operand) -> None:
    """Return -self log(self)."""
    elementwise(plan, special.entropy, self, integers=True)


@covers("logit", inplace="logit_", out="logit.out", elementwise=True)
def logit(plan: Plan, self: Operand, eps: Scalar | None) -> None:
    """Return log(self / (1 - self)), of self brought eps away from 0 and 1."""
    if eps is None:
        elementwise(plan, activation.logit, self, integers=True)
    else:
        elementwise(plan, activation.logit_inside, self, parameters=[eps], integers=True)


@covers("logit_backward", out="logit_backward.grad_input", elementwise=True)
def logit_backward(plan: Plan, gradient: Operand, self: Operand, eps: Scalar | None) -> None:
    """Return the gradient through logit."""
    if eps is None:
        elementwise(plan, activation_gradient.logit_backward, gradient, self)
    else:
        program = activation_gradient.logit_inside_backward
        elementwise(plan, program, gradient, self, parameters=[eps])


@covers(
    "round.decimals",
    inplace="round_.decimals",
    out="round.decimals_out",
    static=("decimals",),
    elementwise=True,
)
def round_decimals(plan: Plan, self: Operand, decimals: int) -> None:
    """Return self rounded to so many decimals, or to a power of ten if there are fewer than 0."""
    size = 10.0 ** abs(decimals)
    word = double_bits(size) if self.dtype.kind == "d" else float_bits(size)
    program = rounding.round_to_power if decimals < 0 else rounding.round_to_multiple
    kind = "d" if self.dtype.kind == "d" else "f"
    elementwise(plan, program, self, parameters=[WordSource(word, kind)])


@covers(out="nan_to_num.out", static=("nan", "posinf", "neginf"), elementwise=True)
def nan_to_num(
    plan: Plan,
    self: Operand,
    nan: float | None,
    posinf: float | None,
    neginf: float | None,
) -> None:
    """Return self with numbers for NaN and infinities: 0 and the largest if none is given."""
    largest = _LARGEST.get(self.dtype.name, 0.0)
    chosen = (nan or 0.0, largest if posinf is None else posinf)
    numbers = (*chosen, -largest if neginf is None else neginf)
    kind = "d" if self.dtype.kind == "d" else "f"
    bits = double_bits if kind == "d" else float_bits
    parameters = [WordSource(bits(each), kind) for each in numbers]
    elementwise(plan, rounding.nan_to_num, self, parameters=parameters)


_LARGEST = {
    "F16": 65504.0,
    "BF16": (2 - 2.0**-7) * 2.0**127,
    "F32": (2 - 2.0**-23) * 2.0**127,
    "F64": (2 - 2.0**-52) * 2.0**1023,
}
