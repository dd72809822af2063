"""The generic kernel for draws: any program over random bits, and over views of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import Define, converting, flattened
from gensyn_lightning.repops.plan import Kernel, Key, Operand, Plan, WordSource
from gensyn_lightning.repops.programs.random import random_bits
from gensyn_lightning.repops.stage import Dim, Read, Shape, Stage, same_place
from gensyn_lightning.repops.word import Definition, Word, to_double


@dataclass(frozen=True, slots=True)
class Stream:
    """The random words of one key, `bits` for each element.

    Where `reads_chances` is set, what a draw reads are probabilities; it fails if one is not.
    """

    key: Key
    bits: int = 1
    reads_chances: bool = False


def draw_elements(
    plan: Plan,
    definition: Definition,
    outs: Sequence[Operand],
    stream: Stream,
    *given: Operand | WordSource,
) -> None:
    """Have `outs[k][i] = definition(*bits of i, *reads[i], *words)[k]` computed for every place i.

    Element i, in row-major order of the outputs' shape, has words `bits * i` and on of the stream;
    the key is drawn if there are elements. Reads are given before words and broadcast. A binary32
    result is widened for a binary64 output.
    """
    reads = [each.expand(outs[0].shape) for each in given if isinstance(each, Operand)]
    words = [each for each in given if isinstance(each, WordSource)]
    kernel = Kernel("repops_draw", len(outs), _stages_of(definition))
    params = (len(outs), stream.bits, int(stream.reads_chances))
    key = WordSource(stream.key, "i")
    plan.call(kernel, flattened([*outs, *reads]), params, [key, *words], [definition])


def bits_stage(out: int, shape: Shape) -> Stage:
    """Return the stage that makes random words, numbered in row-major order; word 0 is the key."""
    [bits] = random_bits.trace()
    return Stage(out, Dtype.I64, shape, bits, (), linear=True, attributes=(0,))


def _stages_of(definition: Definition) -> Define:
    def define(
        shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
    ) -> list[Stage]:
        outputs, bits = params[:2]
        shape, drawn = shapes[0], len(shapes)
        places = [_word_of(same_place(drawn, shape), bits, at) for at in range(bits)]
        places += [same_place(at, shape) for at in range(outputs, len(shapes))]
        words = len(definition.kinds) - definition.reads
        kinds = [Dtype.F32] * bits + list(dtypes[outputs:])
        made = [
            Stage(at, dtypes[at], shape, each, tuple(places), attributes=tuple(range(1, words + 1)))
            for at, each in enumerate(_to_types(converting(definition, kinds), dtypes).trace())
        ]
        return [bits_stage(drawn, (*shape, bits)), *made]

    return define


def _word_of(element: Read, bits: int, at: int) -> Read:
    """Return the read of an element's word `at` of `bits`."""
    return replace(element, dims=(*element.dims, Dim(bits, (0,) * len(element.dims), at)))


def _to_types(definition: Definition, dtypes: Sequence[Dtype]) -> Definition:
    """Return the definition with its binary32 results widened where outputs are binary64."""

    def function(*words: Word) -> tuple[Word, ...]:
        made = definition.function(*words)
        results = made if isinstance(made, tuple) else (made,)
        return tuple(
            to_double(each) if dtype is Dtype.F64 else each
            for each, dtype in zip(results, dtypes, strict=False)
        )

    return Definition(definition.name, definition.kinds, function)
