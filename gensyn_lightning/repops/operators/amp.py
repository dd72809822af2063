"""What `GradScaler` calls: unscale gradients and see whether they are finite; the next scale."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.operators.optimizer import single
from gensyn_lightning.repops.plan import Kernel, Operand, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs import amp
from gensyn_lightning.repops.stage import Fold, Shape, Stage, same_place
from gensyn_lightning.repops.word import Definition

CHUNK = 256


@covers("_amp_foreach_non_finite_check_and_unscale_")
def check_and_unscale(
    plan: Plan, grads: Sequence[Operand], found_inf: Operand, inv_scale: Operand
) -> None:
    """Set `found_inf` to 1 if a gradient is not finite, and multiply all by `inv_scale`."""
    for each in grads:
        if not each.dtype.is_floating:
            raise NotReproducible(f"a {each.dtype.name} gradient", hint="use floating gradients")
        found = single(found_inf)
        plan.call(NON_FINITE, [found, each, found])
        map_elements(plan, _scaled_by(each), each, [each], singles=[single(inv_scale)])
    plan.returns()


@covers("_amp_update_scale_")
def update_scale(
    plan: Plan,
    scale: Operand,
    growth_tracker: Operand,
    found_inf: Operand,
    growth: Scalar,
    backoff: Scalar,
    interval: Scalar,
) -> None:
    """Return the scale for the next step, in place; the tracker counts steps since it changed."""
    words = [WordSource(growth, "d"), WordSource(backoff, "d"), WordSource(interval, "i")]
    state = [single(scale), single(growth_tracker)]
    map_elements(plan, amp.next_scale, state, [*state, single(found_inf)], words)
    plan.returns(scale)


def _scaled_by(operand: Operand) -> Definition:
    return amp.scaled_by["fF" if operand.dtype.kind == "f" else "dD"]


def _non_finite_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    """Return the stages of `repops_non_finite`: a fold over all elements, then 1 or what was."""
    del params
    kind = dtypes[1].kind
    [program] = amp.non_finite["f" + kind].trace()
    [combine] = amp.either.trace()
    fold = Fold(shapes[1], CHUNK, 16, 0, combine)
    place = same_place(1, shapes[1])
    any_of_them = Stage(3, Dtype.F32, (), program, (place,), fold)
    reads = (same_place(2, shapes[2]), same_place(3, (), rank=len(shapes[0])))
    return [any_of_them, Stage(0, dtypes[0], shapes[0], combine, reads)]


NON_FINITE = Kernel("repops_non_finite", 1, _non_finite_stages)
