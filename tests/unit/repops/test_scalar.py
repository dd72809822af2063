"""The array interpreter and the scalar one read every opcode alike."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from gensyn_lightning.repops import interpreter, scalar
from gensyn_lightning.repops.opcode import ARITY, DOUBLE_OPERANDS, FLOAT_OPERANDS, Op
from gensyn_lightning.repops.program import Instruction, Program

FLOATS = [0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x34000000, 0x33800000]
FLOATS += [0x4B000001, 0x5F000000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7F800001, 0x3FC00000]
FLOATS += [each | 1 << 31 for each in FLOATS]
DOUBLES = [0, 1, (1 << 52) - 1, 1 << 52, 0x3FF << 52, (0x3FF << 52) + 1, (0x3FF << 52) - 1]
DOUBLES += [0x3CA << 52, 0x43E << 52, 0x7FEFFFFFFFFFFFFF, 0x7FF << 52, 0x7FF8 << 48, 0x369 << 52]
DOUBLES += [(0x3FF << 52) + (1 << 28), (0x369 << 52) + 1, 0x47EFFFFFF0000000, 0x380FFFFFFFFFFFFF]
DOUBLES += [each | 1 << 63 for each in DOUBLES]
INTEGERS = [0, 1, 2, 31, 32, 63, 64, (1 << 24) + 1, (1 << 53) + 1, (1 << 62) + (1 << 38)]
INTEGERS += [-each & ((1 << 64) - 1) for each in INTEGERS] + [1 << 63, (1 << 63) - 1]


def operands_of(op: Op) -> list[tuple[int, ...]]:
    """Return every pair of edges or many triples, and words at random, near one another too."""
    draw = random.Random(op)
    if op in FLOAT_OPERANDS:
        edges, width, near = FLOATS, 32, 1 << 23
    elif op in DOUBLE_OPERANDS:
        edges, width, near = DOUBLES, 64, 1 << 52
    else:
        edges, width, near = INTEGERS, 64, 1
    made = list(itertools.product(edges, repeat=min(ARITY[op], 2)))
    if ARITY[op] == 3:
        made = [(*each, draw.choice(edges)) for each in made for _ in range(3)]
    for _ in range(1200):
        first = draw.getrandbits(width)
        others = [(first + draw.randint(-30, 30) * near + draw.randint(-3, 3)) % (1 << width)]
        others.append(draw.getrandbits(width))
        made.append((first, *(draw.choice(others) for _ in range(2)))[: ARITY[op]])
    return made


@pytest.mark.parametrize("op", Op, ids=lambda each: each.name)
def test_both_interpreters_read_an_opcode_alike(op: Op) -> None:
    operands = operands_of(op)
    code = Instruction(op, tuple([*range(ARITY[op]), 0, 0][:3]))
    program = Program(ARITY[op], (), (code,), ARITY[op])
    columns = [np.array(each, np.uint64) for each in zip(*operands, strict=True)]
    got = interpreter.run(program, columns)
    expected = [scalar.run(program, each) for each in operands]
    wrong = [at for at, want in enumerate(expected) if int(got[at]) != want]
    assert not wrong, [
        (*map(hex, operands[at]), hex(got[at]), hex(expected[at])) for at in wrong[:4]
    ]


def test_a_fused_sum_that_cancels_leaves_the_rounding_of_the_product() -> None:
    code = Instruction(Op.FFMA, (0, 1, 2))
    program = Program(3, (), (code,), 3)
    third, rounded = 0x3EAAAAAB, 0x3F800000
    assert scalar.run(program, [third, 0x40400000, rounded | 1 << 31]) == 0x33000000
