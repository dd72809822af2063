"""Runs stages with NumPy, element by element as they are defined; correct wherever Python runs.

This is the specification people read and every kernel is tested against. It is slow on purpose:
a fold takes its terms one after the other, for all output elements at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gensyn_lightning.repops import interpreter
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.interpreter import Words
from gensyn_lightning.repops.stage import OWN_OUTPUT, Fold, Read, Stage

Array = npt.NDArray[Any]
Index = npt.NDArray[np.int64]

NUMPY: Mapping[Dtype, Any] = {
    Dtype.U8: np.uint8,
    Dtype.I8: np.int8,
    Dtype.I16: np.int16,
    Dtype.I32: np.int32,
    Dtype.I64: np.int64,
    Dtype.F16: np.float16,
    Dtype.F32: np.float32,
    Dtype.F64: np.float64,
    Dtype.BOOL: np.bool_,
    Dtype.BF16: np.uint16,  # NumPy has no bfloat16: its bits
}


def run(stages: Iterable[Stage], tensors: dict[int, Words], words: Sequence[int] = ()) -> None:
    """Run the stages in order, adding each one's output to `tensors`: words by number."""
    for each in stages:
        tensors[each.out] = run_stage(each, tensors, words)


def run_stage(stage: Stage, tensors: Mapping[int, Words], words: Sequence[int]) -> Words:
    """Return a stage's output as words, rounded to its type and widened again."""
    with np.errstate(all="ignore"):
        if any(each.source == OWN_OUTPUT for each in stage.reads):
            return _scan(stage, tensors, words)
        count = int(np.prod(stage.shape, dtype=np.int64))
        places = _unravel(np.arange(count, dtype=np.int64), stage.shape)
        made = _elements(stage, tensors, words, places, np.arange(count, dtype=np.int64))
        return stored(np.broadcast_to(made, (count,)), stage.dtype).reshape(stage.shape)


def _scan(stage: Stage, tensors: Mapping[int, Words], words: Sequence[int]) -> Words:
    """Make one element after the other; each may read those before it."""
    made = np.zeros(stage.shape, np.uint64)
    flat = made.reshape(-1)
    for at in range(flat.size):
        index = np.array([at], np.int64)
        places = _unravel(index, stage.shape)
        one = _elements(stage, {**tensors, OWN_OUTPUT: made}, words, places, index)
        flat[at] = stored(np.broadcast_to(one, (1,)), stage.dtype)[0]
    return made


def term(  # noqa: PLR0913, PLR0917 - what one term of one element is made of
    stage: Stage,
    tensors: Mapping[int, Words],
    words: Sequence[int],
    element: int,
    position: int,
    carry: int,
) -> int:
    """Return the carry after one term of one output element."""
    index = np.array([element], np.int64)
    terms = _Terms(stage, tensors, words, _unravel(index, stage.shape), index)
    return int(np.ravel(terms.at(position, [np.array([carry], np.uint64)]))[0])


def _elements(
    stage: Stage,
    tensors: Mapping[int, Words],
    words: Sequence[int],
    places: list[Index],
    linear: Index,
) -> Words:
    terms = _Terms(stage, tensors, words, places, linear)
    if stage.fold is None:
        return terms.at(None, [])
    return _folded(stage.fold, linear.shape, terms)


@dataclass(frozen=True, slots=True)
class _Terms:
    """A stage's program at some output elements, for one term of its fold at a time."""

    stage: Stage
    tensors: Mapping[int, Words]
    words: Sequence[int]
    places: list[Index]
    linear: Index

    def at(self, position: int | None, carry: list[Words]) -> Words:
        """Return the program's results for the term at `position`."""
        stage = self.stage
        reduced: Sequence[Any] = ()
        if position is not None and stage.fold is not None:
            reduced = np.unravel_index(position, stage.fold.shape)
        z = [*self.places, *(np.full(self.linear.shape, each, np.int64) for each in reduced)]
        found = _read_all(stage.reads, self.tensors, z, self.linear.shape)
        asked = [z[each].astype(np.uint64) for each in stage.coordinates]
        index = [self.linear.astype(np.uint64)] if stage.linear else []
        attributes = [np.array(self.words[each], np.uint64) for each in stage.attributes]
        return interpreter.run(stage.program, [*carry, *found, *asked, *index, *attributes])


def _folded(fold: Fold, shape: tuple[int, ...], terms: _Terms) -> Words:
    """Fold the terms: lanes within a chunk, a tree over lanes, chunks in order."""
    init = np.full(shape, fold.init, np.uint64)
    total: Words | None = None
    for start in range(0, fold.terms, fold.chunk):
        lanes = [init] * fold.lanes
        for position in range(start, min(start + fold.chunk, fold.terms)):
            lane = (position - start) % fold.lanes
            lanes[lane] = np.broadcast_to(terms.at(position, [lanes[lane]]), shape)
        while len(lanes) > 1:
            pairs = zip(lanes[::2], lanes[1::2], strict=True)
            lanes = [interpreter.run(fold.combine, pair) for pair in pairs]
        total = lanes[0] if total is None else interpreter.run(fold.combine, [total, lanes[0]])
    return init if total is None else total


def _read_all(
    reads: Sequence[Read],
    tensors: Mapping[int, Words],
    z: Sequence[Index],
    shape: tuple[int, ...],
) -> list[Words]:
    found: list[Words] = []
    for each in reads:
        source = tensors[each.source]
        valid = np.ones(shape, bool)
        at = np.zeros(valid.shape, np.int64)
        for dim in each.dims:
            place = np.full(valid.shape, dim.offset, np.int64)
            for coefficient, coordinate in zip(dim.coefficients, z, strict=True):
                place = place + coefficient * coordinate
            for wanted, value in zip(dim.gathered, found, strict=False):
                if wanted:
                    signed = value.view(np.int64)
                    valid &= (signed >= 0) & (signed < dim.size)
                    place = place + np.where(valid, signed, 0)
            whole = place // dim.divisor
            valid &= (whole * dim.divisor == place) & (whole >= 0) & (whole < dim.size)
            at = at * dim.size + whole
        flat = source.reshape(-1)
        if flat.size == 0:
            found.append(np.full(valid.shape, each.fill, np.uint64))
        else:
            safe = np.where(valid, at, 0)
            found.append(np.where(valid, flat[safe], np.uint64(each.fill)))
    return found


def _unravel(linear: Index, shape: tuple[int, ...]) -> list[Index]:
    return [np.asarray(each, np.int64) for each in np.unravel_index(linear, shape)] if shape else []


def loaded(array: Array, dtype: Dtype) -> Words:
    """Return an array's elements as words: half types widened, integers sign-extended."""
    if dtype is Dtype.BF16:
        return array.astype(np.uint64) << np.uint64(16)
    if dtype.kind == "f":
        return array.astype(np.float32).view(np.uint32).astype(np.uint64)
    if dtype is Dtype.F64:
        return array.view(np.uint64)
    return array.astype(np.int64).view(np.uint64)


def stored(words: Words, dtype: Dtype) -> Words:
    """Return what a load finds after words were stored as `dtype`: rounded, cut, one NaN."""
    return loaded(narrowed(words, dtype), dtype)


def narrowed(words: Words, dtype: Dtype) -> Array:
    """Return words as an array of `dtype`: rounded once, integers modulo their width, one NaN."""
    words = np.ascontiguousarray(words)
    if dtype is Dtype.BOOL:
        return np.asarray(words != 0)
    if dtype is Dtype.F64:
        return interpreter.from_doubles(words.view(np.float64)).view(np.float64)
    if dtype is Dtype.BF16:
        return _to_bfloat(words)
    if dtype.kind == "f":
        return interpreter.floats(interpreter.from_floats(interpreter.floats(words))).astype(
            NUMPY[dtype]
        )
    return words.astype(NUMPY[dtype])


def _to_bfloat(words: Words) -> Array:
    raw = (words & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    rounded = ((raw + np.uint32(0x7FFF) + ((raw >> np.uint32(16)) & np.uint32(1))) >> 16).astype(
        np.uint16
    )
    return np.where(np.isnan(raw.view(np.float32)), np.uint16(0x7FC0), rounded)
