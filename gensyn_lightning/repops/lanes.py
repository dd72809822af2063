"""Which lanes each register of a scalar program takes when it is written as C, and who reads them.

A register becomes a vector of binary32 (`f`), of binary64 (`d`), of 32-bit (`i`) or of 64-bit
integers (`l`), or a mask of 32-bit lanes (`m`) where it is the outcome of comparisons. An integer
takes the narrow form where its value, or all that anyone reads of it, fits 32 bits.
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

LOW = (1 << 32) - 1
ALL = (1 << 64) - 1
SIGN = 1 << 31
DOUBLE_SIGN = 1 << 63
_NARROWING = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.AND, Op.OR, Op.XOR})
_STRICT = (FLOAT_RESULTS | DOUBLE_RESULTS) - {Op.I2F, Op.I2D}
_LOGICAL = frozenset({Op.AND, Op.OR, Op.XOR})


@dataclass(slots=True)
class Register:
    """What is known of one register: its lanes, its largest value, and how much of it is read.

    `bits_count`: someone reads a floating-point number's bits, so its NaN has to be the one NaN.
    """

    lanes: str
    largest: int = ALL
    low_half_does: bool = True
    bits_count: bool = False


class Layout:
    """The registers of a program whose inputs and result are of kinds `f i d`."""

    def __init__(self, program: Program, kinds: str, result: str) -> None:
        self.program = program
        self.first = program.inputs + len(program.constants)
        self.out = {"f": "f", "d": "d", "i": "l"}[result]
        self.registers = [
            Register({"f": "f", "d": "d", "i": "l"}[each], LOW if each == "f" else ALL)
            for each in kinds
        ]
        self.registers += [Register("c", each) for each in program.constants]
        for each in program.instructions:
            self.registers.append(Register("?", self._bound(each)))
        self._mark_wide_readers()
        for at, each in enumerate(program.instructions, self.first):
            self.registers[at].lanes = self._lanes_for(at, each)
        self._mark_readers_of_bits()

    def lanes(self, at: int) -> str:
        """Return a register's lanes; those of a constant are `c`."""
        return self.registers[at].lanes

    def constant(self, at: int) -> int | None:
        """Return the constant a register holds, if it is one."""
        inputs = self.program.inputs
        return self.program.constants[at - inputs] if inputs <= at < self.first else None

    def fits(self, at: int, limit: int = LOW) -> bool:
        """Return whether the register never exceeds a limit, and its low half is at hand."""
        return self.registers[at].largest <= limit and self.lanes(at) != "d"

    def _bound(self, each: Instruction) -> int:  # noqa: C901, PLR0911  (a case each)
        """Return an upper bound of the result as an unsigned integer."""
        known = [self.registers[at].largest for at in each.read]
        if each.op in TRUTH_RESULTS:
            return 1
        if each.op in FLOAT_RESULTS:
            return LOW
        if each.op is Op.AND:
            return min(known)
        if each.op in (Op.OR, Op.XOR):
            return (1 << max(each.bit_length() for each in known)) - 1
        if each.op is Op.SEL:
            return max(known[1:])
        if each.op in (Op.ADD, Op.MUL):
            grown = known[0] + known[1] if each.op is Op.ADD else known[0] * known[1]
            return grown if grown <= ALL else ALL
        amount = self.constant(each.operands[1])
        if each.op is Op.SHR and amount is not None:
            return known[0] >> (amount % 64)
        if each.op is Op.SHL and amount is not None:
            grown = known[0] << (amount % 64)
            return grown if grown <= ALL else ALL
        return ALL

    def _mark_wide_readers(self) -> None:
        """Find out, from the end, of which registers more than the low half is read."""
        if self.out != "f":
            self.registers[self.program.result].low_half_does = False
        for at in range(len(self.registers) - 1, self.first - 1, -1):
            each = self.program.instructions[at - self.first]
            for position, operand in enumerate(each.read):
                if not self._reads_low_half(at, each, position):
                    self.registers[operand].low_half_does = False

    def _reads_low_half(self, at: int, each: Instruction, position: int) -> bool:
        own = self.registers[at].low_half_does
        if each.op in FLOAT_OPERANDS:
            return True
        if each.op in _NARROWING:
            return own
        if each.op is Op.SEL:
            return own and position > 0
        amount = self.constant(each.operands[1])
        return each.op is Op.SHL and own and position == 0 and (amount or 64) < 32

    def _lanes_for(self, at: int, each: Instruction) -> str:
        register = self.registers[at]
        narrow = register.largest <= LOW or register.low_half_does
        if each.op in FLOAT_RESULTS:
            return "f"
        if each.op in DOUBLE_RESULTS:
            return "d"
        if each.op is Op.SEL:
            return self._lanes_of_choice(each, narrow)
        if self._is_mask(each):
            return "m"
        if self.is_sign_trick(each):
            return self.lanes(each.operands[0])
        return "i" if narrow and self._computes_narrow(each) else "l"

    def _is_mask(self, each: Instruction) -> bool:
        """Whether the result is 0 or 1 and comes of comparisons, directly or by logic."""
        if each.op in TRUTH_RESULTS:
            return True
        return each.op in _LOGICAL and all(
            self.lanes(at) == "m" or self.constant(at) in (0, 1) for at in each.read
        )

    def _lanes_of_choice(self, each: Instruction, narrow: bool) -> str:
        sides = {self.lanes(at) for at in each.operands[1:]} - {"c"}
        if sides == {"d"} or (narrow and "f" in sides and sides <= {"f", "i", "m"}):
            return "d" if sides == {"d"} else "f"
        return "i" if narrow else "l"

    def _mark_readers_of_bits(self) -> None:
        """Find out, from the end, whose bits are read, be it through choices and signs.

        Where a NaN in the register makes the result one, which is stored as the one NaN, it does
        not matter which NaN it was.
        """
        certain = self._makes_result_nan()
        result = self.registers[self.program.result]
        result.bits_count = result.lanes != self.out
        for at in range(len(self.registers) - 1, self.first - 1, -1):
            each = self.program.instructions[at - self.first]
            for position, operand in enumerate(each.read):
                if operand not in certain and self._reads_bits(at, each, position):
                    self.registers[operand].bits_count = True

    def _makes_result_nan(self) -> set[int]:
        """Return the registers in which a NaN leads to one as the result, by arithmetic alone."""
        found: set[int] = set()
        if self.lanes(self.program.result) == self.out:
            found.add(self.program.result)
        for at in range(len(self.registers) - 1, self.first - 1, -1):
            each = self.program.instructions[at - self.first]
            if at not in found:
                continue
            if each.op in _STRICT:
                kind = "f" if each.op in FLOAT_OPERANDS else "d"
                found.update(one for one in each.read if self.lanes(one) == kind)
            elif self.is_sign_trick(each):
                found.add(each.operands[0])
        return found

    def _reads_bits(self, at: int, each: Instruction, position: int) -> bool:
        if each.op in FLOAT_OPERANDS:
            return self.lanes(each.operands[position]) == "d"
        if each.op in DOUBLE_OPERANDS:
            return self.lanes(each.operands[position]) == "f"
        if each.op is Op.SEL and position == 0:
            return False
        passes_on = each.op is Op.SEL or (position == 0 and self.is_sign_trick(each))
        if passes_on and self.lanes(at) == self.lanes(each.operands[position]):
            return self.registers[at].bits_count
        return True

    def is_sign_trick(self, each: Instruction) -> bool:
        """Whether this is the negative or the absolute value of a binary32 or a binary64."""
        a, b = each.operands[:2]
        sign = {"f": SIGN, "d": DOUBLE_SIGN}.get(self.lanes(a))
        if sign is None or each.op not in (Op.XOR, Op.AND):
            return False
        return self.constant(b) == (sign if each.op is Op.XOR else sign - 1)

    def _computes_narrow(self, each: Instruction) -> bool:
        """Whether 32-bit lanes give the low half of the result."""
        if each.op in _NARROWING:
            return True
        amount = self.constant(each.operands[1])
        if amount is None or amount >= 32:
            return False
        return each.op is Op.SHL or (each.op is Op.SHR and self.fits(each.operands[0]))
