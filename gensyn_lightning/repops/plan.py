"""What one operator does for one set of shapes: which tensors it makes and which kernels it calls.

A lowering is a function `lower(plan, *arguments)` that writes into a `Plan`. It sees shapes,
strides, types and whole numbers, never values: a plan made once serves every call alike. Scalars
that may differ from call to call (`Scalar`) can only be handed on to kernels as words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.stage import Shape, Stage
from gensyn_lightning.repops.word import Definition

RANK_MAX = 8


@dataclass(frozen=True, slots=True)
class Operand:
    """A view of one of the plan's tensors, as a lowering handles it.

    `slot` numbers the tensor; `strides` and `offset` count elements.
    """

    slot: int
    dtype: Dtype
    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def numel(self) -> int:
        """The number of elements."""
        return numel(self.shape)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        expected = contiguous_strides(self.shape)
        return self.numel == 0 or all(
            size == 1 or have == want
            for size, have, want in zip(self.shape, self.strides, expected, strict=True)
        )

    def expand(self, shape: Shape) -> Operand:
        """Return the view that broadcasts to `shape`; raise `RuntimeError` if it does not fit."""
        if not fits(self.shape, shape):
            raise RuntimeError(f"a tensor of shape {self.shape} does not expand to {shape}")
        lead = len(shape) - self.rank
        strides = tuple(
            0 if size == 1 and wide != 1 else stride
            for size, stride, wide in zip(self.shape, self.strides, shape[lead:], strict=True)
        )
        return replace(self, shape=shape, strides=(0,) * lead + strides)

    def permute(self, order: Sequence[int]) -> Operand:
        """Return the view with dimensions in another order."""
        return replace(
            self,
            shape=tuple(self.shape[each] for each in order),
            strides=tuple(self.strides[each] for each in order),
        )

    def transpose(self, a: int, b: int) -> Operand:
        """Return the view with two dimensions exchanged."""
        order = list(range(self.rank))
        order[a], order[b] = order[b], order[a]
        return self.permute(order)

    def unsqueeze(self, at: int) -> Operand:
        """Return the view with a dimension of size 1 put in before dimension `at`."""
        at %= self.rank + 1
        return replace(
            self,
            shape=(*self.shape[:at], 1, *self.shape[at:]),
            strides=(*self.strides[:at], 0, *self.strides[at:]),
        )

    def squeeze(self, at: int) -> Operand:
        """Return the view without dimension `at`, which has size 1."""
        at %= self.rank
        return replace(
            self,
            shape=self.shape[:at] + self.shape[at + 1 :],
            strides=self.strides[:at] + self.strides[at + 1 :],
        )

    def narrow(self, dim: int, start: int, length: int) -> Operand:
        """Return the view of `length` places from `start` on along `dim`."""
        dim %= self.rank
        shape = (*self.shape[:dim], length, *self.shape[dim + 1 :])
        return replace(self, shape=shape, offset=self.offset + start * self.strides[dim])

    def reshape(self, shape: Shape) -> Operand:
        """Return a contiguous operand's view of another shape."""
        if not self.is_contiguous:
            raise ValueError("only a contiguous operand can be reshaped without a copy")
        return replace(self, shape=shape, strides=contiguous_strides(shape))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number among the arguments whose value the plan does not depend on.

    `kind` is `d` for a Python float, `i` for an int, `b` for a bool.
    """

    argument: int
    kind: str


@dataclass(frozen=True, slots=True)
class Key:
    """A fresh 64-bit key, drawn from the generator among the arguments or the default one (-1)."""

    argument: int = -1


@dataclass(frozen=True, slots=True)
class WordSource:
    """Where a call's word comes from, and the kind it is handed on as (`f i d`).

    A binary32 word is the scalar rounded once; a constant is the word itself.
    """

    source: Scalar | Key | int
    kind: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel by its C name, and the stages that define it.

    `define(shapes, dtypes, params)` returns the stages; tensors are numbered like the call's views,
    outputs first, any further number is a tensor in between. Attributes number the call's words.
    """

    symbol: str
    outputs: int
    define: Callable[[Sequence[Shape], Sequence[Dtype], Sequence[int]], list[Stage]]


@dataclass(frozen=True, slots=True)
class Call:
    """One kernel on some views. `program` names the scalar program of a generic kernel."""

    kernel: Kernel
    views: tuple[Operand, ...]
    params: tuple[int, ...] = ()
    words: tuple[WordSource, ...] = ()
    programs: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a plan: an argument, or made by it (`argument` is None)."""

    dtype: Dtype
    shape: Shape
    strides: Shape
    argument: tuple[int, int] | None = None  # position, and position within a list


@dataclass(slots=True)
class Plan:
    """The tensors, calls and results of one operator for one set of shapes.

    `targets` are the tensors an in-place or `out=` operator writes, in the order of its results.
    """

    tensors: list[Tensor] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    results: tuple[Any, ...] = ()
    targets: list[Operand] = field(default_factory=list)

    def new(self, shape: Shape, dtype: Dtype, strides: Shape | None = None) -> Operand:
        """Return a tensor that is allocated when the plan runs, with undefined values at first."""
        laid = contiguous_strides(shape) if strides is None else strides
        self.tensors.append(Tensor(dtype, tuple(shape), laid))
        return Operand(len(self.tensors) - 1, dtype, tuple(shape), laid)

    def result(self, shape: Shape, dtype: Dtype, strides: Shape | None = None) -> Operand:
        """Return the next result: the next target if it fits, else a new tensor."""
        if self.targets and (self.targets[0].shape, self.targets[0].dtype) == (shape, dtype):
            return self.targets.pop(0)
        return self.new(shape, dtype, strides)

    def result_like(self, operand: Operand, dtype: Dtype | None = None) -> Operand:
        """Return the next result, of the operand's shape and order of strides."""
        kind = operand.dtype if dtype is None else dtype
        return self.result(operand.shape, kind, dense_strides(operand.shape, operand.strides))

    def like(self, operand: Operand, dtype: Dtype | None = None) -> Operand:
        """Return a new tensor of the operand's shape, dense, in the order of its strides."""
        kind = operand.dtype if dtype is None else dtype
        return self.new(operand.shape, kind, dense_strides(operand.shape, operand.strides))

    def call(
        self,
        kernel: Kernel,
        views: Sequence[Operand],
        params: Sequence[int] = (),
        words: Sequence[WordSource] = (),
        programs: Sequence[Definition] = (),
    ) -> None:
        """Have a kernel run; views are its outputs, then its inputs."""
        if all(each.numel == 0 for each in views[: kernel.outputs]):
            return
        self.calls.append(Call(kernel, tuple(views), tuple(params), tuple(words), tuple(programs)))

    def returns(self, *results: Any) -> None:
        """Say what the operator returns: an operand, a list of them or None for each result."""
        self.results = results


class Exact(Exception):
    """Stock torch computes this very call exactly on every machine: leave it to it."""


def fits(shape: Sequence[int], wide: Sequence[int]) -> bool:
    """Return whether a shape broadcasts to another one as it is."""
    lead = len(wide) - len(shape)
    return lead >= 0 and all(
        size in (1, other) for size, other in zip(shape, wide[lead:], strict=True)
    )


def numel(shape: Sequence[int]) -> int:
    """Return how many elements a shape has."""
    count = 1
    for each in shape:
        count *= each
    return count


def contiguous_strides(shape: Shape) -> Shape:
    """Return row-major strides, in elements, as torch gives them."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def dense_strides(shape: Shape, strides: Shape) -> Shape:
    """Return strides without gaps that keep the order of `strides`; row-major if some are 0."""
    if any(stride <= 0 and size > 1 for size, stride in zip(shape, strides, strict=True)):
        return contiguous_strides(shape)
    order = sorted(range(len(shape)), key=lambda at: (strides[at], -at))
    laid = [0] * len(shape)
    step = 1
    for at in order:
        laid[at] = step
        step *= max(shape[at], 1)
    return tuple(laid)


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape that all of `shapes` broadcast to; raise `ValueError` if there is none."""
    rank = max(map(len, shapes), default=0)
    result = []
    for at in range(rank):
        sizes = {each[at - rank] for each in shapes if len(each) >= rank - at} - {1}
        if len(sizes) > 1:
            raise ValueError(f"shapes {', '.join(map(str, shapes))} do not broadcast")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)
