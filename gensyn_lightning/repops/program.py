"""A scalar program: the straight list of instructions that makes one word out of some others.

Its bytes are `inputs u8, constants u8, instructions u8, result u8`, the constants as eight bytes
each, most significant first, then four bytes an instruction: opcode and three operands. Registers
are numbered inputs, constants, instructions; an operand an opcode does not take is 0. The bytes
are the definition; what a program was written in is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from gensyn_lightning.errors import ProgramError
from gensyn_lightning.repops.opcode import ARITY, Op

REGISTERS_MAX = 256
WORD_BYTES = 8
_HEADER_BYTES = 4
_INSTRUCTION_BYTES = 4


@dataclass(frozen=True, slots=True)
class Instruction:
    """One opcode and the registers it reads; what it does not read is 0."""

    op: Op
    operands: tuple[int, int, int]

    @property
    def read(self) -> tuple[int, ...]:
        """The registers it does read."""
        return self.operands[: ARITY[self.op]]


@dataclass(frozen=True, slots=True)
class Program:
    """A well-formed program: every operand comes before its use, no register is out of range."""

    inputs: int
    constants: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    result: int

    def __post_init__(self) -> None:
        first = self.inputs + len(self.constants)
        if not 0 < first + len(self.instructions) <= REGISTERS_MAX:
            raise ProgramError(f"a program has 1 to {REGISTERS_MAX} registers")
        if any(not 0 <= each < 1 << 64 for each in self.constants):
            raise ProgramError("a constant does not fit a word")
        for at, each in enumerate(self.instructions, first):
            if any(not 0 <= operand < at for operand in each.read):
                raise ProgramError(f"register {at} reads one that does not come before it")
            if any(each.operands[ARITY[each.op] :]):
                raise ProgramError(f"register {at} names an operand that {each.op.name} lacks")
        if not 0 <= self.result < first + len(self.instructions):
            raise ProgramError("the result is no register")

    def encode(self) -> bytes:
        """Return the bytes that define the program."""
        head = (self.inputs, len(self.constants), len(self.instructions), self.result)
        parts = [bytes(head), *(each.to_bytes(WORD_BYTES, "big") for each in self.constants)]
        parts += (bytes((each.op, *each.operands)) for each in self.instructions)
        return b"".join(parts)


def decode(data: bytes) -> Program:
    """Return the program that `data` is; raise `ProgramError` for anything else."""
    if len(data) < _HEADER_BYTES:
        raise ProgramError("a program has a header of four bytes")
    inputs, constants, instructions, result = data[:_HEADER_BYTES]
    code_at = _HEADER_BYTES + WORD_BYTES * constants
    if len(data) != code_at + _INSTRUCTION_BYTES * instructions:
        raise ProgramError("a program is as long as its header says")
    words = (data[at : at + WORD_BYTES] for at in range(_HEADER_BYTES, code_at, WORD_BYTES))
    code = (data[at : at + 4] for at in range(code_at, len(data), _INSTRUCTION_BYTES))
    return Program(
        inputs,
        tuple(int.from_bytes(each, "big") for each in words),
        tuple(_instruction(each) for each in code),
        result,
    )


def _instruction(data: bytes) -> Instruction:
    code, a, b, c = data
    try:
        return Instruction(Op(code), (a, b, c))
    except ValueError:
        raise ProgramError(f"{code:#04x} is no opcode") from None
