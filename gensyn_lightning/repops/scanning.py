"""The generic scan: a term applied to one element after the other along one dimension."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import own_dtype
from gensyn_lightning.repops.mapping import converting, copy_elements
from gensyn_lightning.repops.plan import Kernel, Operand, Plan
from gensyn_lightning.repops.stage import OWN_OUTPUT, Dim, Read, Shape, Stage, same_place
from gensyn_lightning.repops.word import Definition


def scan(plan: Plan, term: Definition, out: Operand, source: Operand, dim: int) -> None:
    """Have `out[i]` along `dim` become the term's carry after elements 0 to i.

    Carries have the term's own kind; they are rounded to `out`'s type only where they are stored.
    """
    made = out
    if out.dtype is not own_dtype(term):
        made = plan.new(out.shape, own_dtype(term))
    if not out.rank:
        views = [made.unsqueeze(0), source.unsqueeze(0)]
    else:
        order = [at for at in range(out.rank) if at != dim % out.rank]
        views = [each.permute([*order, dim % out.rank]) for each in (made, source)]
    plan.call(Kernel("repops_scan", 1, _stages_of(term)), views, programs=(term,))
    if made is not out:
        copy_elements(plan, out, made)


def _stages_of(term: Definition):  # type: ignore[no-untyped-def]
    def define(
        shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
    ) -> list[Stage]:
        shape = shapes[0]
        unit = [tuple(int(at == own) for at in range(len(shape))) for own in range(len(shape))]
        before = tuple(
            Dim(size, unit[at], offset=-int(at == len(shape) - 1)) for at, size in enumerate(shape)
        )
        program = converting(term, [own_dtype(term), dtypes[1]]).trace()[0]
        reads = (Read(OWN_OUTPUT, before, term.init), same_place(1, shape))
        return [Stage(0, dtypes[0], shape, program, reads)]

    return define
