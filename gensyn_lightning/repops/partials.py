"""Every partial result of one element of a fold, each at a place of its own.

A chunk of terms takes `chunk + lanes` places: at r < terms of the chunk the carry after term r,
then the inner results of the tree over lanes, and last the running total of all chunks so far. The
predecessors of any place follow from its number alone, so that whoever doubts an element can
name one place and have it computed again. The last place holds the element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gensyn_lightning.errors import ProgramError
from gensyn_lightning.repops import interpreter, reference
from gensyn_lightning.repops.interpreter import Words
from gensyn_lightning.repops.program import Program
from gensyn_lightning.repops.stage import Fold, Stage


def vector(
    stage: Stage, tensors: Mapping[int, Words], words: Sequence[int], element: int
) -> list[int]:
    """Return the partial results of one output element, by place."""
    fold = stage.fold
    if fold is None or fold.terms == 0:
        raise ProgramError("only a fold with terms has partial results")
    made = [0] * (chunks(fold) * width(fold))
    for place in range(len(made)):
        if is_used(fold, place):
            made[place] = step(stage, tensors, words, element, place, made)
    return made


def step(  # noqa: PLR0913, PLR0917 - what one step of a dispute is about
    stage: Stage,
    tensors: Mapping[int, Words],
    words: Sequence[int],
    element: int,
    place: int,
    known: Sequence[int],
) -> int:
    """Return what stands at one place, given what stands at the places before it."""
    fold = stage.fold
    assert fold is not None
    chunk, at = divmod(place, width(fold))
    if at == width(fold) - 1:
        value = _chunk_value(fold, chunk, known)
        before = known[place - width(fold)] if chunk else None
        return value if before is None else combine(fold.combine, before, value)
    if at >= fold.chunk:
        node = at - fold.chunk
        left, right = (_input(fold, chunk, 2 * node + side, known) for side in (0, 1))
        return combine(fold.combine, left, right)
    carry = known[place - fold.lanes] if at >= fold.lanes else fold.init
    return reference.term(stage, tensors, words, element, chunk * fold.chunk + at, carry)


def chunks(fold: Fold) -> int:
    """Return how many chunks a fold has."""
    return -(-fold.terms // fold.chunk)


def width(fold: Fold) -> int:
    """Return how many places a chunk takes."""
    return fold.chunk + fold.lanes


def is_used(fold: Fold, place: int) -> bool:
    """Whether a place holds a partial result; the unused ones of the last chunk hold 0."""
    chunk, at = divmod(place, width(fold))
    return at >= fold.chunk or at < _terms(fold, chunk)


def combine(program: Program, left: int, right: int) -> int:
    """Return two partial results combined."""
    pair = [np.array(each, np.uint64) for each in (left, right)]
    return int(interpreter.run(program, pair))


def _terms(fold: Fold, chunk: int) -> int:
    return min(fold.chunk, fold.terms - chunk * fold.chunk)


def _chunk_value(fold: Fold, chunk: int, known: Sequence[int]) -> int:
    """Return the root of the tree over lanes: its last inner result, or the only lane's."""
    if fold.lanes == 1:
        return _lane(fold, chunk, 0, known)
    return known[chunk * width(fold) + fold.chunk + fold.lanes - 2]


def _input(fold: Fold, chunk: int, number: int, known: Sequence[int]) -> int:
    """Return an input of the tree: the lanes' results come first, then its own inner results."""
    if number < fold.lanes:
        return _lane(fold, chunk, number, known)
    return known[chunk * width(fold) + fold.chunk + number - fold.lanes]


def _lane(fold: Fold, chunk: int, lane: int, known: Sequence[int]) -> int:
    """Return a lane's result: it stands at its last term; a lane without terms has the start."""
    terms = _terms(fold, chunk)
    if lane >= terms:
        return fold.init
    last = lane + (terms - 1 - lane) // fold.lanes * fold.lanes
    return known[chunk * width(fold) + last]
