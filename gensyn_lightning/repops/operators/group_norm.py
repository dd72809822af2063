"""Group normalisation, forward and backward: sums over groups of channels, then one map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduce
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.operators.normalisation import contiguous, saved_dtype
from gensyn_lightning.repops.operators.reduction import count_word, require_single
from gensyn_lightning.repops.plan import Operand, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs import normalisation as programs
from gensyn_lightning.repops.programs import reduction as sums
from gensyn_lightning.repops.stage import Shape

ROWS, CHANNELS = (2, 3), (0, 3)


@dataclass(frozen=True, slots=True)
class Grouped:
    """How a tensor is taken apart: (batch, groups, channels of a group, places of a channel)."""

    shape: Shape

    @property
    def count(self) -> int:
        """Elements of a group."""
        return self.shape[2] * self.shape[3]

    def whole(self, plan: Plan, operand: Operand) -> Operand:
        """Return a tensor of the input's shape, taken apart."""
        return contiguous(plan, operand).reshape(self.shape)

    def of_group(self, plan: Plan, operand: Operand) -> Operand:
        """Return one number for each group, to be broadcast."""
        return contiguous(plan, operand).reshape((*self.shape[:2], 1, 1))

    def of_channel(self, plan: Plan, operand: Operand) -> Operand:
        """Return one number for each channel, to be broadcast."""
        return contiguous(plan, operand).reshape((1, *self.shape[1:3], 1))


@covers("native_group_norm", out="native_group_norm.out")
def group_norm(
    plan: Plan,
    input: Operand,
    weight: Operand | None,
    bias: Operand | None,
    N: int,  # noqa: N803 - torch's own names
    C: int,  # noqa: N803
    HxW: int,  # noqa: N803
    group: int,
    eps: Scalar,
) -> None:
    """Return the normal of every group times weight plus bias, the groups' means and roots."""
    require_single(input, "group normalisation")
    form = Grouped((N, group, C // group, HxW))
    out = plan.result(input.shape, input.dtype)
    kind = saved_dtype(input, weight, bias)
    saved = [plan.result((N, group), kind) for _ in range(2)]
    x = form.whole(plan, input)
    words = [count_word(form.count, "f")]
    mean = plan.new((N, group, 1, 1), Dtype.F32)
    finish = sums.divided["fF"]
    reduce(plan, sums.sum_["ff"], [x], ROWS, out=mean, finish=finish, finish_words=words)
    rstd = plan.new(mean.shape, Dtype.F32)
    reduce(
        plan,
        sums.sum_of_squared_differences["fff"],
        [x, mean],
        ROWS,
        out=rstd,
        finish=programs.root_of_variance["fFF"],
        finish_words=[*words, WordSource(eps, "f")],
    )
    affine = [form.of_channel(plan, each) for each in (weight, bias) if each is not None]
    definition = {
        (False, False): programs.normal["fff"],
        (True, False): programs.weighted_normal["ffff"],
        (False, True): programs.biased_normal["ffff"],
        (True, True): programs.affine_normal["fffff"],
    }[weight is not None, bias is not None]
    _fill(
        plan, out, form, lambda made: map_elements(plan, definition, made, [x, mean, rstd, *affine])
    )
    for target, source in zip(saved, (mean, rstd), strict=True):
        copy_elements(plan, target, source.reshape((N, group)))
    plan.returns(out, *saved)


@covers("native_group_norm_backward", out="native_group_norm_backward.out")
def group_norm_backward(
    plan: Plan,
    grad_out: Operand,
    input: Operand,
    mean: Operand,
    rstd: Operand,
    weight: Operand | None,
    N: int,  # noqa: N803 - torch's own names
    C: int,  # noqa: N803
    HxW: int,  # noqa: N803
    group: int,
    output_mask: Sequence[bool],
) -> None:
    """Return the gradients of input, weight and bias, those that are wanted."""
    form = Grouped((N, group, C // group, HxW))
    wide = [form.whole(plan, each) for each in (grad_out, input)]
    reads = [*wide, *(form.of_group(plan, each) for each in (mean, rstd))]
    made: list[Operand | None] = [None, None, None]
    if output_mask[0]:
        made[0] = _input_gradient(plan, form, input, reads, weight)
    kind = input.dtype if weight is None else weight.dtype
    terms = (programs.sum_of_gradient_times_normal["fffff"], sums.sum_["ff"])
    for at, term, given in zip((1, 2), terms, (reads, reads[:1]), strict=True):
        if output_mask[at]:
            out = made[at] = plan.result((C,), kind)
            total = rows.contiguous(plan, reduce(plan, term, given, CHANNELS, keepdim=True))
            copy_elements(plan, out, total.reshape(out.shape))
    plan.returns(*made)


def _input_gradient(
    plan: Plan, form: Grouped, input: Operand, reads: list[Operand], weight: Operand | None
) -> Operand:
    """Compute the input's gradient; reads are dy, x, mean and rstd."""
    out = plan.result(input.shape, input.dtype)
    extra = [] if weight is None else [form.of_channel(plan, weight)]
    if weight is None:
        terms = (sums.sum_["ff"], programs.sum_of_gradient_times_normal["fffff"])
        definition = programs.layer_gradient["ffffff"]
    else:
        terms = (
            programs.sum_of_weighted_gradient["fff"],
            programs.sum_of_weighted_gradient_times_normal["ffffff"],
        )
        definition = programs.weighted_layer_gradient["fffffff"]
    means = [
        reduce(
            plan,
            term,
            [*given, *extra],
            ROWS,
            keepdim=True,
            finish=sums.divided["fF"],
            finish_words=[count_word(form.count, "f")],
        )
        for term, given in zip(terms, (reads[:1], reads), strict=True)
    ]
    _fill(
        plan,
        out,
        form,
        lambda made: map_elements(plan, definition, made, [*reads, *means, *extra]),
    )
    return out


def _fill(plan: Plan, out: Operand, form: Grouped, write: Callable[[Operand], None]) -> None:
    """Have `write` compute a tensor that is taken apart, then put it where `out` is."""
    made = out if out.is_contiguous else plan.new(out.shape, out.dtype)
    write(made.reshape(form.shape))
    if made is not out:
        copy_elements(plan, out, made)
