"""The generic reduction: any term over any views, along any dimensions, in one fixed order.

Terms are numbered along the reduced dimensions, in row-major order of the logical tensor: chunks of
256, sixteen lanes, a tree of neighbours, chunks in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import collapse, converting, flattened
from gensyn_lightning.repops.plan import Kernel, Operand, Plan, WordSource, broadcast
from gensyn_lightning.repops.stage import Fold, Shape, Stage, same_place
from gensyn_lightning.repops.word import Definition

CHUNK, LANES = 256, 16


def reduce(  # noqa: PLR0913 - one keyword for each thing that may be otherwise
    plan: Plan,
    term: Definition,
    reads: Sequence[Operand],
    dims: Sequence[int],
    *,
    out: Operand | None = None,
    dtype: Dtype | None = None,
    keepdim: bool = False,
    words: Sequence[WordSource] = (),
    finish: Definition | None = None,
    finish_words: Sequence[WordSource] = (),
) -> Operand:
    """Fold `term` over what `reads` find, broadcast together, along `dims`; return the totals.

    The totals go to `out`, whose shape has no reduced dimensions or has them with size 1, or to a
    new tensor of `dtype` (the term's own kind). `finish` makes an element of each total.
    """
    shape = broadcast(*(each.shape for each in reads))
    reduced = sorted({each % max(len(shape), 1) for each in dims} if shape else [])
    if out is None:
        out = plan.new(reduced_shape(shape, reduced, keepdim=keepdim), dtype or own_dtype(term))
    elif len(out.shape) == len(shape):
        keepdim = True
    flat = _without(out, reduced) if keepdim else out
    views, count = laid_out(flat, [each.expand(shape) for each in reads], reduced)
    programs = [term] if finish is None else [term, finish]
    kernel = Kernel("repops_fold", 1, fold_stages(term, finish))
    both = [*words, *finish_words]
    plan.call(kernel, views, (count, int(finish is not None)), both, programs)
    return out


def own_dtype(term: Definition) -> Dtype:
    """Return the type that holds a term's totals as they are."""
    return {"f": Dtype.F32, "d": Dtype.F64, "i": Dtype.I64}[term.kinds[0]]


def reduced_shape(shape: Shape, dims: Sequence[int], *, keepdim: bool) -> Shape:
    """Return the shape that is left when `dims` are reduced."""
    if keepdim:
        return tuple(1 if at in dims else size for at, size in enumerate(shape))
    return tuple(size for at, size in enumerate(shape) if at not in dims)


def _without(operand: Operand, dims: Sequence[int]) -> Operand:
    for each in reversed(dims):
        operand = operand.squeeze(each)
    return operand


def laid_out(
    out: Operand, reads: Sequence[Operand], reduced: Sequence[int]
) -> tuple[list[Operand], int]:
    """Return the views of the kernel, dimensions merged, and how many of them are reduced."""
    kept = [at for at in range(reads[0].rank) if at not in reduced]
    outer = collapse([*(each.permute(kept) for each in reads), out])
    inner = flattened([each.permute(reduced) for each in reads])
    views = [
        replace(a, shape=a.shape + b.shape, strides=a.strides + b.strides)
        for a, b in zip(outer[:-1], inner, strict=True)
    ]
    return [outer[-1], *views], inner[0].rank


def fold_stages(
    term: Definition, finish: Definition | None
) -> Callable[[Sequence[Shape], Sequence[Dtype], Sequence[int]], list[Stage]]:
    """Return what defines the kernel: a fold, then a map of its totals if there is a finish."""

    def define(
        shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
    ) -> list[Stage]:
        shape, reads = shapes[0], len(shapes) - 1
        totals = 0 if finish is None else len(shapes)
        places = tuple(same_place(1 + at, shapes[1 + at]) for at in range(reads))
        count = len(term.kinds) - term.reads
        folded = Stage(
            totals,
            dtypes[0] if finish is None else own_dtype(term),
            shape,
            _converted(term, dtypes[1:]).trace()[0],
            places,
            fold_of(term, shapes[1][len(shape) :]),
            attributes=tuple(range(count)),
        )
        if finish is None:
            return [folded]
        rest = tuple(range(count, count + len(finish.kinds) - 1))
        last = Stage(
            0, dtypes[0], shape, finish.trace()[0], (same_place(totals, shape),), attributes=rest
        )
        return [folded, last]

    return define


def fold_of(term: Definition, shape: Shape) -> Fold:
    """Return how a reduction's terms are folded."""
    if term.combine is None:
        raise ValueError(f"{term.name} is no fold's term")
    return Fold(shape, CHUNK, LANES, term.init, term.combine.trace()[0])


def _converted(term: Definition, dtypes: Sequence[Dtype]) -> Definition:
    """Return the term for reads as they are loaded; the carry has the term's own kind."""
    return converting(term, [own_dtype(term), *dtypes])
