"""Losses of classes: the negative log-likelihood, of single targets and of planes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.folding import reduce
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.operators.embedding import INDEX_READ
from gensyn_lightning.repops.plan import Kernel, Operand, Plan
from gensyn_lightning.repops.programs import arithmetic
from gensyn_lightning.repops.programs import loss as programs
from gensyn_lightning.repops.programs import reduction as sums
from gensyn_lightning.repops.stage import Dim, Read, Shape, Stage

NONE, MEAN, SUM = range(3)


@dataclass(frozen=True, slots=True)
class Named:
    """Values [N, C, Q], the class each target [N, Q] names, and that class's weight if it has one.

    The class is -1 for a target that is ignored.
    """

    values: Operand
    classes: Operand
    weight: Operand | None

    @property
    def kind(self) -> str:
        """The kind of number the loss is computed in."""
        return self.values.dtype.kind

    @property
    def dtype(self) -> Dtype:
        """The type that holds such numbers."""
        return rows.computing_dtype(self.values.dtype)


@covers("nll_loss_forward", out="nll_loss_forward.output")
def nll_loss_forward(
    plan: Plan,
    self: Operand,
    target: Operand,
    weight: Operand | None,
    reduction: int,
    ignore_index: int,
) -> None:
    """Return minus the value of each target's class times its weight, and the sum of the weights.

    The mean is the sum of the losses over the sum of the weights.
    """
    _check_rows(self, target, weight)
    _forward(plan, self, target, weight, reduction, ignore_index)


@covers("nll_loss2d_forward", out="nll_loss2d_forward.output")
def nll_loss2d_forward(
    plan: Plan,
    self: Operand,
    target: Operand,
    weight: Operand | None,
    reduction: int,
    ignore_index: int,
) -> None:
    """Return the same for planes of targets."""
    _check_planes(self, target, weight)
    _forward(plan, self, target, weight, reduction, ignore_index)


@covers("nll_loss_backward", out="nll_loss_backward.grad_input")
def nll_loss_backward(
    plan: Plan,
    grad_output: Operand,
    self: Operand,
    target: Operand,
    weight: Operand | None,
    reduction: int,
    ignore_index: int,
    total_weight: Operand,
) -> None:
    """Return the gradient: not 0 at the classes of the targets only."""
    _check_rows(self, target, weight)
    given = (grad_output, self, target, weight)
    _backward(plan, given, reduction, ignore_index, total_weight)


@covers("nll_loss2d_backward", out="nll_loss2d_backward.grad_input")
def nll_loss2d_backward(
    plan: Plan,
    grad_output: Operand,
    self: Operand,
    target: Operand,
    weight: Operand | None,
    reduction: int,
    ignore_index: int,
    total_weight: Operand,
) -> None:
    """Return the same for planes of targets."""
    _check_planes(self, target, weight)
    given = (grad_output, self, target, weight)
    _backward(plan, given, reduction, ignore_index, total_weight)


def _forward(
    plan: Plan,
    self: Operand,
    target: Operand,
    weight: Operand | None,
    reduction: int,
    ignored: int,
) -> None:
    found = _named(plan, self, target, weight, ignored)
    is_each = reduction == NONE and self.rank > 1
    out = plan.result(target.shape if is_each else (), self.dtype)
    total = plan.result((), self.dtype)
    # As they are wanted, or wide to be summed.
    losses = plan.new(found.classes.shape, self.dtype if is_each else found.dtype)
    reads = [_read(plan, found.values, found.classes.unsqueeze(1)).squeeze(1), found.classes]
    if found.weight is None:
        map_elements(plan, programs.class_loss[found.kind + "i"], losses, reads)
    else:
        reads.insert(1, found.weight)
        map_elements(plan, programs.weighted_class_loss[found.kind * 2 + "i"], losses, reads)
    if is_each:
        copy_elements(plan, out, losses.reshape(target.shape))
        copy_elements(plan, total, rows.filled(plan, (), self.dtype, 0.0))
        return plan.returns(out, total)
    term = sums.sum_[found.kind * 2]
    all_weight = reduce(plan, term, [_shares(plan, found)], (0, 1))
    if reduction == MEAN:
        loss = reduce(plan, term, [losses], (0, 1))
        map_elements(plan, arithmetic.div[found.kind * 2], out, [loss, all_weight])
    else:
        reduce(plan, term, [losses], (0, 1), out=out)
    copy_elements(plan, total, all_weight)
    return plan.returns(out, total)


def _backward(
    plan: Plan,
    given: tuple[Operand, Operand, Operand, Operand | None],
    reduction: int,
    ignored: int,
    total: Operand,
) -> None:
    """Compute the gradient of what was given: the loss's gradient, values, targets and weight."""
    gradient, self, target, weight = given
    found = _named(plan, self, target, weight, ignored)
    out = plan.result(self.shape, self.dtype)
    made = out if out.is_contiguous else plan.new(self.shape, self.dtype)
    value = plan.new(found.classes.shape, self.dtype)
    is_each = reduction == NONE and self.rank > 1
    reads = [_in_rows(plan, gradient) if is_each else _single(gradient), _shares(plan, found)]
    if reduction == MEAN:
        reads.append(_single(total))
        map_elements(plan, programs.mean_class_gradient[found.kind * 3], value, reads)
    else:
        map_elements(plan, programs.class_gradient[found.kind * 2], value, reads)
    plan.call(CLASS_WRITE, [made.reshape(found.values.shape), value, found.classes])
    if made is not out:
        copy_elements(plan, out, made)
    plan.returns(out)


def _named(
    plan: Plan, self: Operand, target: Operand, weight: Operand | None, ignored: int
) -> Named:
    if not self.dtype.is_floating:
        raise RuntimeError(f"nll_loss is not implemented for {self.dtype.name}")
    if target.dtype not in (Dtype.I64, Dtype.U8):
        raise RuntimeError("nll_loss: expected scalar type Long or Byte for the target")
    wide = self if self.rank > 1 else self.unsqueeze(0)
    values = rows.grouped(plan, wide, ((0,), (1,), tuple(range(2, wide.rank))))
    places = _in_rows(plan, target)
    classes = plan.new(places.shape, Dtype.I64)
    map_elements(plan, programs.class_named, classes, [places], [rows.constant("i", ignored)])
    if weight is None:
        return Named(values, classes, None)
    table = weight.unsqueeze(0).unsqueeze(2)
    found = _read(plan, table, classes.reshape((1, classes.numel, 1)))
    return Named(values, classes, found.reshape(classes.shape))


def _shares(plan: Plan, found: Named) -> Operand:
    """Return what each target has of the total weight."""
    if found.weight is not None:
        return found.weight
    made = plan.new(found.classes.shape, Dtype.F32)
    map_elements(plan, programs.class_share, made, [found.classes])
    return made


def _read(plan: Plan, table: Operand, index: Operand) -> Operand:
    """Return what a table [P, R, Q] has at rows index [P, N, Q], 0 for row -1."""
    made = plan.new(index.shape, table.dtype)
    plan.call(INDEX_READ, [made, table, index])
    return made


def _in_rows(plan: Plan, operand: Operand) -> Operand:
    """Return targets, or what belongs to them, as [N, Q]."""
    wide = operand if operand.rank else operand.unsqueeze(0)
    return rows.grouped(plan, wide, ((0,), tuple(range(1, wide.rank))))


def _single(operand: Operand) -> Operand:
    """Return the view of a tensor with one element that has no dimensions."""
    while operand.rank:
        operand = operand.squeeze(0)
    return operand


def _check_rows(self: Operand, target: Operand, weight: Operand | None) -> None:
    if target.rank > 1:
        raise RuntimeError(
            "0D or 1D target tensor expected, multi-target not supported"
            if self.rank in (1, 2)
            else "input tensor should be 1D or 2D"
        )
    if self.rank not in (1, 2):
        raise RuntimeError("input tensor should be 1D or 2D")
    if not (self.rank == 1 and target.rank == 0) and self.shape[:1] != target.shape:
        raise ValueError(
            f"size mismatch (got input: {list(self.shape)}, target: {list(target.shape)})"
        )
    _check_weight(self.shape[-1], weight)


def _check_planes(self: Operand, target: Operand, weight: Operand | None) -> None:
    if target.rank != 3:
        raise RuntimeError(
            "only batches of spatial targets supported (3D tensors) but got targets of dimension: "
            f"{target.rank}"
        )
    if self.rank != 4:
        raise RuntimeError(
            "only batches of spatial inputs supported (4D tensors), but got input of dimension: "
            f"{self.rank}"
        )
    if (self.shape[0], *self.shape[2:]) != target.shape:
        raise RuntimeError(
            f"size mismatch (got input: {list(self.shape)} , target: {list(target.shape)}"
        )
    _check_weight(self.shape[1], weight)


def _check_weight(classes: int, weight: Operand | None) -> None:
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            "weight tensor should be defined either for all or no classes, "
            f"{classes} of them, but got weight tensor of shape: {list(weight.shape)}"
        )


def _write_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    [program] = programs.at_class[dtypes[0].kind + "ii"].trace()
    count, classes, width = shapes[0]
    dims = (Dim(count, (1, 0, 0)), Dim(width, (0, 0, 1)))
    reads = (Read(1, dims), Read(2, dims))
    return [Stage(0, dtypes[0], (count, classes, width), program, reads, coordinates=(1,))]


CLASS_WRITE = Kernel("repops_class_write", 1, _write_stages)
