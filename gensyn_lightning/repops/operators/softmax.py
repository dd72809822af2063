"""Softmax and its logarithm along one dimension, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.plan import Kernel, Operand, Plan
from gensyn_lightning.repops.programs import reduction, softmax
from gensyn_lightning.repops.programs.arithmetic import mul
from gensyn_lightning.repops.stage import Shape, Stage
from gensyn_lightning.repops.stages import Stages

SOFTMAX, LOG_SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD = range(4)


@covers("_softmax", out="_softmax.out")
def softmax_(plan: Plan, self: Operand, dim: int, half_to_float: bool) -> None:
    """Return e**self over its sum along `dim`."""
    _forward(plan, SOFTMAX, self, dim, half_to_float=half_to_float)


@covers("_log_softmax", out="_log_softmax.out")
def log_softmax_(plan: Plan, self: Operand, dim: int, half_to_float: bool) -> None:
    """Return the logarithm of softmax along `dim`."""
    _forward(plan, LOG_SOFTMAX, self, dim, half_to_float=half_to_float)


@covers("_softmax_backward_data", out="_softmax_backward_data.out")
def softmax_backward(
    plan: Plan, grad_output: Operand, output: Operand, dim: int, input_dtype: Dtype
) -> None:
    """Return softmax's gradient."""
    _backward(plan, SOFTMAX_BACKWARD, grad_output, output, dim, input_dtype)


@covers("_log_softmax_backward_data", out="_log_softmax_backward_data.out")
def log_softmax_backward(
    plan: Plan, grad_output: Operand, output: Operand, dim: int, input_dtype: Dtype
) -> None:
    """Return the gradient of softmax's logarithm."""
    _backward(plan, LOG_SOFTMAX_BACKWARD, grad_output, output, dim, input_dtype)


def _forward(plan: Plan, what: int, x: Operand, dim: int, *, half_to_float: bool) -> None:
    out = plan.result(x.shape, Dtype.F32 if half_to_float else x.dtype)
    along_rows(plan, what, out, [x], dim)
    plan.returns(out)


def _backward(
    plan: Plan, what: int, gradient: Operand, result: Operand, dim: int, dtype: Dtype
) -> None:
    out = plan.result(gradient.shape, dtype)
    along_rows(plan, what, out, [gradient, result], dim)
    plan.returns(out)


def along_rows(plan: Plan, what: int, out: Operand, reads: Sequence[Operand], dim: int) -> None:
    """Have one of the four computed along `dim`."""
    if any(each.dtype.kind != "f" for each in reads):
        raise NotReproducible(
            f"softmax of {reads[0].dtype.name} has no reproducible definition",
            hint="convert to float32 first",
        )
    if not out.rank:
        out, *reads = (each.unsqueeze(0) for each in (out, *reads))
    views = [_with_last(each, dim) for each in (out, *reads)]
    plan.call(KERNEL, views, (what,))


def _with_last(operand: Operand, dim: int) -> Operand:
    order = [at for at in range(operand.rank) if at != dim % operand.rank]
    return operand.permute([*order, dim % operand.rank])


def _define(what: int, shapes: Sequence[Shape], dtypes: Sequence[Dtype]) -> list[Stage]:
    stages = Stages(list(shapes), list(dtypes))
    shape = shapes[0]
    last = [len(shape) - 1]
    if what == SOFTMAX_BACKWARD:
        total = stages.fold(reduction.sum_of_products["fff"], [1, 2], last)
        stages.map(softmax.softmax_backward["fff"], shape, [1, 2, total], out=0)
    elif what == LOG_SOFTMAX_BACKWARD:
        total = stages.fold(reduction.sum_["ff"], [1], last)
        stages.map(softmax.log_softmax_backward["fff"], shape, [1, 2, total], out=0)
    else:
        _define_forward(stages, what, shape, last)
    return stages.made


def _define_forward(stages: Stages, what: int, shape: Shape, last: Sequence[int]) -> None:
    largest = stages.fold(reduction.largest["ff"], [1], last)
    kept = stages.shapes[largest]
    total = stages.fold(softmax.sum_of_exp_of_difference["fff"], [1, largest], last)
    if what == LOG_SOFTMAX:
        log_of_total = stages.map(softmax.log_of_sum["f"], kept, [total])
        stages.map(softmax.log_softmax["fff"], shape, [1, largest, log_of_total], out=0)
        return
    power = stages.map(softmax.exp_of_difference["ff"], shape, [1, largest])
    scale = stages.map(softmax.reciprocal_of_sum["f"], kept, [total])
    stages.map(mul["ff"], shape, [power, scale], out=0)


KERNEL = Kernel(
    "repops_softmax", 1, lambda shapes, dtypes, params: _define(params[0], shapes, dtypes)
)
