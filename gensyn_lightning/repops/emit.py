"""Writes a scalar program as C on sixteen lanes: the same instructions, so the same bits.

A register becomes a vector of binary32, of binary64, of 32-bit or of 64-bit integers. An integer
takes the narrow form where its value, or all that anyone reads of it, fits 32 bits. A binary32 NaN
is made canonical where its bits are read as an integer, and where a result is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from gensyn_lightning.repops.opcode import (
    DOUBLE_OPERANDS,
    DOUBLE_RESULTS,
    FLOAT_OPERANDS,
    FLOAT_RESULTS,
    TRUTH_RESULTS,
    Op,
)
from gensyn_lightning.repops.program import Instruction, Program

_LOW = (1 << 32) - 1
_ALL = (1 << 64) - 1
_SIGN = 1 << 31
_TYPES = {"f": "vf", "d": "vd", "i": "vi", "l": "vl"}
_NARROWING = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.AND, Op.OR, Op.XOR})
_INFIX = {
    Op.FADD: "+",
    Op.FMUL: "*",
    Op.FDIV: "/",
    Op.ADD: "+",
    Op.SUB: "-",
    Op.MUL: "*",
    Op.AND: "&",
    Op.OR: "|",
    Op.XOR: "^",
    Op.DADD: "+",
    Op.DMUL: "*",
    Op.DDIV: "/",
}


def body(name: str, program: Program, kinds: str, result: str) -> str:
    """Return `INLINE v? p_NAME(v? r0, ...)` for inputs of kinds `f i d`, capital or not."""
    return _Body(name, program, kinds, result).text()


@dataclass(slots=True)
class _Register:
    """What is known of one register: its lanes, its largest value, and who reads how much of it."""

    lanes: str
    largest: int = _ALL
    low_half_does: bool = True


class _Body:
    def __init__(self, name: str, program: Program, kinds: str, result: str) -> None:
        self._name, self._program, self._result = name, program, result
        self._kinds = kinds = kinds.lower()
        self._first = program.inputs + len(program.constants)
        self._registers = [
            _Register({"f": "f", "d": "d", "i": "l"}[each], _LOW if each == "f" else _ALL)
            for each in kinds
        ]
        self._registers += [_Register("c", each) for each in program.constants]
        for each in program.instructions:
            self._registers.append(_Register("?", self._bound(each)))
        self._mark_wide_readers()
        self._choose_lanes()

    def text(self) -> str:
        """Return the function."""
        inputs = ", ".join(f"{_TYPES[self._lanes(at)]} r{at}" for at in range(len(self._kinds)))
        lines = [f"INLINE {_TYPES[self._out]} p_{self._name}({inputs}) {{"]
        for at, each in enumerate(self._program.instructions, self._first):
            lines.append(f"  {_TYPES[self._lanes(at)]} r{at} = {self._expression(at, each)};")
        value = self._as(self._program.result, self._out)
        if self._out == "f":
            value = f"f_canonical({value})"
        elif self._out == "d":
            value = f"d_canonical({value})"
        return "\n".join([*lines, f"  return {value};", "}", ""])

    @property
    def _out(self) -> str:
        return {"f": "f", "d": "d", "i": "l"}[self._result]

    def _lanes(self, at: int) -> str:
        return self._registers[at].lanes

    def _bound(self, each: Instruction) -> int:
        """Return an upper bound of the result as an unsigned integer."""
        known = [self._registers[at].largest for at in each.read]
        if each.op in TRUTH_RESULTS:
            return 1
        if each.op in FLOAT_RESULTS:
            return _LOW
        if each.op is Op.AND:
            return min(known)
        if each.op in (Op.OR, Op.XOR):
            return (1 << max(each.bit_length() for each in known)) - 1
        if each.op is Op.SEL:
            return max(known[1:])
        if each.op in (Op.ADD, Op.MUL):
            grown = known[0] + known[1] if each.op is Op.ADD else known[0] * known[1]
            return grown if grown <= _ALL else _ALL
        amount = self._constant(each.operands[1])
        if each.op is Op.SHR and amount is not None:
            return known[0] >> (amount % 64)
        if each.op is Op.SHL and amount is not None:
            grown = known[0] << (amount % 64)
            return grown if grown <= _ALL else _ALL
        return _ALL

    def _constant(self, at: int) -> int | None:
        inputs = self._program.inputs
        return self._program.constants[at - inputs] if inputs <= at < self._first else None

    def _mark_wide_readers(self) -> None:
        """Find out, from the end, of which registers more than the low half is read."""
        if self._result != "f":
            self._registers[self._program.result].low_half_does = False
        for at in range(len(self._registers) - 1, self._first - 1, -1):
            each = self._program.instructions[at - self._first]
            for position, operand in enumerate(each.read):
                if not self._reads_low_half(at, each, position):
                    self._registers[operand].low_half_does = False

    def _reads_low_half(self, at: int, each: Instruction, position: int) -> bool:
        own = self._registers[at].low_half_does
        if each.op in FLOAT_OPERANDS:
            return True
        if each.op in _NARROWING:
            return own
        if each.op is Op.SEL:
            return own and position > 0
        amount = self._constant(each.operands[1])
        return each.op is Op.SHL and own and position == 0 and (amount or 64) < 32

    def _choose_lanes(self) -> None:
        for at, each in enumerate(self._program.instructions, self._first):
            register = self._registers[at]
            narrow = register.largest <= _LOW or register.low_half_does
            if each.op in FLOAT_RESULTS:
                register.lanes = "f"
            elif each.op in DOUBLE_RESULTS:
                register.lanes = "d"
            elif each.op is Op.SEL:
                register.lanes = self._lanes_of_choice(each, narrow)
            elif self._is_sign_trick(each):
                register.lanes = "f"
            else:
                register.lanes = "i" if narrow and self._computes_narrow(each) else "l"

    def _lanes_of_choice(self, each: Instruction, narrow: bool) -> str:
        sides = {self._lanes(at) for at in each.operands[1:]} - {"c"}
        if sides == {"f"} or sides == {"d"}:
            return sides.pop()
        return "i" if narrow else "l"

    def _is_sign_trick(self, each: Instruction) -> bool:
        """Whether this is the negative or the absolute value of a binary32."""
        mask = {Op.XOR: _SIGN, Op.AND: _SIGN - 1}.get(each.op)
        a, b = each.operands[:2]
        return mask is not None and self._lanes(a) == "f" and self._constant(b) == mask

    def _computes_narrow(self, each: Instruction) -> bool:
        """Whether 32-bit lanes give the low half of the result."""
        if each.op in TRUTH_RESULTS:
            return True
        if each.op in _NARROWING:
            return True
        amount = self._constant(each.operands[1])
        if each.op is Op.SHL:
            return amount is not None and amount < 32
        if each.op is Op.SHR:
            fits = self._registers[each.operands[0]].largest <= _LOW
            return amount is not None and amount < 32 and fits
        return False

    def _expression(self, at: int, each: Instruction) -> str:
        lanes = self._lanes(at)
        if each.op in FLOAT_OPERANDS or each.op in DOUBLE_OPERANDS:
            return self._arithmetic(each)
        if each.op in (Op.I2F, Op.I2D):
            source = self._as(each.operands[0], "l")
            return f"__builtin_convertvector({source}, {_TYPES[lanes]})"
        if each.op is Op.SEL:
            return self._choice(lanes, each)
        if self._is_sign_trick(each):
            return self._sign_trick(each)
        return self._integer(lanes, each)

    def _sign_trick(self, each: Instruction) -> str:
        operand = f"r{each.operands[0]}"
        if each.op is Op.XOR:
            return f"-{operand}"
        return f"(vf)((vi){operand} & {_SIGN - 1})"

    def _arithmetic(self, each: Instruction) -> str:
        kind = "f" if each.op in FLOAT_OPERANDS else "d"
        operands = [self._as(at, kind) for at in each.read]
        if each.op in _INFIX:
            return f"{operands[0]} {_INFIX[each.op]} {operands[1]}"
        joined = ", ".join(operands)
        names = {
            Op.FFMA: f"f_fma({joined})",
            Op.FSQRT: f"f_sqrt({joined})",
            Op.DSQRT: f"d_sqrt({joined})",
            Op.F2I: f"f_to_l({joined})",
            Op.D2I: f"d_to_l({joined})",
            Op.F2D: f"__builtin_convertvector({joined}, vd)",
            Op.D2F: f"__builtin_convertvector({joined}, vf)",
        }
        if each.op in names:
            return names[each.op]
        sign = "<" if each.op in (Op.FLT, Op.DLT) else "=="
        test = f"({operands[0]} {sign} {operands[1]})"
        return f"{test} & 1" if kind == "f" else f"__builtin_convertvector({test}, vi) & 1"

    def _choice(self, lanes: str, each: Instruction) -> str:
        wide = lanes in "dl"
        condition = self._as(each.operands[0], "l" if wide else self._condition_lanes(each))
        if not wide and self._condition_lanes(each) == "l":
            test = f"__builtin_convertvector({condition} != 0, vi)"
        else:
            test = f"({condition} != 0)"
        yes, no = (self._as(at, lanes) for at in each.operands[1:])
        return f"{lanes}_select({test}, {yes}, {no})"

    def _condition_lanes(self, each: Instruction) -> str:
        at = each.operands[0]
        return "i" if self._registers[at].largest <= _LOW and self._lanes(at) != "l" else "l"

    def _integer(self, lanes: str, each: Instruction) -> str:
        if each.op in TRUTH_RESULTS:
            return self._comparison(each)
        left = self._as(each.operands[0], lanes)
        if each.op in _INFIX:
            return f"{left} {_INFIX[each.op]} {self._as(each.operands[1], lanes)}"
        amount = self._constant(each.operands[1])
        by = str(amount % 64) if amount is not None else f"({self._as(each.operands[1], 'l')} & 63)"
        unsigned, signed = ("vu", "vi") if lanes == "i" else ("vul", "vl")
        if each.op is Op.SAR:
            return f"{left} >> {by}"
        mark = "<<" if each.op is Op.SHL else ">>"
        cast = "" if amount is not None else f"({unsigned})"
        return f"({signed})(({unsigned}){left} {mark} {cast}{by})"

    def _comparison(self, each: Instruction) -> str:
        narrow = all(self._fits(at) for at in each.read) and each.op in (Op.EQ, Op.ULT)
        lanes, unsigned = ("i", "vu") if narrow else ("l", "vul")
        left, right = (self._as(at, lanes) for at in each.read)
        if each.op is Op.ULT:
            left, right = f"({unsigned}){left}", f"({unsigned}){right}"
        test = f"({left} {'==' if each.op is Op.EQ else '<'} {right})"
        return f"{test} & 1" if narrow else f"__builtin_convertvector({test}, vi) & 1"

    def _fits(self, at: int) -> bool:
        return self._registers[at].largest <= _LOW and self._lanes(at) != "d"

    def _as(self, at: int, lanes: str) -> str:
        """Return register `at` as lanes of another type: the same bits, zero-extended or cut."""
        value = self._constant(at)
        if value is not None:
            return _literal(value, lanes)
        have = self._lanes(at)
        if have == lanes:
            return f"r{at}"
        if have == "f":
            bits = f"(vi)f_canonical(r{at})" if at >= self._first else f"(vi)r{at}"
            return bits if lanes == "i" else f"l_extend({bits})"
        if have == "d":
            wide = f"(vl)d_canonical(r{at})" if at >= self._first else f"(vl)r{at}"
            return wide if lanes == "l" else f"__builtin_convertvector({wide}, vi)"
        if have == "i":
            return {"f": f"(vf)r{at}", "l": f"l_extend(r{at})", "d": f"(vd)l_extend(r{at})"}[lanes]
        narrow = f"__builtin_convertvector(r{at}, vi)"
        return {"i": narrow, "f": f"(vf){narrow}", "d": f"(vd)r{at}"}[lanes]


def _literal(value: int, lanes: str) -> str:
    if lanes == "f":
        return f"f_word(0x{value & _LOW:08x})"
    if lanes == "d":
        return f"d_word(0x{value:016x})"
    if lanes == "i":
        return f"i_all((int32_t)0x{value & _LOW:08x}u)"
    return f"l_all((int64_t)0x{value:016x}ull)"
