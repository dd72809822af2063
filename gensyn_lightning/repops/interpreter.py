"""Runs a scalar program over whole arrays with NumPy: slow, and the bits every kernel must give.

Words travel as uint64 arrays. NumPy's additions, products, quotients and square roots are IEEE on
every machine; there is no fused multiply-add, so it is made of a product that is exact in binary64
and an addition rounded to odd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gensyn_lightning.repops.opcode import Op
from gensyn_lightning.repops.program import Program

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[Any]

NAN32 = np.uint32(0x7FC00000)
NAN64 = np.uint64(0x7FF8000000000000)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(63)


def run(program: Program, inputs: Sequence[Words]) -> Words:
    """Return the program's result for every element of its inputs, which broadcast together."""
    registers: list[Words] = [*inputs, *(np.array(each, np.uint64) for each in program.constants)]
    with np.errstate(all="ignore"):
        for each in program.instructions:
            operands = [registers[at] for at in each.read]
            registers.append(OPCODES[each.op](*operands))
    shape = np.broadcast_shapes(*(each.shape for each in registers))
    return np.broadcast_to(registers[program.result], shape)


def floats(words: Words) -> Floats:
    """Return the binary32 numbers whose bits are the low halves of `words`."""
    return (words & _LOW).astype(np.uint32).view(np.float32)


def from_floats(values: Floats) -> Words:
    """Return binary32 numbers as words, every NaN as the one NaN."""
    raw = np.asarray(values, np.float32).view(np.uint32)
    return np.where(np.isnan(values), NAN32, raw).astype(np.uint64)


def from_doubles(values: Floats) -> Words:
    """Return binary64 numbers as words, every NaN as the one NaN."""
    raw = np.asarray(values, np.float64).view(np.uint64)
    return np.where(np.isnan(values), NAN64, raw)


def fused(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return `a * b + c` of binary32 numbers, rounded once."""
    product = a.astype(np.float64) * b.astype(np.float64)
    addend = c.astype(np.float64)
    total = np.asarray(product + addend)
    part = total - product
    rest = (product - (total - part)) + (addend - part)
    raw = total.view(np.int64).copy()
    odd = raw + np.where((rest.view(np.int64) ^ raw) >= 0, 1, -1)
    inexact = (rest != 0) & (rest == rest) & ((raw & 1) == 0)  # noqa: PLR0124
    return np.where(inexact, odd, raw).view(np.float64).astype(np.float32)


def _doubles(words: Words) -> Floats:
    return np.ascontiguousarray(words).view(np.float64)


def _signed(words: Words) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(words).view(np.int64)


def _float(function: Callable[..., Floats]) -> Callable[..., Words]:
    return lambda *words: from_floats(function(*map(floats, words)))


def _double(function: Callable[..., Floats]) -> Callable[..., Words]:
    return lambda *words: from_doubles(function(*map(_doubles, words)))


def _truth(
    function: Callable[..., Any], read: Callable[[Words], Any]
) -> Callable[[Words, Words], Words]:
    return lambda a, b: np.asarray(function(read(a), read(b))).astype(np.uint64)


def _truncated(values: Floats) -> Words:
    """Towards 0, NaN is 0, saturating."""
    wide = np.trunc(values.astype(np.float64))
    inside = (wide >= -(2.0**63)) & (wide < 2.0**63)
    whole = np.where(inside, wide, 0.0).astype(np.int64)
    limits = np.where(wide > 0, np.int64(2**63 - 1), np.int64(-(2**63)))
    outside = np.where(np.isnan(wide), np.int64(0), limits)
    return np.where(inside, whole, outside).view(np.uint64)


def _select(a: Words, b: Words, c: Words) -> Words:
    chosen: Words = np.where(a != 0, b, c)
    return chosen


def _to_float(words: Words) -> Words:
    return from_floats(_signed(words).astype(np.float32))


OPCODES: dict[Op, Callable[..., Words]] = {
    Op.FADD: _float(np.add),
    Op.FMUL: _float(np.multiply),
    Op.FFMA: _float(fused),
    Op.FDIV: _float(np.divide),
    Op.FSQRT: _float(np.sqrt),
    Op.FLT: _truth(np.less, floats),
    Op.FEQ: _truth(np.equal, floats),
    Op.SEL: _select,
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.AND: np.bitwise_and,
    Op.OR: np.bitwise_or,
    Op.XOR: np.bitwise_xor,
    Op.SHL: lambda a, b: np.left_shift(a, b & _SHIFT),
    Op.SHR: lambda a, b: np.right_shift(a, b & _SHIFT),
    Op.SAR: lambda a, b: np.right_shift(_signed(a), _signed(b & _SHIFT)).view(np.uint64),
    Op.EQ: _truth(np.equal, np.asarray),
    Op.ULT: _truth(np.less, np.asarray),
    Op.SLT: _truth(np.less, _signed),
    Op.F2I: lambda a: _truncated(floats(a)),
    Op.I2F: _to_float,
    Op.F2D: lambda a: from_doubles(floats(a).astype(np.float64)),
    Op.D2F: lambda a: from_floats(_doubles(a).astype(np.float32)),
    Op.D2I: lambda a: _truncated(_doubles(a)),
    Op.I2D: lambda a: from_doubles(_signed(a).astype(np.float64)),
    Op.DADD: _double(np.add),
    Op.DMUL: _double(np.multiply),
    Op.DDIV: _double(np.divide),
    Op.DSQRT: _double(np.sqrt),
    Op.DLT: _truth(np.less, _doubles),
    Op.DEQ: _truth(np.equal, _doubles),
}
