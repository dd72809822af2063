"""The C written for a program gives the interpreter's bits on every instruction set here."""

from __future__ import annotations

import ctypes
import os
import random
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gensyn_lightning.repops import build, generate, interpreter, library, reference
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.opcode import ARITY, DOUBLE_OPERANDS, FLOAT_OPERANDS, Op
from gensyn_lightning.repops.word import Definition, Word, apply, as_kind, bits, integer, where

COMPILER = shlex.split(os.environ.get("CC", "cc"))
COUNT = 1607
DTYPES = {"f": Dtype.F32, "i": Dtype.I64, "d": Dtype.F64}
CONSTANTS = [0, 1, 23, 31, 32, 63, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1]
CONSTANTS += [0x3F800000, 0x4B400000, 0x7FC00000, (1 << 63) - 1, 0x3FF0000000000000]

pytestmark = pytest.mark.skipif(shutil.which(COMPILER[0]) is None, reason="there is no C compiler")


def of_opcode(op: Op, kinds: str) -> Definition:
    """Return a program of one instruction whose inputs have these kinds."""
    wanted = "f" if op in FLOAT_OPERANDS else "d" if op in DOUBLE_OPERANDS else "i"

    def function(*words: Word) -> Word:
        return apply(op, *(as_kind(each, wanted) for each in words))

    return Definition(f"{op.name.lower()}_{kinds}", kinds, function)


def at_random(seed: int) -> Definition:
    """Return a program of random instructions, results and constants among its operands."""
    kinds = "".join(random.Random(seed).choices("fid", k=3))

    def function(*words: Word) -> Word:
        choose = random.Random(seed)
        made = [*words]
        for _ in range(choose.randint(2, 12)):
            op = choose.choice(list(Op))
            wanted = "f" if op in FLOAT_OPERANDS else "d" if op in DOUBLE_OPERANDS else "i"
            operands = [
                integer(choose.choice(CONSTANTS)) if choose.random() < 0.3 else choose.choice(made)
                for _ in range(ARITY[op])
            ]
            made.append(apply(op, *(as_kind(each, wanted) for each in operands)))
        return as_kind(made[-1], choose.choice("fid"))

    return Definition(f"random_{seed}", kinds, function)


DEFINITIONS = [
    of_opcode(op, kinds)
    for op in Op
    for kinds in {("f" if op in FLOAT_OPERANDS else "d") * ARITY[op], "ifd"[: ARITY[op]]}
] + [at_random(seed) for seed in range(120)]
DEFINITIONS += [
    Definition("smaller_first", "ff", lambda a, b: where(a < b, a, b)),
    Definition("smaller_last", "ff", lambda a, b: where(b < a, b, a)),
    Definition("larger_first", "ff", lambda a, b: where(b < a, a, b)),
    Definition("larger_last", "ff", lambda a, b: where(a < b, b, a)),
    Definition("between", "f", lambda a: where(where(a < -1.0, -1.0, a) > 1.0, 1.0, a)),
    Definition("bits_of_larger", "ff", lambda a, b: bits(where(a < b, b, a)) + 1),
    Definition("tested_twice", "ff", lambda a, b: bits(where(a < b, b, a)) + (a < b)),
]


def inputs_of(kind: str, seed: int) -> Any:
    """Return numbers of a kind: special ones, whole ones, and bits at random."""
    draw = np.random.default_rng(seed)
    if kind == "i":
        edges = np.array([0, 1, 2, 31, 32, 63, 64, 1 << 31, 1 << 32, 1 << 62], np.int64)
        wide = draw.integers(-(2**63), 2**63 - 1, COUNT, dtype=np.int64)
        values = np.where(draw.random(COUNT) < 0.5, wide, wide >> draw.integers(0, 63, COUNT))
        edges = np.concatenate([edges, -edges, ~edges, np.array([2**63 - 1, -(2**63)], np.int64)])
    else:
        form, whole = (np.float32, np.uint32) if kind == "f" else (np.float64, np.uint64)
        width = 32 if kind == "f" else 64
        bits = draw.integers(0, 2**width - 1, COUNT, dtype=whole)
        ordinary = (draw.normal(0, 1, COUNT) * 2.0 ** draw.integers(-30, 66, COUNT)).astype(form)
        values = np.where(draw.random(COUNT) < 0.4, bits.view(form), ordinary)
        tiny, info = np.nextafter(form(0), form(1)), np.finfo(form)
        plain = [0, 0.5, 1, 1.5, 2.5, 2**23, 2**24 + 2, 2**31, 2**32, 2**63, np.inf, tiny]
        edges = np.array([*plain, info.max, info.tiny, info.tiny - tiny, 1 + info.eps], form)
        odd = np.array([2**width - 6, 2**width - 1, 2 ** (width - 1) - 5], whole).view(form)
        edges = np.concatenate([edges, -edges, odd, np.array([np.nan], form)])
    places = draw.random(COUNT) < 0.4
    return np.ascontiguousarray(np.where(places, draw.choice(edges, COUNT), values))


def words_of(array: Any) -> Any:
    """Return an array's elements as words."""
    return array.view(np.uint32).astype(np.uint64) if array.itemsize == 4 else array.view(np.uint64)


@pytest.fixture(scope="module", params=library.supported())
def compiled(request: Any, tmp_path_factory: Any) -> Any:
    """Return a library of the programs, built for one instruction set."""
    folder = tmp_path_factory.mktemp(request.param)
    sources = generate.write(folder, DEFINITIONS)
    flags = ["-O1" if each == "-O3" else each for each in build.FLAGS]
    target = folder / "programs.so"
    plain = Path(build.SOURCES)
    table = folder / "table.c"
    table.write_text(
        '#include "programs.h"\nEXPORT const program *table(void) { return programs; }\n'
    )
    subprocess.run(
        [*COMPILER, *flags, *build.MARCH[request.param], f"-I{plain}", f"-I{folder}", "-shared"]
        + [str(each) for each in [*sources, table, *plain.glob("fma.c")]]
        + ["-o", str(target), "-lm"],
        check=True,
    )
    return ctypes.CDLL(str(target))


class _Row(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("kinds", ctypes.c_char_p),
        ("results", ctypes.c_char_p),
        ("run", ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * 3)),
        ("fold", ctypes.c_void_p),
    )


def test_emitted_c_gives_the_bits_of_the_interpreter(compiled: Any) -> None:
    compiled.table.restype = ctypes.POINTER(_Row)
    rows = compiled.table()
    for at, each in enumerate(DEFINITIONS):
        assert rows[at].name.decode() == each.name
        given = [inputs_of(kind, at * 10 + number) for number, kind in enumerate(each.kinds)]
        [program], kind = each.trace(), each.results
        expected = interpreter.run(program, [words_of(one) for one in given])
        expected = words_of(reference.narrowed(np.broadcast_to(expected, (COUNT,)), DTYPES[kind]))
        out = np.zeros(COUNT, reference.NUMPY[DTYPES[kind]])
        pointers = (ctypes.c_void_p * 3)(*(one.ctypes.data for one in given))
        result = (ctypes.c_void_p * 1)(out.ctypes.data)
        rows[at].run(COUNT, pointers, result, None)
        [wrong] = np.nonzero(words_of(out) != expected)
        shown = [[hex(words_of(one)[k]) for one in given] for k in wrong[:3]]
        got = [(hex(words_of(out)[k]), hex(expected[k])) for k in wrong[:3]]
        assert not len(wrong), f"{each.name} {each.kinds} {shown} {got}\n{program}"
