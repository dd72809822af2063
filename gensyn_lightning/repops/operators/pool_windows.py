"""Windows over the last dimensions of a tensor: the kernels that pool them, and their stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.operators import rows
from gensyn_lightning.repops.plan import Kernel, WordSource
from gensyn_lightning.repops.programs import arithmetic, pooling
from gensyn_lightning.repops.programs.arithmetic import copy
from gensyn_lightning.repops.stage import Dim, Fold, Read, Shape, Stage, same_place
from gensyn_lightning.repops.word import INFINITY, SIGN, Definition

ADAPTIVE, COUNTS_PADDING, DIVISOR = 12, 13, 14
_FIRST, _COUNT, _TABLE = 30, 40, 50  # numbers of tensors in between
_NONE = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows along depth, height and width; without sizes of their own they are adaptive."""

    window: tuple[int, ...] = (1, 1, 1)
    step: tuple[int, ...] = (1, 1, 1)
    padding: tuple[int, ...] = (0, 0, 0)
    spacing: tuple[int, ...] = (1, 1, 1)
    adaptive: bool = False
    counts_padding: bool = True
    divisor: int = 0

    def params(self) -> tuple[int, ...]:
        """Return the kernels' parameters."""
        each = zip(self.window, self.step, self.padding, self.spacing, strict=True)
        numbers = [number for dim in each for number in dim]
        return (*numbers, int(self.adaptive), int(self.counts_padding), self.divisor)

    def words(self, size: Shape, outs: Shape) -> list[WordSource]:
        """Return the words the stages take: five a dimension, then the divisor."""
        made = []
        for at in range(3):
            if self.adaptive:
                made += [size[at], outs[at], 0, 0, 0]
            else:
                made += [self.window[at], self.step[at], self.padding[at], size[at]]
                made.append(int(self.counts_padding))
        return [rows.constant("i", each) for each in (*made, self.divisor)]


def _windows(params: Sequence[int]) -> Windows:
    dims = [params[at : at + 4] for at in range(0, ADAPTIVE, 4)]
    window, step, padding, spacing = (tuple(each) for each in zip(*dims, strict=True))
    adaptive, counts, divisor = params[ADAPTIVE : DIVISOR + 1]
    return Windows(window, step, padding, spacing, bool(adaptive), bool(counts), divisor)


def _max_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    windows, out, size = _windows(params), shapes[0], shapes[2]
    places = Stage(_TABLE, Dtype.I64, size[2:], copy["i"].trace()[0], (), linear=True)
    place, x, taps = _taps(windows, size, out, _TABLE, 2)
    tables, within = _tables(windows, size, out)
    largest = pooling.pool_largest_within if within else pooling.pool_largest
    found = pooling.pool_place_within if within else pooling.pool_place
    coordinates = (5, 6, 7) if within else ()
    value = _fold(0, Dtype.F32, out, largest, (*within, place, x), taps, INFINITY | SIGN)
    reads = (*within, place, x, same_place(0, out, rank=8))
    at = _fold(1, Dtype.I64, out, found, reads, taps, _NONE)
    made = [replace(each, coordinates=coordinates) for each in (value, at)]
    return [places, *tables, *made]


def _mean_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    windows, out, size = _windows(params), shapes[0], shapes[1]
    _, x, taps = _taps(windows, size, out, _TABLE, 1)
    tables, within = _tables(windows, size, out)
    term = pooling.pool_sum_within if within else pooling.pool_sum
    total = _fold(_TABLE, Dtype.F32, out, term, (*within, x), taps, 0)
    if within:
        total = replace(total, coordinates=(5, 6, 7))
    return [*tables, *_lengths(windows, size, out), total, _divided(0, _TABLE, out)]


def _mean_backward_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    windows, size, out = _windows(params), shapes[0], shapes[1]
    tables, _ = _tables(windows, size, out)
    before = [*tables, *_lengths(windows, size, out), _divided(_TABLE, 1, out)]
    if windows.adaptive:
        dims = [Dim(out[at], _unit(8, at)) for at in range(2)]
        dims += [Dim(out[2 + at], _unit(8, 5 + at)) for at in range(3)]
        reads = [*_table_reads(_FIRST, out, 5), *_table_reads(_COUNT, out, 5)]
        reads.append(Read(_TABLE, tuple(dims)))
        term, taps = pooling.pool_share_within, out[2:]
        fold = _fold(0, Dtype.F32, size, term, tuple(reads), taps, 0)
        return [*before, replace(fold, coordinates=(2, 3, 4))]
    read = _windows_of_place(windows, out)
    return [*before, _fold(0, Dtype.F32, size, pooling.pool_sum, (read,), windows.window, 0)]


def _windows_of_place(windows: Windows, out: Shape) -> Read:
    """Return the read of the windows that hold a place, in their order: the last tap first."""
    dims = [Dim(out[at], _unit(8, at)) for at in range(2)]
    for at in range(3):
        row = [0] * 8
        row[2 + at], row[5 + at] = 1, windows.spacing[at]
        offset = windows.padding[at] - (windows.window[at] - 1) * windows.spacing[at]
        dims.append(Dim(out[2 + at], tuple(row), offset, windows.step[at]))
    return Read(_TABLE, tuple(dims))


def _taps(
    windows: Windows, size: Shape, out: Shape, places: int, source: int
) -> tuple[Read, Read, Shape]:
    """Return reads of a tap's place and value at (n, c, d, h, w, kd, kh, kw); the taps' shape."""
    dims = [Dim(size[at], _unit(8, at)) for at in range(2)]
    taps = windows.window
    if windows.adaptive:
        taps = tuple(_most(size[2 + at], out[2 + at]) for at in range(3))
        inside = [Dim(size[2 + at], _unit(8, 5 + at), 0, 1, _unit(3, at)) for at in range(3)]
    else:
        inside = []
        for at in range(3):
            row = [0] * 8
            row[2 + at], row[5 + at] = windows.step[at], windows.spacing[at]
            inside.append(Dim(size[2 + at], tuple(row), -windows.padding[at]))
    return Read(places, tuple(inside), _NONE), Read(source, (*dims, *inside)), taps


def _most(size: int, outs: int) -> int:
    return max(-(-(at + 1) * size // outs) - at * size // outs for at in range(outs))


def _tables(windows: Windows, size: Shape, out: Shape) -> tuple[list[Stage], tuple[Read, ...]]:
    """Return stages for where adaptive windows begin and how long they are, and reads of those."""
    if not windows.adaptive:
        return [], ()
    stages = []
    for at in range(3):
        for base, made in ((_FIRST, pooling.pool_first), (_COUNT, pooling.pool_adaptive_length)):
            stages.append(_table(base + at, out[2 + at], made, (5 * at, 5 * at + 1)))
    reads = (*_table_reads(_FIRST, out, 2), *_table_reads(_COUNT, out, 2))
    return stages, reads


def _table_reads(base: int, out: Shape, coordinate: int) -> list[Read]:
    return [Read(base + at, (Dim(out[2 + at], _unit(8, coordinate + at)),)) for at in range(3)]


def _lengths(windows: Windows, size: Shape, out: Shape) -> list[Stage]:
    if windows.adaptive:
        return []
    numbers = [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (10, 11, 12, 13, 14)]
    length = pooling.pool_length
    return [_table(_COUNT + at, out[2 + at], length, numbers[at]) for at in range(3)]


def _divided(number: int, source: int, out: Shape) -> Stage:
    """Return the stage that divides every window's total by its number of elements."""
    reads = [same_place(source, out)]
    reads += [Read(_COUNT + at, (Dim(out[2 + at], _unit(5, 2 + at)),)) for at in range(3)]
    [program] = pooling.pool_mean.trace()
    return Stage(number, Dtype.F32, out, program, tuple(reads), attributes=(15,))


def _table(number: int, length: int, made: Definition, attributes: tuple[int, ...]) -> Stage:
    [program] = made.trace()
    return Stage(number, Dtype.I64, (length,), program, (), coordinates=(0,), attributes=attributes)


def _fold(  # what a stage takes
    number: int,
    dtype: Dtype,
    shape: Shape,
    term: Definition,
    reads: tuple[Read, ...],
    taps: Shape,
    init: int,
) -> Stage:
    [program] = term.trace()
    [combine] = arithmetic.add[dtype.kind * 2].trace()
    terms = taps[0] * taps[1] * taps[2]
    return Stage(number, dtype, shape, program, reads, Fold(taps, terms, 1, init, combine))


def _unit(rank: int, at: int) -> tuple[int, ...]:
    return tuple(int(each == at) for each in range(rank))


def _column_stages(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    """Stages of the sum over patches; coordinates are (p, h, w, kh, kw)."""
    image, columns = shapes
    (step_h, padding_h, spacing_h), (step_w, padding_w, spacing_w) = params[:3], params[3:6]
    dims = (
        Dim(columns[0], (1, 0, 0, 0, 0)),
        Dim(columns[1], (0, 0, 0, 1, 0)),
        Dim(columns[2], (0, 0, 0, 0, 1)),
        Dim(columns[3], (0, 1, 0, -spacing_h, 0), padding_h, step_h),
        Dim(columns[4], (0, 0, 1, 0, -spacing_w), padding_w, step_w),
    )
    [program] = pooling.pool_sum.trace()
    [combine] = arithmetic.add["ff"].trace()
    fold = Fold(columns[1:3], columns[1] * columns[2], 1, 0, combine)
    return [Stage(0, Dtype.F32, image, program, (Read(1, dims),), fold)]


POOL_MAX = Kernel("repops_pool_max", 2, _max_stages)
POOL_MEAN = Kernel("repops_pool_mean", 1, _mean_stages)
POOL_MEAN_BACKWARD = Kernel("repops_pool_mean_backward", 1, _mean_backward_stages)
POOL_COLUMNS = Kernel("repops_pool_columns", 1, _column_stages)
