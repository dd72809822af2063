"""The generic elementwise kernel: any program over any views of one shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.plan import Kernel, Operand, Plan, WordSource
from gensyn_lightning.repops.programs import arithmetic
from gensyn_lightning.repops.stage import Shape, Stage, same_place
from gensyn_lightning.repops.word import Definition, Word, to_double, to_float, to_integer

Define = Callable[[Sequence[Shape], Sequence[Dtype], Sequence[int]], list[Stage]]

_CONVERT = {"f": to_float, "d": to_double, "i": to_integer}


def map_elements(  # noqa: PLR0913
    plan: Plan,
    definition: Definition,
    outs: Operand | Sequence[Operand],
    reads: Sequence[Operand],
    words: Sequence[WordSource] = (),
    *,
    singles: Sequence[Operand] = (),
) -> None:
    """Have `outs[k][i] = definition(*reads[i], *singles, *words)[k]` computed for every place i.

    Reads broadcast to the outputs' shape. A read of another kind of number than the program's
    input is converted first: to the nearest binary32 or binary64, or towards zero. Singles are
    tensors of one element, which the program takes as words.
    """
    made = [outs] if isinstance(outs, Operand) else list(outs)
    shape = made[0].shape
    views = [*made, *(each.expand(shape) for each in reads)]
    kernel = Kernel("repops_map", len(made), stages_of(definition))
    collapsed = [*collapse(views), *(replace(each, shape=(), strides=()) for each in singles)]
    params = (len(made), len(singles)) if singles else (len(made),)
    plan.call(kernel, collapsed, params, words, (definition,))


def copy_elements(plan: Plan, out: Operand, source: Operand) -> None:
    """Have `source`, broadcast to `out`'s shape, copied into it, converted to its type."""
    map_elements(plan, arithmetic.copy[out.dtype.kind], out, [source])


def collapse(views: Sequence[Operand]) -> list[Operand]:
    """Return the same views with as few dimensions as do, the first one's densest last."""
    strides = views[0].strides
    order = sorted(range(views[0].rank), key=lambda at: -abs(strides[at]))
    return flattened([each.permute(order) for each in views])


def flattened(views: Sequence[Operand]) -> list[Operand]:
    """Return the same views with as few dimensions as do, elements in the same order."""
    dims: list[tuple[int, list[int]]] = []
    for at, size in enumerate(views[0].shape):
        strides = [each.strides[at] for each in views]
        if size == 1:
            continue
        if dims and all(
            before == stride * size for before, stride in zip(dims[-1][1], strides, strict=True)
        ):
            dims[-1] = (dims[-1][0] * size, strides)
        else:
            dims.append((size, strides))
    shape = tuple(size for size, _ in dims)
    return [
        replace(each, shape=shape, strides=tuple(strides[number] for _, strides in dims))
        for number, each in enumerate(views)
    ]


def stages_of(definition: Definition) -> Define:
    """Return what defines the generic kernel on a program."""
    reads = definition.reads

    def define(
        shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
    ) -> list[Stage]:
        outputs = params[0]
        programs = converting(definition, dtypes[outputs:]).trace()
        places = tuple(same_place(outputs + at, shapes[0]) for at in range(reads))
        rank, first, end = len(shapes[0]), outputs + reads, len(dtypes)
        places += tuple(same_place(at, (), rank=rank) for at in range(first, end))
        attributes = tuple(range(len(definition.kinds) - len(places)))
        return [
            Stage(at, dtypes[at], shapes[0], each, places, attributes=attributes)
            for at, each in enumerate(programs)
        ]

    return define


def converting(definition: Definition, dtypes: Sequence[Dtype]) -> Definition:
    """Return the definition for inputs as they are loaded, converted where the kinds differ."""
    kinds = "".join(each.kind for each in dtypes) + definition.kinds[len(dtypes) :]

    def function(*words: Word) -> Word | tuple[Word, ...]:
        made: Word | tuple[Word, ...] = definition.function(
            *(
                _CONVERT[want.lower()](each)
                for want, each in zip(definition.kinds, words, strict=True)
            )
        )
        return made

    return Definition(definition.name, kinds, function)
