"""Tables of embeddings: their gradients, bags of rows, and rows kept short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.operators.index_writes import NONE, add_found, write
from gensyn_lightning.repops.plan import Kernel, Operand, Plan, Scalar, WordSource, numel
from gensyn_lightning.repops.programs import arithmetic, indexing
from gensyn_lightning.repops.stage import Dim, Fold, Read, Shape, Stage

SUM, MEAN, MAX = range(3)


@covers("embedding_dense_backward", out="embedding_dense_backward.out")
def embedding_dense_backward(
    plan: Plan,
    grad_output: Operand,
    indices: Operand,
    num_weights: int,
    padding_idx: int,
    scale_grad_by_freq: bool,
) -> None:
    """Add up the gradients of each row's uses in the order of the indices; none for the padding.

    With `scale_grad_by_freq` a row's sum is divided by the number of its uses.
    """
    width = grad_output.shape[-1]
    count = indices.numel
    rank = grad_output.rank
    source = rows.grouped(plan, grad_output, ((), tuple(range(rank - 1)), (rank - 1,)))
    index = _row(plan, indices)
    out = plan.result((num_weights, width), grad_output.dtype)
    skip = padding_idx if padding_idx >= 0 else NONE
    wide = _named(index, (1, count, width))
    _summed(plan, out, wide, source, scale=scale_grad_by_freq, skip=skip)
    plan.returns(out)


@covers(inplace="embedding_renorm_", static=("norm_type",))
def embedding_renorm(
    plan: Plan, self: Operand, indices: Operand, max_norm: Scalar, norm_type: float
) -> None:
    """Shorten the rows that are named to `max_norm`, by their 1-norm or 2-norm."""
    rows.single(self.dtype, "embedding_renorm_")
    if norm_type not in (1, 2):
        raise NotReproducible(f"norm_type={norm_type} is not defined", hint="use norm_type=2")
    count, width = indices.numel, self.shape[1]
    index = _row(plan, indices)
    named = plan.new((count, width), Dtype.F32)
    table = rows.computed_as(plan, self)
    _read(plan, named, table, index)
    size = plan.new((count,), Dtype.F32)
    plan.call(ROW_SIZE, [size, named], (int(norm_type),))
    factor = plan.new((count,), Dtype.F32)
    words = [WordSource(max_norm, "f"), rows.constant("f", norm_type)]
    map_elements(plan, indexing.shrinking, factor, [size], words)
    shorter = plan.new((count, width), self.dtype)
    map_elements(plan, arithmetic.mul["ff"], shorter, [named, factor.unsqueeze(1)])
    out = plan.result(self.shape, self.dtype)
    wide = _named(index, (1, count, width))
    write(plan, "write", out.unsqueeze(0), wide, shorter.unsqueeze(0), self.unsqueeze(0))
    plan.returns(out)


@dataclass(frozen=True, slots=True)
class _Bags:
    """Items of bags: each one's row, its bag, and its bag or -1 if it is padding."""

    index: Operand
    bag: Operand
    counted_bag: Operand
    count: Operand  # items of each bag that are no padding


@covers("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    plan: Plan,
    weight: Operand,
    indices: Operand,
    offsets: Operand,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Operand | None,
    include_last_offset: bool,
    padding_idx: int,
) -> None:
    """Return each bag's sum, mean or largest elements; then what its gradient takes."""
    rows.single(weight.dtype, "embedding_bag")
    bags = offsets.shape[0] - int(include_last_offset)
    items, width = indices.shape[0], weight.shape[1]
    made = _bags(plan, indices, offsets.narrow(0, 0, bags), padding_idx)
    out = plan.result((bags, width), weight.dtype)
    total = plan.new(out.shape, Dtype.F32)
    wide = _named(made.counted_bag, (1, items, width))
    if mode == MAX or per_sample_weights is not None:
        named = _weighted(plan, weight, made.index, per_sample_weights)
    if mode == MAX:
        largest = _largest(plan, out, total, wide, named, made)
    else:
        if per_sample_weights is not None:
            write(plan, "add", total.unsqueeze(0), wide, named.unsqueeze(0), skip=-1)
        else:
            add_found(plan, total, made.counted_bag, weight, made.index, skip=-1)
        largest = plan.new((bags,), Dtype.I64)
        copy_elements(plan, largest, made.count)
        if mode == MEAN:
            map_elements(plan, indexing.over_count, out, [total, made.count.unsqueeze(1)])
        else:
            copy_elements(plan, out, total)
    plan.returns(out, *(_as(plan, each, indices) for each in (made.bag, made.count, largest)))


def _weighted(plan: Plan, weight: Operand, index: Operand, factors: Operand | None) -> Operand:
    """Return the rows named, each times its factor."""
    named = plan.new((index.shape[0], weight.shape[1]), Dtype.F32)
    _read(plan, named, rows.computed_as(plan, weight), index)
    if factors is None:
        return named
    weighted = plan.new(named.shape, Dtype.F32)
    factor = rows.computed_as(plan, factors).unsqueeze(1)
    map_elements(plan, arithmetic.mul["ff"], weighted, [named, factor])
    return weighted


@covers("_embedding_bag_dense_backward", out="_embedding_bag_dense_backward.out")
def embedding_bag_dense_backward(
    plan: Plan,
    grad: Operand,
    indices: Operand,
    offset2bag: Operand,
    bag_size: Operand,
    maximum_indices: Operand,
    num_weights: int,
    scale_grad_by_freq: bool,
    mode: int,
    per_sample_weights: Operand | None,
    padding_idx: int,
) -> None:
    """Add up the gradients of each row's uses, in the order of the items."""
    rows.single(grad.dtype, "embedding_bag")
    width, items = grad.shape[1], indices.shape[0]
    out = plan.result((num_weights, width), grad.dtype)
    source = rows.computed_as(plan, grad)
    if mode == MAX:
        index = rows.in_dtype(plan, maximum_indices, Dtype.I64).unsqueeze(0)
        write(plan, "add", out.unsqueeze(0), index, source.unsqueeze(0), skip=-1)
        return plan.returns(out)
    if mode == MEAN:
        shared = plan.new(grad.shape, Dtype.F32)
        count = rows.in_dtype(plan, bag_size, Dtype.I64)
        map_elements(plan, indexing.over_count, shared, [source, count.unsqueeze(1)])
        source = shared
    skip = padding_idx if padding_idx >= 0 else NONE
    bag = _row(plan, offset2bag)
    if per_sample_weights is None and not scale_grad_by_freq:
        add_found(plan, out, _row(plan, indices), source, bag, skip)
        return plan.returns(out)
    spread = _weighted(plan, source, bag, per_sample_weights)
    wide = _named(_row(plan, indices), (1, items, width))
    _summed(plan, out, wide, spread.unsqueeze(0), scale=scale_grad_by_freq, skip=skip)
    return plan.returns(out)


@covers("_embedding_bag_backward")
def embedding_bag_backward(
    plan: Plan,
    grad: Operand,
    indices: Operand,
    offsets: Operand,
    offset2bag: Operand,
    bag_size: Operand,
    maximum_indices: Operand,
    num_weights: int,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Operand | None,
    padding_idx: int,
) -> None:
    """Return the gradient of a table, which is dense."""
    if sparse:
        raise NotReproducible("sparse gradients are not defined", hint="use sparse=False")
    embedding_bag_dense_backward(
        plan,
        grad,
        indices,
        offset2bag,
        bag_size,
        maximum_indices,
        num_weights,
        scale_grad_by_freq,
        mode,
        per_sample_weights,
        padding_idx,
    )


@covers("_embedding_bag_per_sample_weights_backward")
def embedding_bag_per_sample_weights_backward(
    plan: Plan,
    grad: Operand,
    weight: Operand,
    indices: Operand,
    offsets: Operand,
    offset2bag: Operand,
    mode: int,
    padding_idx: int,
) -> None:
    """Return each item's product of its row with its bag's gradient; 0 for padding."""
    rows.single(grad.dtype, "embedding_bag")
    made = plan.new(indices.shape, Dtype.F32)
    index = _row(plan, indices)
    views = [made, rows.computed_as(plan, grad), _row(plan, offset2bag)]
    plan.call(ROW_DOT, [*views, rows.computed_as(plan, weight), index])
    out = plan.result(indices.shape, grad.dtype)
    words = [rows.constant("i", padding_idx if padding_idx >= 0 else NONE)]
    map_elements(plan, indexing.zero_at, out, [made, index], words)
    plan.returns(out)


def _summed(
    plan: Plan, out: Operand, index: Operand, source: Operand, *, scale: bool, skip: int
) -> None:
    """Sum sources into rows; with `scale`, divide by how many there were."""
    target = out.unsqueeze(0)
    if not scale:
        return write(plan, "add", target, index, source, skip=skip)
    dtype = rows.computing_dtype(out.dtype)
    rows.single(dtype, "scale_grad_by_freq")
    total = plan.new(target.shape, dtype)
    count = plan.new((1, out.shape[0], 1), Dtype.I64)
    write(plan, "add", total, index, source, skip=skip)
    narrow = index.narrow(2, 0, 1)
    ones = rows.filled(plan, narrow.shape, Dtype.I64, 1)
    write(plan, "add", count, narrow, ones, skip=skip)
    return map_elements(plan, indexing.over_count, target, [total, count])


def _bags(plan: Plan, indices: Operand, offsets: Operand, padding_idx: int) -> _Bags:
    items = indices.shape[0]
    index = _row(plan, indices)
    bag = plan.new((items,), Dtype.I64)
    plan.call(BAGS, [bag, _row(plan, offsets)])
    counted = bag
    if padding_idx >= 0:
        counted = plan.new((items,), Dtype.I64)
        word = [rows.constant("i", padding_idx)]
        map_elements(plan, indexing.unless_index, counted, [bag, index], word)
    count = plan.new((offsets.shape[0],), Dtype.I64)
    ones = rows.filled(plan, (1, items, 1), Dtype.I64, 1)
    target = count.unsqueeze(0).unsqueeze(2)
    write(plan, "add", target, _named(counted, (1, items, 1)), ones, skip=-1)
    return _Bags(index, bag, counted, count)


def _largest(
    plan: Plan, out: Operand, total: Operand, wide: Operand, named: Operand, bags: _Bags
) -> Operand:
    """Find bags' largest elements; return the rows they come from: the first item's of several."""
    row = plan.new(out.shape, Dtype.I64)
    source = named.unsqueeze(0)
    lowest = rows.filled(plan, (1, *out.shape), Dtype.F32, float("-inf"))
    write(plan, "largest", total.unsqueeze(0), wide, source, lowest, skip=-1)
    items = named.shape[0]
    winner = plan.new(named.shape, Dtype.F32)
    _read(plan, winner, total, bags.counted_bag)
    place = plan.new(named.shape, Dtype.I64)
    at = rows.counted(plan, items).unsqueeze(1)
    map_elements(plan, indexing.place_if_same, place, [named, winner, at])
    first = plan.new(out.shape, Dtype.I64)
    none = rows.filled(plan, (1, *out.shape), Dtype.I64, (1 << 63) - 1)
    write(plan, "smallest", first.unsqueeze(0), wide, place.unsqueeze(0), none, skip=-1)
    count = bags.count.unsqueeze(1)
    map_elements(plan, indexing.place_if_any, first, [first, count])
    flat, taken = first.reshape((first.numel,)), row.reshape((row.numel,))
    _read(plan, taken.unsqueeze(1), bags.index.unsqueeze(1), flat)
    map_elements(plan, indexing.place_if_any, row, [row, count])
    nothing = rows.filled(plan, out.shape, Dtype.F32, 0.0)
    map_elements(plan, indexing.chosen_if_any, out, [count, total, nothing])
    return row


def _row(plan: Plan, indices: Operand) -> Operand:
    """Return indices as one row of 64-bit integers."""
    flat = rows.contiguous(plan, indices, Dtype.I64)
    return flat.reshape((numel(indices.shape),))


def _as(plan: Plan, made: Operand, pattern: Operand) -> Operand:
    return rows.in_dtype(plan, made, pattern.dtype)


def _named(index: Operand, shape: Shape) -> Operand:
    return index.unsqueeze(0).unsqueeze(2).expand(shape)


def _read(plan: Plan, out: Operand, table: Operand, index: Operand) -> None:
    """Have `out[n] = table[index[n]]` read, whole rows."""
    wide = _named(index, (1, *out.shape))
    plan.call(INDEX_READ, [out.unsqueeze(0), table.unsqueeze(0), wide])


def _read_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    [program] = indexing.second[dtypes[0].kind].trace()
    out, table = shapes[0], shapes[1]
    index = Read(2, tuple(Dim(size, _unit(at)) for at, size in enumerate(out)))
    chosen = Read(
        1,
        (
            Dim(table[0], _unit(0)),
            Dim(table[1], (0, 0, 0), gathered=(1,)),
            Dim(table[2], _unit(2)),
        ),
    )
    return [Stage(0, dtypes[0], out, program, (index, chosen))]


def _unit(at: int) -> tuple[int, ...]:
    return tuple(int(each == at) for each in range(3))


def _bag_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    [program] = indexing.count_at_most.trace()
    [combine] = arithmetic.add["ii"].trace()
    [bags] = shapes[1]
    fold = Fold((bags,), max(bags, 1), 1, (1 << 64) - 1, combine)
    read = Read(1, (Dim(bags, (0, 1)),))
    return [Stage(0, Dtype.I64, shapes[0], program, (read,), fold, coordinates=(0,))]


def _dot_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    [program] = indexing.gathered_term.trace()
    [combine] = arithmetic.add["ff"].trace()
    items, (_, width) = shapes[0][0], shapes[1]
    reads = (
        Read(2, (Dim(items, (1, 0)),)),
        Read(1, (Dim(shapes[1][0], (0, 0), gathered=(1,)), Dim(width, (0, 1)))),
        Read(4, (Dim(items, (1, 0)),)),
        Read(3, (Dim(shapes[3][0], (0, 0), gathered=(0, 0, 1)), Dim(width, (0, 1)))),
    )
    return [Stage(0, Dtype.F32, shapes[0], program, reads, Fold((width,), 256, 1, 0, combine))]


def _size_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    term = indexing.square_term if params[0] == 2 else indexing.magnitude_term
    [program] = term.trace()
    [combine] = arithmetic.add["ff"].trace()
    items, width = shapes[1]
    read = Read(1, (Dim(items, (1, 0)), Dim(width, (0, 1))))
    return [Stage(0, Dtype.F32, shapes[0], program, (read,), Fold((width,), 256, 16, 0, combine))]


INDEX_READ = Kernel("repops_index_read", 1, _read_stages)
BAGS = Kernel("repops_index_bags", 1, _bag_stages)
ROW_DOT = Kernel("repops_index_dot", 1, _dot_stages)
ROW_SIZE = Kernel("repops_index_size", 1, _size_stages)
