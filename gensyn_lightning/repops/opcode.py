"""The thirty-two opcodes of a scalar program: what one instruction may do.

Registers are 64-bit words. A binary32 opcode reads the low half of its operands and leaves the
high half of its result 0. Arithmetic rounds to nearest even and keeps subnormals; a NaN it returns
is 0x7fc00000 (binary64: 0x7ff8000000000000). Integer opcodes count modulo 2**64, shifts take their
amount modulo 64, comparisons give 0 or 1 and are 0 where either side is NaN.
"""

from __future__ import annotations

from enum import IntEnum


class Op(IntEnum):
    """An opcode and its code."""

    FADD = 0x01
    FMUL = 0x02
    FFMA = 0x03
    FDIV = 0x04
    FSQRT = 0x05
    FLT = 0x06
    FEQ = 0x07
    SEL = 0x10  # a != 0 ? b : c
    ADD = 0x20
    SUB = 0x21
    MUL = 0x22
    AND = 0x23
    OR = 0x24
    XOR = 0x25
    SHL = 0x26
    SHR = 0x27
    SAR = 0x28
    EQ = 0x29
    ULT = 0x2A
    SLT = 0x2B
    F2I = 0x30  # binary32 to signed 64-bit: towards 0, NaN is 0, saturating
    I2F = 0x31
    F2D = 0x32
    D2F = 0x33
    D2I = 0x34
    I2D = 0x35
    DADD = 0x41
    DMUL = 0x42
    DDIV = 0x44
    DSQRT = 0x45
    DLT = 0x46
    DEQ = 0x47


ARITY: dict[Op, int] = dict.fromkeys(Op, 2) | {
    Op.FFMA: 3,
    Op.SEL: 3,
    Op.FSQRT: 1,
    Op.DSQRT: 1,
    Op.F2I: 1,
    Op.I2F: 1,
    Op.F2D: 1,
    Op.D2F: 1,
    Op.D2I: 1,
    Op.I2D: 1,
}

FLOAT_RESULTS = frozenset({Op.FADD, Op.FMUL, Op.FFMA, Op.FDIV, Op.FSQRT, Op.I2F, Op.D2F})
DOUBLE_RESULTS = frozenset({Op.DADD, Op.DMUL, Op.DDIV, Op.DSQRT, Op.F2D, Op.I2D})
TRUTH_RESULTS = frozenset({Op.FLT, Op.FEQ, Op.EQ, Op.ULT, Op.SLT, Op.DLT, Op.DEQ})
FLOAT_OPERANDS = frozenset(
    {Op.FADD, Op.FMUL, Op.FFMA, Op.FDIV, Op.FSQRT, Op.FLT, Op.FEQ, Op.F2I, Op.F2D}
)
DOUBLE_OPERANDS = frozenset({Op.DADD, Op.DMUL, Op.DDIV, Op.DSQRT, Op.DLT, Op.DEQ, Op.D2F, Op.D2I})
