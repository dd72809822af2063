"""A stage: one tensor, each element by a scalar program; an operator is a list of stages.

A `map` computes every output element from what it reads. A `fold` carries one word over a reduced
index space: in chunks of `chunk` terms, in each of which term r belongs to lane r mod `lanes`; a
lane starts from `init`; lane results meet in a tree of neighbours by `combine`; the first chunk's
value is taken as it is, each later one is combined with the total so far. Tensors are logical,
contiguous and row-major; where a read falls is an affine function of the coordinates and of what
earlier reads found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.program import Program

Shape = tuple[int, ...]
OWN_OUTPUT = -1


@dataclass(frozen=True, slots=True)
class Dim:
    """Where a read falls in one dimension of its source.

    `u = offset + sum(coefficient * z) + sum(gathered * value of an earlier read)`; the place is
    `u / divisor` if that is a whole number in [0, size), else the read finds its fill.
    """

    size: int
    coefficients: tuple[int, ...]
    offset: int = 0
    divisor: int = 1
    gathered: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """One operand: a tensor by number (`OWN_OUTPUT` is this stage's own), and where it is read."""

    source: int
    dims: tuple[Dim, ...]
    fill: int = 0


@dataclass(frozen=True, slots=True)
class Fold:
    """How a fold runs over its reduced coordinates."""

    shape: Shape
    chunk: int
    lanes: int
    init: int
    combine: Program

    @property
    def terms(self) -> int:
        """How many terms every output element has."""
        count = 1
        for each in self.shape:
            count *= each
        return count


@dataclass(frozen=True, slots=True)
class Stage:
    """One tensor: `out` by number, its type and shape, and how an element of it comes about.

    The program's inputs are the carry (folds only), the reads, the coordinates asked for by
    number, the linear index of the output if `linear`, and the attributes by number.
    """

    out: int
    dtype: Dtype
    shape: Shape
    program: Program
    reads: tuple[Read, ...]
    fold: Fold | None = None
    coordinates: tuple[int, ...] = ()
    linear: bool = False
    attributes: tuple[int, ...] = ()


def same_place(source: int, shape: Shape, *, rank: int | None = None, start: int = 0) -> Read:
    """Return the read of a tensor of `shape` at the coordinates from `start` on.

    A dimension of size 1 is read at 0 whatever the coordinate: that is broadcasting. `rank` is how
    many coordinates the stage has, reduced ones included.
    """
    count = len(shape) + start if rank is None else rank
    dims = []
    for at, size in enumerate(shape):
        row = [0] * count
        row[start + at] = int(size != 1)
        dims.append(Dim(size, tuple(row)))
    return Read(source, tuple(dims))


def encode(stage: Stage) -> bytes:
    """Return the bytes that define a stage; `docs/numerics.md` lays them out."""
    rank = len(stage.shape) + (len(stage.fold.shape) if stage.fold else 0)
    parts = [bytes([stage.dtype, len(stage.shape), rank, stage.linear])]
    parts.append(_numbers([stage.out, *stage.shape]))
    parts.append(_listed(_read(each) for each in stage.reads))
    parts.append(_bytes(bytes(stage.coordinates)) + _bytes(bytes(stage.attributes)))
    parts.append(_bytes(stage.program.encode()))
    if stage.fold is not None:
        fold = stage.fold
        parts.append(_numbers([*fold.shape, fold.chunk, fold.lanes]))
        parts.append(fold.init.to_bytes(8, "big") + _bytes(fold.combine.encode()))
    return b"".join(parts)


def _read(read: Read) -> bytes:
    head = read.source.to_bytes(4, "big", signed=True) + read.fill.to_bytes(8, "big")
    return head + _listed(_dim(each) for each in read.dims)


def _dim(dim: Dim) -> bytes:
    numbers = [dim.size, dim.offset, dim.divisor, *dim.coefficients]
    return _bytes(_numbers(numbers)) + _bytes(bytes(dim.gathered))


def _numbers(values: Iterable[int]) -> bytes:
    return b"".join(each.to_bytes(8, "big", signed=True) for each in values)


def _listed(items: Iterable[bytes]) -> bytes:
    found = list(items)
    return len(found).to_bytes(2, "big") + b"".join(found)


def _bytes(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
