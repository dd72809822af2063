"""Writes a scalar program as C on sixteen lanes: the same instructions, so the same bits.

A register becomes a vector of binary32, of binary64, of 32-bit or of 64-bit integers. An integer
takes the narrow form where its value, or all that anyone reads of it, fits 32 bits. A NaN that
arithmetic made is canonical where anyone reads its bits, and where a result is stored.
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
_DOUBLE_SIGN = 1 << 63
_TYPES = {"f": "vf", "d": "vd", "i": "vi", "l": "vl"}
_NARROWING = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.AND, Op.OR, Op.XOR})
_MAY_BE_NAN = (FLOAT_RESULTS | DOUBLE_RESULTS) - {Op.I2F, Op.I2D}
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


def raw_body(name: str, program: Program, kinds: str, result: str) -> str:
    """Return the same as `q_NAME`, for use inside a fold: any NaN may come in, and may come out."""
    return _Body(name, program, kinds, result, raw=True).text()


@dataclass(slots=True)
class _Register:
    """What is known of one register: its lanes, its largest value, and how much of it is read.

    `bits_count`: someone reads a floating-point number's bits, so its NaN has to be the one NaN.
    """

    lanes: str
    largest: int = _ALL
    low_half_does: bool = True
    bits_count: bool = False


class _Body:
    def __init__(
        self, name: str, program: Program, kinds: str, result: str, *, raw: bool = False
    ) -> None:
        self._name, self._program, self._result = name, program, result
        self._raw = raw
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
        self._mark_readers_of_bits()
        self._needed = self._read_by_expressions()

    def text(self) -> str:
        """Return the function."""
        inputs = ", ".join(f"{_TYPES[self._lanes(at)]} r{at}" for at in range(len(self._kinds)))
        mark = "q" if self._raw else "p"
        lines = [f"INLINE {_TYPES[self._out]} {mark}_{self._name}({inputs}) {{"]
        for at, each in enumerate(self._registers[: self._program.inputs]):
            if self._raw and each.bits_count and each.lanes in "fd":
                lines.append(f"  r{at} = {each.lanes}_canonical(r{at});")
        lines += [f"  (void)r{at};" for at in range(len(self._kinds)) if at not in self._needed]
        for at, step in enumerate(self._program.instructions, self._first):
            if at not in self._needed:
                continue
            made = self._expression(at, step)
            if self._registers[at].bits_count and step.op in _MAY_BE_NAN:
                made = f"{self._lanes(at)}_canonical({made})"
            lines.append(f"  {_TYPES[self._lanes(at)]} r{at} = {made};")
        value = self._as(self._program.result, self._out)
        if not self._raw and self._out in "fd":
            value = f"{self._out}_canonical({value})"
        return "\n".join([*lines, f"  return {value};", "}", ""])

    @property
    def _out(self) -> str:
        return {"f": "f", "d": "d", "i": "l"}[self._result]

    def _lanes(self, at: int) -> str:
        return self._registers[at].lanes

    def _bound(self, each: Instruction) -> int:  # noqa: C901, PLR0911  (a case each)
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
                register.lanes = self._lanes(each.operands[0])
            else:
                register.lanes = "i" if narrow and self._computes_narrow(each) else "l"

    def _mark_readers_of_bits(self) -> None:
        """Find out, from the end, whose bits are read, be it through choices and signs."""
        result = self._registers[self._program.result]
        result.bits_count = result.lanes != self._out
        for at in range(len(self._registers) - 1, self._first - 1, -1):
            each = self._program.instructions[at - self._first]
            for position, operand in enumerate(each.read):
                if self._reads_bits(at, each, position):
                    self._registers[operand].bits_count = True

    def _reads_bits(self, at: int, each: Instruction, position: int) -> bool:
        if each.op in FLOAT_OPERANDS:
            return self._lanes(each.operands[position]) == "d"
        if each.op in DOUBLE_OPERANDS:
            return self._lanes(each.operands[position]) == "f"
        if each.op is Op.SEL and position == 0:
            return False
        passes_on = each.op is Op.SEL or (position == 0 and self._is_sign_trick(each))
        if passes_on and self._lanes(at) == self._lanes(each.operands[position]):
            return self._registers[at].bits_count
        return True

    def _lanes_of_choice(self, each: Instruction, narrow: bool) -> str:
        sides = {self._lanes(at) for at in each.operands[1:]} - {"c"}
        if sides == {"d"} or (narrow and "f" in sides and sides <= {"f", "i"}):
            return "d" if sides == {"d"} else "f"
        return "i" if narrow else "l"

    def _is_sign_trick(self, each: Instruction) -> bool:
        """Whether this is the negative or the absolute value of a binary32 or a binary64."""
        a, b = each.operands[:2]
        sign = {"f": _SIGN, "d": _DOUBLE_SIGN}.get(self._lanes(a))
        if sign is None or each.op not in (Op.XOR, Op.AND):
            return False
        return self._constant(b) == (sign if each.op is Op.XOR else sign - 1)

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
            return self._of_integer(lanes, each)
        if each.op is Op.SEL:
            return self._extreme(at, each) or self._choice(lanes, each)
        if self._is_sign_trick(each):
            return self._sign_trick(each)
        return self._integer(lanes, each)

    def _of_integer(self, lanes: str, each: Instruction) -> str:
        """Convert an integer, by 32-bit lanes where it fits them: every machine has those."""
        operand = each.operands[0]
        small = self._registers[operand].largest < _SIGN and self._lanes(operand) == "i"
        source = self._as(operand, "i" if small else "l")
        return f"__builtin_convertvector({source}, {_TYPES[lanes]})"

    def _sign_trick(self, each: Instruction) -> str:
        operand, wide = f"r{each.operands[0]}", self._lanes(each.operands[0]) == "d"
        if each.op is Op.XOR:
            return f"-{operand}"
        mask = _literal(_DOUBLE_SIGN - 1, "l") if wide else _literal(_SIGN - 1, "i")
        return f"(vd)((vl){operand} & {mask})" if wide else f"(vf)((vi){operand} & {mask})"

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

    def _read_by_expressions(self) -> set[int]:
        """Return the registers that are named: the tests of extremes are not."""
        needed = {self._program.result}
        for at in range(len(self._registers) - 1, self._first - 1, -1):
            each = self._program.instructions[at - self._first]
            if at in needed:
                needed.update(each.operands[1:] if self._extreme(at, each) else each.read)
        return needed

    def _extreme(self, at: int, each: Instruction) -> str:
        """Return the larger or the smaller of two binary32 where a choice is that, else nothing.

        Where neither is smaller, it is the second: what the instructions of x86 do.
        """
        test = each.operands[0] - self._first
        if each.op is not Op.SEL or test < 0 or self._lanes(at) != "f":
            return ""
        compared = self._program.instructions[test]
        if compared.op is not Op.FLT or {*compared.read} != {*each.operands[1:]}:
            return ""
        yes, no = (self._as(side, "f") for side in each.operands[1:])
        return f"f_{'smaller' if compared.read[0] == each.operands[1] else 'larger'}({yes}, {no})"

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
            wide = f"l_extend((vi)r{at})"
            return {"i": f"(vi)r{at}", "l": wide, "d": f"(vd){wide}"}[lanes]
        if have == "d":
            narrow = f"__builtin_convertvector((vl)r{at}, vi)"
            return {"l": f"(vl)r{at}", "i": narrow, "f": f"(vf){narrow}"}[lanes]
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
