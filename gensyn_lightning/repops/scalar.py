"""Runs a scalar program on one element in whole numbers and fractions: a third reading.

Nothing here rounds but `_Format.rounded`: values are fractions, so no arithmetic of the machine is
relied on. Far too slow for tensors; the array interpreter and the kernels are tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gensyn_lightning.repops.opcode import Op
from gensyn_lightning.repops.program import Program

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class _Special:
    """What is no fraction: NaN, an infinity, or a zero, which has a sign."""

    name: str
    negative: bool = False


Value = Fraction | _Special
NAN = _Special("nan")


@dataclass(frozen=True, slots=True)
class _Format:
    """A binary format: bits of the significand after the point, and the largest exponent."""

    fraction: int
    bias: int

    @property
    def width(self) -> int:
        return self.fraction + self.bias.bit_length() + 2

    @property
    def infinity(self) -> int:
        return (2 * self.bias + 1) << self.fraction

    def value(self, word: int) -> Value:
        """Return the number whose bits are the low ones of `word`."""
        rest = word & ((1 << self.width - 1) - 1)
        negative = bool(word >> self.width - 1 & 1)
        if rest >= self.infinity:
            return _Special("infinity", negative) if rest == self.infinity else NAN
        if rest == 0:
            return _Special("zero", negative)
        exponent, significand = divmod(rest, 1 << self.fraction)
        if exponent:
            significand += 1 << self.fraction
        size = Fraction(2) ** (max(exponent, 1) - self.bias - self.fraction)
        return -significand * size if negative else significand * size

    def bits(self, value: Value) -> int:
        """Return the bits of the number nearest to `value`, of two the even one."""
        if isinstance(value, Fraction):
            sign = int(value < 0) << self.width - 1
            return sign | self._rounded(abs(value))
        if value.name == "nan":
            return self.infinity | 1 << self.fraction - 1
        return int(value.negative) << self.width - 1 | (
            self.infinity if value.name == "infinity" else 0
        )

    def _rounded(self, size: Fraction) -> int:
        """Return the bits of a positive number; what rounds beyond the largest is infinity."""
        if size == 0:
            return 0
        exponent = size.numerator.bit_length() - size.denominator.bit_length()
        if size < Fraction(2) ** exponent:
            exponent -= 1
        exponent = max(exponent, 1 - self.bias)
        units = round(size / Fraction(2) ** (exponent - self.fraction))  # to even
        above = (exponent + self.bias - 1) << self.fraction
        return min(above + units, self.infinity)


BINARY32, BINARY64 = _Format(23, 127), _Format(52, 1023)


def run(program: Program, inputs: Sequence[int]) -> int:
    """Return the program's result for one element; every word is a whole number below 2**64."""
    registers = [*inputs, *program.constants]
    for each in program.instructions:
        registers.append(OPCODES[each.op](*(registers[at] for at in each.read)))
    return registers[program.result]


def _is_zero(value: Value) -> bool:
    return isinstance(value, _Special) and value.name == "zero"


def _is_negative(value: Value) -> bool:
    return value.negative if isinstance(value, _Special) else value < 0


def _finite(value: Value) -> Fraction | None:
    """Return a finite value as a fraction."""
    if isinstance(value, Fraction):
        return value
    return Fraction(0) if value.name == "zero" else None


def _sum(a: Value, b: Value) -> Value:
    if NAN in (a, b):
        return NAN
    left, right = _finite(a), _finite(b)
    if left is None or right is None:
        if left is None and right is None and a != b:
            return NAN
        return a if left is None else b
    total = left + right
    if total:
        return total
    return _Special("zero", _is_negative(a) and _is_negative(b))


def _product(a: Value, b: Value) -> Value:
    if NAN in (a, b):
        return NAN
    negative = _is_negative(a) != _is_negative(b)
    left, right = _finite(a), _finite(b)
    if left is None or right is None:
        return NAN if _is_zero(a) or _is_zero(b) else _Special("infinity", negative)
    return left * right or _Special("zero", negative)


def _quotient(a: Value, b: Value) -> Value:
    if NAN in (a, b):
        return NAN
    negative = _is_negative(a) != _is_negative(b)
    left, right = _finite(a), _finite(b)
    if left is None:
        return NAN if right is None else _Special("infinity", negative)
    if right is None:
        return _Special("zero", negative)
    if not right:
        return _Special("infinity", negative) if left else NAN
    return left / right or _Special("zero", negative)


def _root(a: Value) -> Value:
    """Return the square root to 400 bits, with one more that says whether it is exact."""
    if isinstance(a, _Special):
        return NAN if a == _Special("infinity", negative=True) else a
    if a < 0:
        return NAN
    shift = 400 + 2 * a.denominator.bit_length()
    scaled = (a.numerator << 2 * shift) // a.denominator
    root = math.isqrt(scaled)
    exact = root * root * a.denominator == a.numerator << 2 * shift
    return Fraction(2 * root + (not exact), 2 << shift)


def _less(a: Value, b: Value) -> bool:
    if NAN in (a, b):
        return False
    left, right = _finite(a), _finite(b)
    if left is not None and right is not None:
        return left < right
    return a != b and (_is_negative(a) if left is None else not _is_negative(b))


def _same(a: Value, b: Value) -> bool:
    if NAN in (a, b):
        return False
    return a == b or (_is_zero(a) and _is_zero(b))


def _whole(a: Value) -> int:
    """Return a number without its fraction as a word: NaN is 0, what does not fit saturates."""
    if isinstance(a, _Special):
        if a.name != "infinity":
            return 0
        return 1 << 63 if a.negative else (1 << 63) - 1
    return min(max(math.trunc(a), -(1 << 63)), (1 << 63) - 1) & _MASK


def _signed(word: int) -> int:
    return word - (word >> 63 << 64)


def _of_integer(word: int) -> Value:
    return Fraction(_signed(word)) or _Special("zero")


def _arithmetic(form: _Format, function: Callable[..., Value]) -> Callable[..., int]:
    return lambda *words: form.bits(function(*map(form.value, words)))


def _compared(form: _Format, function: Callable[[Value, Value], bool]) -> Callable[..., int]:
    return lambda a, b: int(function(form.value(a), form.value(b)))


def _fused(a: Value, b: Value, c: Value) -> Value:
    return _sum(_product(a, b), c)


OPCODES: dict[Op, Callable[..., int]] = {
    Op.FADD: _arithmetic(BINARY32, _sum),
    Op.FMUL: _arithmetic(BINARY32, _product),
    Op.FFMA: _arithmetic(BINARY32, _fused),
    Op.FDIV: _arithmetic(BINARY32, _quotient),
    Op.FSQRT: _arithmetic(BINARY32, _root),
    Op.FLT: _compared(BINARY32, _less),
    Op.FEQ: _compared(BINARY32, _same),
    Op.SEL: lambda a, b, c: b if a else c,
    Op.ADD: lambda a, b: (a + b) & _MASK,
    Op.SUB: lambda a, b: (a - b) & _MASK,
    Op.MUL: lambda a, b: (a * b) & _MASK,
    Op.AND: lambda a, b: a & b,
    Op.OR: lambda a, b: a | b,
    Op.XOR: lambda a, b: a ^ b,
    Op.SHL: lambda a, b: (a << b % 64) & _MASK,
    Op.SHR: lambda a, b: a >> b % 64,
    Op.SAR: lambda a, b: (_signed(a) >> b % 64) & _MASK,
    Op.EQ: lambda a, b: int(a == b),
    Op.ULT: lambda a, b: int(a < b),
    Op.SLT: lambda a, b: int(_signed(a) < _signed(b)),
    Op.F2I: lambda a: _whole(BINARY32.value(a)),
    Op.I2F: lambda a: BINARY32.bits(_of_integer(a)),
    Op.F2D: lambda a: BINARY64.bits(BINARY32.value(a)),
    Op.D2F: lambda a: BINARY32.bits(BINARY64.value(a)),
    Op.D2I: lambda a: _whole(BINARY64.value(a)),
    Op.I2D: lambda a: BINARY64.bits(_of_integer(a)),
    Op.DADD: _arithmetic(BINARY64, _sum),
    Op.DMUL: _arithmetic(BINARY64, _product),
    Op.DDIV: _arithmetic(BINARY64, _quotient),
    Op.DSQRT: _arithmetic(BINARY64, _root),
    Op.DLT: _compared(BINARY64, _less),
    Op.DEQ: _compared(BINARY64, _same),
}
