"""The language programs are written in: Python functions on symbolic words, traced once.

    @program("fff")
    def lerp(start, end, weight):
        return fma(weight, end - start, start)

`"fff"` says what each input is: `f` a binary32, `i` a 64-bit integer, `d` a binary64. Constants
are Python numbers; a float is rounded to the format it meets. A capital letter marks an input that
is the same for all elements, a word of the call; those come last. Equal instructions are traced
once and what the result does not need is left out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gensyn_lightning.errors import ProgramError
from gensyn_lightning.repops.opcode import (
    ARITY,
    DOUBLE_OPERANDS,
    DOUBLE_RESULTS,
    FLOAT_OPERANDS,
    FLOAT_RESULTS,
    Op,
)
from gensyn_lightning.repops.program import Instruction, Program

SIGN = 0x80000000
DOUBLE_SIGN = 1 << 63
NAN = 0x7FC00000
INFINITY = 0x7F800000

Number = float | int


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """An input, a constant or an instruction; equal ones are the same object."""

    op: Op | str
    value: int
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """A value under way: where it comes from, and which kind of number its bits are (`f i d`)."""

    node: Node
    kind: str

    def __add__(self, other: Word | Number) -> Word:
        return _arithmetic(self, other, {"f": Op.FADD, "i": Op.ADD, "d": Op.DADD})

    __radd__ = __add__

    def __mul__(self, other: Word | Number) -> Word:
        return _arithmetic(self, other, {"f": Op.FMUL, "i": Op.MUL, "d": Op.DMUL})

    __rmul__ = __mul__

    def __neg__(self) -> Word:
        if self.kind == "i":
            return integer(0) - self
        sign = SIGN if self.kind == "f" else DOUBLE_SIGN
        if self.node.op == "constant":
            return Word(_node("constant", self.node.value ^ sign), self.kind)
        return as_kind(bits(self) ^ sign, self.kind)

    def __sub__(self, other: Word | Number) -> Word:
        right = _like(self, other)
        if self.kind == "i":
            return apply(Op.SUB, self, right)
        return self + -right

    def __rsub__(self, other: Word | Number) -> Word:
        return _like(self, other) - self

    def __truediv__(self, other: Word | Number) -> Word:
        return _arithmetic(self, other, {"f": Op.FDIV, "d": Op.DDIV})

    def __rtruediv__(self, other: Number) -> Word:
        return _like(self, other) / self

    def __lt__(self, other: Word | Number) -> Word:
        return _arithmetic(self, other, {"f": Op.FLT, "i": Op.SLT, "d": Op.DLT}, "i")

    def __gt__(self, other: Word | Number) -> Word:
        return _like(self, other) < self

    def __le__(self, other: Word | Number) -> Word:
        right = _like(self, other)
        return (self < right) | equal(self, right)

    def __ge__(self, other: Word | Number) -> Word:
        return _like(self, other) <= self

    def __and__(self, other: Word | int) -> Word:
        return apply(Op.AND, self, _integer_like(other))

    def __or__(self, other: Word | int) -> Word:
        return apply(Op.OR, self, _integer_like(other))

    def __xor__(self, other: Word | int) -> Word:
        return apply(Op.XOR, self, _integer_like(other))

    def __lshift__(self, other: Word | int) -> Word:
        return apply(Op.SHL, self, _integer_like(other))

    def __rshift__(self, other: Word | int) -> Word:
        return apply(Op.SHR, self, _integer_like(other))


Body = Callable[..., "Word | tuple[Word, ...]"]


def program(kinds: str) -> Callable[[Body], Definition]:
    """Turn a function on words into a `Definition` whose inputs have these kinds."""
    return lambda function: Definition(function.__name__.strip("_"), kinds, function)


def family(*kinds: str) -> Callable[[Body], dict[str, Definition]]:
    """Turn a function that suits several kinds of numbers into a `Definition` for each."""

    def make(function: Body) -> dict[str, Definition]:
        name = function.__name__.strip("_")
        return {each: Definition(f"{name}_{each}", each, function) for each in kinds}

    return make


def terms(
    *kinds: str, combine: Mapping[str, Definition], init: Number = 0
) -> Callable[[Body], dict[str, Definition]]:
    """Turn a function into a `Definition` of a fold's term for each of `kinds`; a carry is first.

    `init` is what a lane starts from; `combine`, by the kinds of its inputs, joins two results.
    """

    def make(function: Body) -> dict[str, Definition]:
        name = function.__name__.strip("_")
        return {
            each: Definition(
                f"{name}_{each}",
                each,
                function,
                combine[each[0] * 2],
                _constant(init, each[0]).node.value,
            )
            for each in kinds
        }

    return make


@dataclass(frozen=True, slots=True)
class Definition:
    """A named function on words with inputs of `kinds`; called on words, it is inlined.

    A fold's term also knows how two of its results are combined, and the word a lane starts from.
    """

    name: str
    kinds: str
    function: Body
    combine: Definition | None = None
    init: int = 0

    def __call__(self, *operands: Word | Number) -> Any:
        """Return the function's words for these operands."""
        return self.function(
            *(
                each if isinstance(each, Word) else _constant(each, kind.lower())
                for each, kind in zip(operands, self.kinds, strict=True)
            )
        )

    @property
    def doc(self) -> str:
        """What the function says about itself."""
        return self.function.__doc__ or ""

    @property
    def reads(self) -> int:
        """How many of the inputs differ from element to element."""
        return sum(each.islower() for each in self.kinds)

    @property
    def results(self) -> str:
        """The kind of each word it returns."""
        return "".join(each.kind for each in self._words())

    def trace(self) -> tuple[Program, ...]:
        """Return a program for each word it returns; all have the same inputs."""
        return tuple(_compile(len(self.kinds), each) for each in self._words())

    def _words(self) -> tuple[Word, ...]:
        inputs = [Word(_node("input", at), kind.lower()) for at, kind in enumerate(self.kinds)]
        made = self.function(*inputs)
        return made if isinstance(made, tuple) else (made,)


def apply(op: Op, *operands: Word) -> Word:
    """Apply one opcode."""
    if len(operands) != ARITY[op]:
        raise ProgramError(f"{op.name} takes {ARITY[op]} operands")
    wanted = "f" if op in FLOAT_OPERANDS else "d" if op in DOUBLE_OPERANDS else None
    if wanted is not None and any(each.kind != wanted for each in operands):
        raise ProgramError(f"{op.name} takes words of kind {wanted}")
    kind = "f" if op in FLOAT_RESULTS else "d" if op in DOUBLE_RESULTS else "i"
    return Word(_node(op, 0, *(each.node for each in operands)), kind)


def fma(a: Word, b: Word | Number, c: Word | Number) -> Word:
    """Return `a * b + c`, rounded once."""
    return apply(Op.FFMA, a, _like(a, b), _like(a, c))


def sqrt(a: Word) -> Word:
    """Return the square root, rounded once."""
    return apply(Op.FSQRT if a.kind == "f" else Op.DSQRT, a)


def where(condition: Word, yes: Word | Number, no: Word | Number) -> Word:
    """Return `yes` where `condition` is not 0, else `no`; both are computed."""
    pattern = yes if isinstance(yes, Word) else no
    if not isinstance(pattern, Word):
        raise ProgramError("where needs a word on one side")
    left, right = _like(pattern, yes), _like(pattern, no)
    return Word(_node(Op.SEL, 0, condition.node, left.node, right.node), left.kind)


def equal(a: Word, b: Word | Number) -> Word:
    """Return 1 where both are the same number, else 0."""
    return _arithmetic(a, b, {"f": Op.FEQ, "i": Op.EQ, "d": Op.DEQ}, "i")


def is_nan(a: Word) -> Word:
    """Return 1 for NaN, else 0."""
    return equal(a, a) ^ 1


def absolute(a: Word) -> Word:
    """Return the number without its sign."""
    if a.kind == "i":
        return where(a < 0, -a, a)
    return as_kind(bits(a) & (SIGN - 1 if a.kind == "f" else DOUBLE_SIGN - 1), a.kind)


def with_sign_of(magnitude: Word, sign: Word) -> Word:
    """Return the binary32 `magnitude`, not negative, with the sign of `sign`."""
    return as_kind(bits(magnitude) | (bits(sign) & SIGN), "f")


def minimum(a: Word, b: Word | Number) -> Word:
    """Return the smaller; the first where they are equal or either is NaN."""
    right = _like(a, b)
    return where(right < a, right, a)


def maximum(a: Word, b: Word | Number) -> Word:
    """Return the larger; the first where they are equal or either is NaN."""
    right = _like(a, b)
    return where(a < right, right, a)


def bits(a: Word) -> Word:
    """Return the number's bits as an integer."""
    return as_kind(a, "i")


def as_kind(a: Word, kind: str) -> Word:
    """Return the same bits, taken for another kind of number."""
    return Word(a.node, kind)


def to_float(a: Word) -> Word:
    """Return an integer or a binary64 as the nearest binary32."""
    return a if a.kind == "f" else apply(Op.I2F if a.kind == "i" else Op.D2F, a)


def to_double(a: Word) -> Word:
    """Return an integer or a binary32 as the nearest binary64."""
    return a if a.kind == "d" else apply(Op.I2D if a.kind == "i" else Op.F2D, a)


def to_integer(a: Word) -> Word:
    """Return a number without its fraction; NaN is 0, what does not fit saturates."""
    return a if a.kind == "i" else apply(Op.F2I if a.kind == "f" else Op.D2I, a)


def floating(value: float) -> Word:
    """Return a binary32 constant."""
    return _constant(value, "f")


def double(value: float) -> Word:
    """Return a binary64 constant."""
    return _constant(value, "d")


def integer(value: int) -> Word:
    """Return an integer constant."""
    return _constant(value, "i")


def float_bits(value: float) -> int:
    """Return the bits of the binary32 nearest to `value`."""
    try:
        [word] = struct.unpack("<I", struct.pack("<f", value))
    except OverflowError:
        return INFINITY if value > 0 else INFINITY | SIGN
    return NAN if math.isnan(value) else int(word)


def double_bits(value: float) -> int:
    """Return the bits of a binary64."""
    [word] = struct.unpack("<Q", struct.pack("<d", value))
    return 0x7FF8 << 48 if math.isnan(value) else int(word)


def _constant(value: Number, kind: str) -> Word:
    if kind == "f":
        return Word(_node("constant", float_bits(value)), kind)
    if kind == "d":
        return Word(_node("constant", double_bits(float(value))), kind)
    if value != int(value):
        raise ProgramError(f"{value} is no integer")
    return Word(_node("constant", int(value) % (1 << 64)), kind)


def _like(pattern: Word, value: Word | Number) -> Word:
    if not isinstance(value, Word):
        return _constant(value, pattern.kind)
    if value.kind != pattern.kind:
        raise ProgramError(f"a word of kind {value.kind} meets one of kind {pattern.kind}")
    return value


def _integer_like(value: Word | int) -> Word:
    return value if isinstance(value, Word) else integer(value)


def _arithmetic(a: Word, b: Word | Number, ops: dict[str, Op], kind: str | None = None) -> Word:
    right = _like(a, b)
    if a.kind not in ops:
        raise ProgramError(f"there is no such opcode for words of kind {a.kind}")
    made = apply(ops[a.kind], a, right)
    return Word(made.node, kind or made.kind)


_NODES: dict[tuple[object, ...], Node] = {}


def _node(op: Op | str, value: int, *operands: Node) -> Node:
    """Return the one node there is for this; equal instructions are thereby traced once."""
    key = (op, value, *map(id, operands))
    return _NODES.setdefault(key, Node(op, value, operands))


def _compile(inputs: int, result: Word) -> Program:
    """Return a program of what the result needs, numbered in the order met."""
    order = _in_order(result.node)
    constants = [each for each in order if each.op == "constant"]
    code = [each for each in order if isinstance(each.op, Op)]
    numbers = {_node("input", at): at for at in range(inputs)}
    numbers |= {each: at for at, each in enumerate([*constants, *code], inputs)}
    return Program(
        inputs,
        tuple(each.value for each in constants),
        tuple(_instruction(each, numbers) for each in code),
        numbers[result.node],
    )


def _instruction(node: Node, numbers: dict[Node, int]) -> Instruction:
    a, b, c = (*(numbers[each] for each in node.operands), 0, 0, 0)[:3]
    if not isinstance(node.op, Op):
        raise ProgramError(f"{node.op} is no instruction")
    return Instruction(node.op, (a, b, c))


def _in_order(root: Node) -> list[Node]:
    """Return what `root` needs, operands before users, each once."""
    order: dict[Node, None] = {}
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if node in order:
            continue
        if ready or not node.operands:
            order[node] = None
            continue
        stack.append((node, True))
        stack.extend((each, False) for each in reversed(node.operands))
    return list(order)
