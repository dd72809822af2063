"""The stages that define the kernels of batch normalisation, on [N, C, I]."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.plan import Kernel
from gensyn_lightning.repops.programs import arithmetic, batch_norm, normalisation
from gensyn_lightning.repops.programs import reduction as sums
from gensyn_lightning.repops.stage import Shape, Stage
from gensyn_lightning.repops.stages import Stages
from gensyn_lightning.repops.word import float_bits

WEIGHT, BIAS, D_INPUT, OWN_MEANS = 1, 2, 4, 8
DIMS = (0, 2)


def _forward(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    stages = Stages(list(shapes), list(dtypes))
    shape, kept = shapes[4], (1, shapes[4][1], 1)
    count = stages.constant(float_bits(shape[0] * shape[2]))
    total = stages.fold(sums.sum_["ff"], [4], DIMS)
    mean = stages.map(arithmetic.div["ff"], kept, [total, count])
    squares = stages.fold(sums.sum_of_squared_differences["fff"], [4, mean], DIMS)
    rstd = stages.map(normalisation.root_of_variance["ffF"], kept, [squares, count], words=[0])
    for out, each in enumerate((mean, rstd, squares), 1):
        _vector(stages, each, out)
    _apply_stages(stages, (4, mean, rstd), list(range(5, len(shapes))), params[0])
    return stages.made


def _apply(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    stages = Stages(list(shapes), list(dtypes))
    mean, rstd = (_along(stages, each) for each in (2, 3))
    _apply_stages(stages, (1, mean, rstd), list(range(4, len(shapes))), params[0])
    return stages.made


def _apply_stages(stages: Stages, reads: tuple[int, int, int], given: list[int], what: int) -> None:
    """Make y; `given` are weight and bias, those that there are."""
    x, mean, rstd = reads
    shape = stages.shapes[x]
    parameters = [_along(stages, each) for each in given]
    scale = rstd
    if what & WEIGHT:
        kept = (1, shape[1], 1)
        scale = stages.map(arithmetic.mul["ff"], kept, [rstd, parameters.pop(0)])
    if what & BIAS:
        definition = batch_norm.affine_difference["ffff"]
        stages.map(definition, shape, [x, mean, scale, *parameters], out=0)
        return
    stages.map(batch_norm.scaled_difference["fff"], shape, [x, mean, scale], out=0)


def _backward(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    stages = Stages(list(shapes), list(dtypes))
    what = params[0]
    dy = 3 if what & D_INPUT else 2
    shape = shapes[dy]
    kept = (1, shape[1], 1)
    mean, rstd = (_along(stages, each) for each in (dy + 2, dy + 3))
    of_dy = stages.fold(sums.sum_["ff"], [dy], DIMS)
    term = sums.sum_of_products_with_difference["ffff"]
    dot = stages.fold(term, [dy + 1, mean, dy], DIMS)
    product = stages.map(arithmetic.mul["ff"], kept, [dot, rstd])
    _vector(stages, of_dy, 0)
    _vector(stages, product, 1)
    if not what & D_INPUT:
        return stages.made
    scale = rstd
    if what & WEIGHT:
        scale = stages.map(arithmetic.mul["ff"], kept, [rstd, _along(stages, dy + 4)])
    if not what & OWN_MEANS:
        stages.map(arithmetic.mul["ff"], shape, [dy, scale], out=2)
        return stages.made
    count = stages.constant(float_bits(shape[0] * shape[2]))
    a = stages.map(arithmetic.div["ff"], kept, [of_dy, count])
    b = stages.map(batch_norm.mean_product["fff"], kept, [product, rstd, count])
    reads = [dy, dy + 1, mean, scale, a, b]
    stages.map(batch_norm.gradient["ffffff"], shape, reads, out=2)
    return stages.made


def _along(stages: Stages, number: int) -> int:
    """Return a tensor [C] as one of [1, C, 1]."""
    return stages.copy(number, (1, stages.shapes[number][0], 1), [1])


def _vector(stages: Stages, number: int, out: int) -> None:
    """Put a tensor of [1, C, 1] into an output of [C]."""
    stages.take(number, stages.shapes[number][1], out)


FORWARD = Kernel("repops_batch_norm", 4, _forward)
APPLY = Kernel("repops_batch_norm_apply", 1, _apply)
BACKWARD = [
    Kernel("repops_batch_norm_backward", 2, _backward),
    Kernel("repops_batch_norm_backward", 3, _backward),
]
