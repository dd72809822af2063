"""Writes a scalar program as C on sixteen lanes: the same instructions, so the same bits.

A NaN that arithmetic made is canonical where anyone reads its bits, and where a result is stored.
"""

from __future__ import annotations

from gensyn_lightning.repops.lanes import DOUBLE_SIGN, LOW, SIGN, Layout
from gensyn_lightning.repops.opcode import (
    DOUBLE_OPERANDS,
    DOUBLE_RESULTS,
    FLOAT_OPERANDS,
    FLOAT_RESULTS,
    TRUTH_RESULTS,
    Op,
)
from gensyn_lightning.repops.program import Instruction, Program

_TYPES = {"f": "vf", "d": "vd", "i": "vi", "l": "vl", "m": "vi"}
_MAY_BE_NAN = (FLOAT_RESULTS | DOUBLE_RESULTS) - {Op.I2F, Op.I2D}
_INTEGER = {
    Op.ADD: "add",
    Op.SUB: "sub",
    Op.MUL: "mul",
    Op.AND: "and",
    Op.OR: "or",
    Op.XOR: "xor",
}
_SHIFTS = {Op.SHL: "shl", Op.SHR: "shr", Op.SAR: "sar"}
_NAMES = {
    Op.FADD: "f_add",
    Op.FMUL: "f_mul",
    Op.FDIV: "f_div",
    Op.DADD: "d_add",
    Op.DMUL: "d_mul",
    Op.DDIV: "d_div",
    Op.FFMA: "f_fma",
    Op.FSQRT: "f_sqrt",
    Op.DSQRT: "d_sqrt",
    Op.FLT: "f_lt",
    Op.FEQ: "f_eq",
    Op.DLT: "d_lt",
    Op.DEQ: "d_eq",
    Op.F2I: "f_to_l",
    Op.D2I: "d_to_l",
    Op.F2D: "d_of_f",
    Op.D2F: "f_of_d",
}


def body(name: str, program: Program, kinds: str, result: str) -> str:
    """Return `INLINE v? p_NAME(v? r0, ...)` for inputs of kinds `f i d`, capital or not."""
    return _Body(name, program, kinds, result).text()


def raw_body(name: str, program: Program, kinds: str, result: str) -> str:
    """Return the same as `q_NAME`, for use inside a fold: any NaN may come in, and may come out."""
    return _Body(name, program, kinds, result, raw=True).text()


class _Body:
    def __init__(
        self, name: str, program: Program, kinds: str, result: str, *, raw: bool = False
    ) -> None:
        self._name, self._program, self._raw = name, program, raw
        self._kinds = kinds.lower()
        self._layout = Layout(program, self._kinds, result)
        self._lanes, self._constant = self._layout.lanes, self._layout.constant
        self._first, self._out = self._layout.first, self._layout.out
        self._needed = self._read_by_expressions()

    def text(self) -> str:
        """Return the function."""
        inputs = ", ".join(f"{_TYPES[self._lanes(at)]} r{at}" for at in range(len(self._kinds)))
        mark = "q" if self._raw else "p"
        lines = [f"INLINE {_TYPES[self._out]} {mark}_{self._name}({inputs}) {{"]
        for at, each in enumerate(self._layout.registers[: self._program.inputs]):
            if self._raw and each.bits_count and each.lanes in "fd":
                lines.append(f"  r{at} = {each.lanes}_canonical(r{at});")
        lines += [f"  (void)r{at};" for at in range(len(self._kinds)) if at not in self._needed]
        for at, step in enumerate(self._program.instructions, self._first):
            if at not in self._needed:
                continue
            made = self._expression(at, step)
            if self._layout.registers[at].bits_count and step.op in _MAY_BE_NAN:
                made = f"{self._lanes(at)}_canonical({made})"
            lines.append(f"  {_TYPES[self._lanes(at)]} r{at} = {made};")
        value = self._as(self._program.result, self._out)
        if not self._raw and self._out in "fd":
            value = f"{self._out}_canonical({value})"
        return "\n".join([*lines, f"  return {value};", "}", ""])

    def _expression(self, at: int, each: Instruction) -> str:
        lanes = self._lanes(at)
        if each.op in FLOAT_OPERANDS or each.op in DOUBLE_OPERANDS:
            return self._arithmetic(each)
        if each.op in (Op.I2F, Op.I2D):
            return self._of_integer(lanes, each)
        if each.op is Op.SEL:
            return self._extreme(at, each) or self._choice(lanes, each)
        if self._layout.is_sign_trick(each):
            return self._sign_trick(each)
        return self._integer(lanes, each)

    def _of_integer(self, lanes: str, each: Instruction) -> str:
        """Convert an integer, by 32-bit lanes where it fits them: every machine has those."""
        operand = each.operands[0]
        source = "i" if self._layout.fits(operand, SIGN - 1) else "l"
        return f"{lanes}_of_{source}({self._as(operand, source)})"

    def _sign_trick(self, each: Instruction) -> str:
        operand, have = f"r{each.operands[0]}", self._lanes(each.operands[0])
        if each.op is Op.XOR:
            return f"{have}_neg({operand})"
        if have == "d":
            return f"l_as_d(l_and(d_as_l({operand}), {_literal(DOUBLE_SIGN - 1, 'l')}))"
        return f"i_as_f(i_and(f_as_i({operand}), {_literal(SIGN - 1, 'i')}))"

    def _arithmetic(self, each: Instruction) -> str:
        kind = "f" if each.op in FLOAT_OPERANDS else "d"
        operands = [self._as(at, kind) for at in each.read]
        return f"{_NAMES[each.op]}({', '.join(operands)})"

    def _read_by_expressions(self) -> set[int]:
        """Return the registers that are named: the tests of extremes are not."""
        needed = {self._program.result}
        for at in range(len(self._layout.registers) - 1, self._first - 1, -1):
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
        test = self._as_mask(each.operands[0])
        yes, no = (self._as(at, lanes) for at in each.operands[1:])
        return f"{lanes}_select({f'l_of_i({test})' if lanes in 'dl' else test}, {yes}, {no})"

    def _as_mask(self, at: int) -> str:
        """Return all bits where the register is not 0."""
        value = self._constant(at)
        if value is not None:
            return "i_all(-1)" if value else "i_all(0)"
        if self._lanes(at) == "m":
            return f"r{at}"
        if self._lanes(at) in "ld":
            return f"i_not(l_eq({self._as(at, 'l')}, l_all(0)))"
        return f"i_not(i_eq({self._as(at, 'i')}, i_all(0)))"

    def _integer(self, lanes: str, each: Instruction) -> str:
        if each.op in TRUTH_RESULTS:
            return self._comparison(each)
        if lanes == "m":
            masks = ", ".join(self._as_mask(at) for at in each.read)
            return f"i_{_INTEGER[each.op]}({masks})"
        left = self._as(each.operands[0], lanes)
        if each.op in _INTEGER:
            return f"{lanes}_{_INTEGER[each.op]}({left}, {self._as(each.operands[1], lanes)})"
        amount, name = self._constant(each.operands[1]), f"{lanes}_{_SHIFTS[each.op]}"
        if amount is not None:
            return f"{name}({left}, {amount % 64})"
        return f"{name}_by({left}, l_and({self._as(each.operands[1], 'l')}, l_all(63)))"

    def _comparison(self, each: Instruction) -> str:
        limit = SIGN - 1 if each.op is Op.SLT else LOW
        narrow = all(self._layout.fits(at, limit) for at in each.read)
        left, right = (self._as(at, "i" if narrow else "l") for at in each.read)
        if each.op is Op.EQ:
            return f"{'i' if narrow else 'l'}_eq({left}, {right})"
        if each.op is Op.SLT:
            return f"{'i' if narrow else 'l'}_lt({left}, {right})"
        return f"{'u' if narrow else 'ul'}_lt({left}, {right})"

    def _as(self, at: int, lanes: str) -> str:
        """Return register `at` as lanes of another type: the same bits, zero-extended or cut."""
        constant = self._constant(at)
        if constant is not None:
            return _literal(constant, lanes)
        have = self._lanes(at)
        if have == lanes:
            return f"r{at}"
        if have == "m":
            have, value = "i", f"i_and(r{at}, i_all(1))"
        else:
            value = f"r{at}"
        return _cast(value, have, lanes)


def _cast(value: str, have: str, lanes: str) -> str:
    if have == lanes:
        return value
    if (have in "fi") == (lanes in "fi"):
        return f"{have}_as_{lanes}({value})"
    if have in "fi":
        return _cast(f"l_extend({_cast(value, have, 'i')})", "l", lanes)
    return _cast(f"i_of_l({_cast(value, have, 'l')})", "i", lanes)


def _literal(value: int, lanes: str) -> str:
    if lanes == "f":
        return f"f_word(0x{value & LOW:08x})"
    if lanes == "d":
        return f"d_word(0x{value:016x})"
    if lanes == "i":
        return f"i_all((int32_t)0x{value & LOW:08x}u)"
    return f"l_all((int64_t)0x{value:016x}ull)"
