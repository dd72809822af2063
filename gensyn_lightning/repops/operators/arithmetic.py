"""Sums, products, quotients, remainders and powers of two tensors, or of a tensor and a number."""

from __future__ import annotations

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.operators.pointwise import (
    Programs,
    Value,
    apply,
    cover_binary,
    elementwise,
    result_of,
)
from gensyn_lightning.repops.plan import Exact, Operand, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs import activation, arithmetic, power, rounding
from gensyn_lightning.repops.word import double_bits, float_bits

cover_binary({"mul.Tensor": arithmetic.mul})


@covers("add.Tensor", inplace="add_.Tensor", out="add.out", elementwise=True)
def add(plan: Plan, self: Value, other: Value, alpha: Scalar) -> None:
    """Return self + alpha * other, rounded twice."""
    elementwise(plan, arithmetic.add_scaled, self, other, parameters=[alpha])


@covers("sub.Tensor", inplace="sub_.Tensor", out="sub.out", elementwise=True)
def sub(plan: Plan, self: Value, other: Value, alpha: Scalar) -> None:
    """Return self - alpha * other, rounded twice."""
    elementwise(plan, arithmetic.sub_scaled, self, other, parameters=[alpha])


@covers("rsub.Tensor", elementwise=True)
def rsub(plan: Plan, self: Value, other: Value, alpha: Scalar) -> None:
    """Return other - alpha * self, rounded twice."""
    sub(plan, other, self, alpha)


@covers("_add_relu.Tensor", inplace="_add_relu_.Tensor", out="_add_relu.out", elementwise=True)
def add_relu(plan: Plan, self: Value, other: Value, alpha: Scalar) -> None:
    """Return the larger of 0 and self + alpha * other."""
    out = result_of(plan, self, other)
    apply(plan, arithmetic.add_scaled, out, [self, other], [alpha])
    apply(plan, activation.relu, out, [out])
    plan.returns(out)


@covers("div.Tensor", inplace="div_.Tensor", out="div.out", elementwise=True)
def div(plan: Plan, self: Value, other: Value) -> None:
    """Return self / other."""
    elementwise(plan, arithmetic.div, self, other, integers=True)


@covers("div.Tensor_mode", inplace="div_.Tensor_mode", out="div.out_mode", elementwise=True)
def div_mode(plan: Plan, self: Value, other: Value, rounding_mode: str | None) -> None:
    """Return self / other, rounded to a whole number towards zero or down."""
    if rounding_mode is None:
        div(plan, self, other)
    elif rounding_mode == "floor":
        elementwise(plan, rounding.floor_divide, self, other)
    else:
        elementwise(plan, rounding.div_trunc, self, other)


@covers("floor_divide", inplace="floor_divide_.Tensor", out="floor_divide.out", elementwise=True)
def floor_divide(plan: Plan, self: Value, other: Value) -> None:
    """Return self / other rounded down."""
    elementwise(plan, rounding.floor_divide, self, other)


@covers(
    "remainder.Tensor",
    "remainder.Scalar_Tensor",
    inplace="remainder_.Tensor",
    out="remainder.Tensor_out",
    elementwise=True,
)
def remainder(plan: Plan, self: Value, other: Value) -> None:
    """Return what floor_divide leaves, with other's sign."""
    elementwise(plan, rounding.remainder, self, other)


@covers("fmod.Tensor", inplace="fmod_.Tensor", out="fmod.Tensor_out", elementwise=True)
def fmod(plan: Plan, self: Value, other: Value) -> None:
    """Return what division towards zero leaves, with self's sign."""
    elementwise(plan, rounding.fmod, self, other)


@covers("pow.Tensor_Tensor", inplace="pow_.Tensor", out="pow.Tensor_Tensor_out", elementwise=True)
def pow_tensor(plan: Plan, self: Operand, exponent: Value) -> None:
    """Return self ** exponent."""
    elementwise(plan, power.pow_, self, exponent)


@covers("pow.Scalar", out="pow.Scalar_out", elementwise=True)
def pow_of_number(plan: Plan, self: Scalar, exponent: Operand) -> None:
    """Return the number self ** exponent."""
    out = result_of(plan, self, exponent)
    apply(plan, {"fF": power.pow_of}, out, [exponent], [self])
    plan.returns(out)


@covers(
    "pow.Tensor_Scalar",
    inplace="pow_.Scalar",
    out="pow.Tensor_Scalar_out",
    static=("exponent",),
    elementwise=True,
)
def pow_number(plan: Plan, self: Operand, exponent: float) -> None:
    """Return self ** exponent; some exponents have programs of their own.

    Those are 1, 2, 3, 1/2, -1/2, -1 and -2: products, roots and quotients as one would write them.
    """
    if not self.dtype.is_floating and isinstance(exponent, int):
        raise Exact
    special = _POWERS.get(float(exponent))
    if special is not None:
        elementwise(plan, special, self, integers=True)
        return
    kind = "d" if self.dtype.kind == "d" else "f"
    bits = double_bits(float(exponent)) if kind == "d" else float_bits(exponent)
    word = WordSource(bits, kind)
    elementwise(plan, power.pow_, self, parameters=[word], integers=True)


_POWERS: dict[float, Programs] = {
    1.0: arithmetic.copy,
    2.0: power.square,
    3.0: power.cube,
    0.5: power.square_root,
    -0.5: power.rsqrt,
    -1.0: power.reciprocal,
    -2.0: power.reciprocal_square,
}


@covers("addcmul", inplace="addcmul_", out="addcmul.out", elementwise=True)
def addcmul(plan: Plan, self: Value, tensor1: Value, tensor2: Value, value: Scalar) -> None:
    """Return self + value * tensor1 * tensor2, from left to right."""
    elementwise(plan, arithmetic.add_product, self, tensor1, tensor2, parameters=[value])


@covers("addcdiv", inplace="addcdiv_", out="addcdiv.out", elementwise=True)
def addcdiv(plan: Plan, self: Value, tensor1: Value, tensor2: Value, value: Scalar) -> None:
    """Return self + value * tensor1 / tensor2, from left to right."""
    elementwise(plan, arithmetic.add_quotient, self, tensor1, tensor2, parameters=[value])


@covers(
    "lerp.Scalar",
    "lerp.Tensor",
    inplace="lerp_.Scalar lerp_.Tensor",
    out="lerp.Scalar_out lerp.Tensor_out",
    elementwise=True,
)
def lerp(plan: Plan, self: Operand, end: Operand, weight: Value) -> None:
    """Return self + weight * (end - self)."""
    if isinstance(weight, Scalar):
        elementwise(plan, arithmetic.lerp, self, end, parameters=[weight])
    else:
        elementwise(plan, arithmetic.lerp, self, end, weight)
