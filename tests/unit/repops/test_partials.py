"""One element's partial results: complete, addressable, and ending in the element itself."""

import numpy as np
import pytest

from gensyn_lightning.repops import partials, reference
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.interpreter import Words, from_floats
from gensyn_lightning.repops.program import Program
from gensyn_lightning.repops.stage import Dim, Fold, Read, Stage
from gensyn_lightning.repops.word import Word, fma, program


@program("ff")
def plus(a: Word, b: Word) -> Word:
    return a + b


@program("fff")
def product(carry: Word, a: Word, b: Word) -> Word:
    return fma(a, b, carry)


ADD: Program = plus.trace()[0]


def sum_of(terms: int, chunk: int, lanes: int) -> Stage:
    read = Read(1, (Dim(3, (1, 0)), Dim(terms, (0, 1))))
    return Stage(0, Dtype.F32, (3,), ADD, (read,), Fold((terms,), chunk, lanes, 0, ADD))


def numbers(*shape: int) -> Words:
    return from_floats(np.random.default_rng(5).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("terms", [1, 15, 16, 17, 255, 256, 257, 700])
def test_the_last_place_holds_the_element(terms: int) -> None:
    stage, tensors = sum_of(terms, 256, 16), {1: numbers(3, terms)}
    made = reference.run_stage(stage, tensors, ())
    for element in range(3):
        assert partials.vector(stage, tensors, (), element)[-1] == made[element]


def test_a_contraction_has_one_lane_and_fused_terms() -> None:
    reads = (
        Read(1, (Dim(2, (1, 0, 0)), Dim(600, (0, 0, 1)))),
        Read(2, (Dim(600, (0, 0, 1)), Dim(2, (0, 1, 0)))),
    )
    fold = Fold((600,), 256, 1, 0, ADD)
    stage = Stage(0, Dtype.F32, (2, 2), product.trace()[0], reads, fold)
    tensors = {1: numbers(2, 600), 2: numbers(600, 2)}
    made = reference.run_stage(stage, tensors, ()).reshape(-1)
    assert [partials.vector(stage, tensors, (), at)[-1] for at in range(4)] == list(made)


def test_every_place_follows_from_those_before_it() -> None:
    stage, tensors = sum_of(300, 64, 8), {1: numbers(3, 300)}
    made = partials.vector(stage, tensors, (), 1)
    for place in range(len(made)):
        if partials.is_used(stage.fold, place):  # type: ignore[arg-type]
            assert partials.step(stage, tensors, (), 1, place, made) == made[place]
        else:
            assert made[place] == 0
