"""Matrix products have the reference's bits on every build, thread count and memory layout."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gensyn_lightning.repops import library, registry
from gensyn_lightning.repops.library import Library

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

CODES = {"float16": 5, "float32": 6, "uint16": 15}  # uint16: the bits of bfloat16
FOLDER = Path(os.environ.get("GENSYN_KERNELS") or library.FOLDER)
BUILDS = [isa for isa in library.supported() if (FOLDER / f"libgensyn_repops-{isa}.so").exists()]
SEED = int(os.environ.get("GENSYN_TEST_SEED", "20260714"))

UNWARNED = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
pytestmark = pytest.mark.skipif(not BUILDS, reason="the kernels are not built")


class View(ctypes.Structure):
    """As `view` in repops.h."""

    _fields_ = (
        ("dtype", ctypes.c_int64),
        ("rank", ctypes.c_int64),
        ("size", ctypes.c_int64 * 8),
        ("stride", ctypes.c_int64 * 8),
    )


class Layout(ctypes.Structure):
    """As `layout` in repops.h."""

    _fields_ = (
        ("views", ctypes.c_int64),
        ("params", ctypes.c_int64),
        ("view", ctypes.POINTER(View)),
        ("param", ctypes.c_void_p),
    )


@pytest.fixture(scope="module")
def builds() -> Iterator[list[Library]]:
    loaded = [Library(FOLDER / f"libgensyn_repops-{isa}.so", isa) for isa in BUILDS]
    for each in loaded:
        each.use_threads_of(registry.openmp())
    before = torch.get_num_threads()
    yield loaded
    torch.set_num_threads(before)


def call(kernels: Library, symbol: str, arrays: Sequence[Array], words: Sequence[float]) -> int:
    views = (View * len(arrays))()
    for view, each in zip(views, arrays, strict=True):
        view.dtype, view.rank = CODES[str(each.dtype)], each.ndim
        for at in range(each.ndim):
            view.size[at], view.stride[at] = each.shape[at], each.strides[at] // each.itemsize
    data = (ctypes.c_void_p * len(arrays))(*(each.ctypes.data for each in arrays))
    laid = [int(np.float32(each).view(np.uint32)) for each in words]
    word = (ctypes.c_uint64 * (len(laid) + 1))(*laid)
    layout = Layout(len(arrays), 0, views, None)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, *(ctypes.c_void_p,) * 3)
    run = prototype(kernels.address(symbol))
    status: int = run(*(ctypes.addressof(each) for each in (layout, data, word)))
    return status


def every_run(
    builds: Sequence[Library],
    symbol: str,
    arrays: Sequence[Array],
    words: Sequence[float] = (),
) -> Iterator[tuple[str, Array]]:
    """Yield the output of every build on one thread and on two, as it was before each run."""
    start = arrays[0].copy()
    for kernels in builds:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            arrays[0][...] = start
            assert call(kernels, symbol, arrays, words) == 0
            yield f"{kernels.isa}, {threads} threads, seed {SEED}", arrays[0].copy()


def fused(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return a * b + c rounded once: exact product, sum rounded to odd, then to binary32."""
    x, y = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = x + y
    shift = total - x
    error = (x - (total - shift)) + (y - shift)
    bits = total.view(np.int64)
    inexact = (error != 0) & ~np.isnan(error) & (bits & 1 == 0)
    towards = np.where((error.view(np.int64) ^ bits) >= 0, 1, -1)
    return np.where(inexact, bits + towards, bits).view(np.float64).astype(np.float32)


def product(a: Floats, b: Floats) -> Floats:
    """Return a @ b by its definition: chains of 256 terms from +0, added in order."""
    shape = (*a.shape[:-1], b.shape[-1])
    total = np.zeros(shape, np.float32)
    for start in range(0, a.shape[-1], 256):
        chain = np.zeros(shape, np.float32)
        for k in range(start, min(start + 256, a.shape[-1])):
            left, right = np.broadcast_arrays(a[..., :, k, None], b[..., None, k, :])
            chain = fused(left, right, chain)
        total = chain if start == 0 else total + chain
    return total


def scaled(c: Floats, mm: Floats, beta: float, alpha: float) -> Floats:
    t = mm if alpha == 1 else np.float32(alpha) * mm
    if beta == 0:
        return t
    return (c if beta == 1 else np.float32(beta) * c) + t


def bits(values: Array) -> npt.NDArray[np.uint32]:
    """Return the bits of binary32 numbers, all NaN as one."""
    made = np.array(values, np.float32)
    return np.where(np.isnan(made), np.uint32(0x7FC00000), made.view(np.uint32))


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "any bits": lambda rng, shape: rng.integers(0, 2**32, shape, np.uint32).view(np.float32),
    "subnormal": lambda rng, shape: np.ldexp(
        rng.standard_normal(shape), rng.integers(-90, -55, shape)
    ),
    "zeros and extremes": lambda rng, shape: rng.choice(
        [0.0, -0.0, 1, -1, 1e-30, -1e-30, 3e38, -3e38, 1e-45], shape
    ),
    "infinite": lambda rng, shape: rng.choice(
        [0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan],
        shape,
        p=[0.2, 0.2, 0.3, 0.27, 0.01, 0.01, 0.01],
    ),
    "cancelling": lambda rng, shape: rng.choice([1 + 2**-23, -1, 2**24, -(2**24), 2**-24], shape),
}


def numbers(rng: np.random.Generator, kind: str, *shape: int) -> Floats:
    with np.errstate(all="ignore"):
        return np.asarray(KINDS[kind](rng, shape)).astype(np.float32)


def laid_out(rng: np.random.Generator, values: Array) -> Array:
    """Return a view of the same values: turned, sliced, stepped or reversed."""
    rows, cols = values.shape[-2:]
    lead = values.shape[:-2]
    way = rng.integers(0, 5)
    if way == 0:
        return values.copy()
    if way == 1:
        made = np.zeros((*lead, cols, rows + 3), values.dtype)[..., 1 : rows + 1].swapaxes(-1, -2)
    elif way == 2:
        made = np.zeros((*lead, rows, cols + 5), values.dtype)[..., 2 : cols + 2]
    elif way == 3:
        made = np.zeros((*lead, rows * 2, cols * 3), values.dtype)[..., ::2, ::3]
    else:
        made = np.zeros(values.shape, values.dtype)[..., ::-1, ::-1]
    made[...] = values
    return made


def added(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Floats:
    """Return what a product is added to: a matrix, or a row or a column of one."""
    values = numbers(rng, kind, *shape)
    cuts: list[Any] = [np.s_[...], np.s_[..., :1, :], np.s_[..., :, :1]]
    cut = cuts[rng.integers(0, 3)]
    return np.broadcast_to(laid_out(rng, values)[cut], shape)


def check(builds: Sequence[Library], seed: int, kind: str, shape: tuple[int, ...]) -> None:
    *batch, m, n, k = shape
    rng = np.random.default_rng([SEED, seed])
    a, b = numbers(rng, kind, *batch, m, k), numbers(rng, kind, *batch, k, n)
    want = product(a, b)
    left, right = laid_out(rng, a), laid_out(rng, b)
    out = laid_out(rng, np.full(want.shape, 7, np.float32))
    for run, made in every_run(builds, "repops_bmm" if batch else "repops_mm", [out, left, right]):
        assert np.array_equal(made.view(np.uint32), bits(want)), (run, seed, kind, shape)
    c = added(rng, kind, want.shape)
    beta, alpha = (float(rng.choice([0, 1, 0.7])) for _ in range(2))
    want = scaled(c, want, beta, alpha)
    symbol = "repops_baddbmm" if batch else "repops_addmm"
    for run, made in every_run(builds, symbol, [out, c, left, right], [beta, alpha]):
        assert np.array_equal(made.view(np.uint32), bits(want)), (run, seed, kind, shape)


@UNWARNED
@pytest.mark.parametrize("kind", KINDS)
def test_products_of_random_shapes_and_strides_equal_the_definition(
    builds: list[Library], kind: str
) -> None:
    rng = np.random.default_rng([SEED, len(kind)])
    sizes = [1, 2, 3, 4, 5, 8, 13, 15, 16, 17, 28, 29, 31, 33]
    for k in (0, 1, 5, 16, 100, 255, 256, 257, 513):
        m, n = (int(each) for each in rng.choice(sizes, 2))
        check(builds, k, kind, (m, n, k) if k % 2 else (2, m, n, k))


FEW = [(1, 1, 4400), (1, 1, 1100), (1, 40, 1100), (2, 40, 600), (3, 16, 512), (4, 70, 1024)]
FEW += [
    (5, 17, 300),
    (6, 16, 513),
    (7, 33, 260),
    (8, 40, 512),
    (70, 1, 300),
    (9, 3, 300),
    (1, 300, 40),
    (30, 70, 300),
    (30, 70, 40),
    (1, 64, 2048),
]


@UNWARNED
@pytest.mark.parametrize("shape", FEW)
def test_products_with_few_rows_or_columns_equal_the_definition(
    builds: list[Library], shape: tuple[int, ...]
) -> None:
    check(builds, sum(shape), "normal", shape)


@UNWARNED
@pytest.mark.parametrize(("n", "k", "apart"), [(59, 1024, 1024), (50, 700, 1024), (30, 4600, 5120)])
def test_a_row_times_columns_half_a_page_apart_equals_the_definition(
    builds: list[Library], n: int, k: int, apart: int
) -> None:
    rng = np.random.default_rng([SEED, n, k])
    a, b = numbers(rng, "normal", 1, k), numbers(rng, "normal", n, apart)[:, :k].T
    want = bits(product(a, b))
    for run, made in every_run(builds, "repops_mm", [np.empty((1, n), np.float32), a, b]):
        assert np.array_equal(made.view(np.uint32), want), run


@UNWARNED
def test_large_products_equal_their_parts(builds: list[Library]) -> None:
    rng = np.random.default_rng(SEED)
    a, b = numbers(rng, "normal", 350, 260), numbers(rng, "normal", 260, 1100)
    rows, cols = [0, 1, 335, 336, 349], [0, 31, 32, 1023, 1024, 1099]
    some = bits(product(a[rows], b[:, cols]))
    whole, turned = np.empty((350, 1100), np.float32), np.empty((1100, 350), np.float32).T
    seen: set[bytes] = set()
    for out in (whole, turned):
        for run, made in every_run(builds, "repops_mm", [out, a, b]):
            assert np.array_equal(made[np.ix_(rows, cols)].view(np.uint32), some), run
            seen.add(np.ascontiguousarray(made).tobytes())
            assert len(seen) == 1, run


def as_bfloat(values: Floats) -> npt.NDArray[np.uint16]:
    made = torch.from_numpy(np.ascontiguousarray(values)).to(torch.bfloat16)
    return made.view(torch.int16).numpy().view(np.uint16)


def from_half(halves: Array) -> Floats:
    return np.array(halves).astype(np.float32)


def from_bfloat(halves: Array) -> Floats:
    return (np.array(halves).astype(np.uint32) << np.uint32(16)).view(np.float32)


@UNWARNED
@pytest.mark.parametrize("k", [0, 3, 256, 300])
@pytest.mark.parametrize("kind", ["normal", "zeros and extremes", "infinite"])
def test_halves_are_widened_exactly_and_rounded_once(
    builds: list[Library], kind: str, k: int
) -> None:
    rng = np.random.default_rng([SEED, k])
    sources = [numbers(rng, kind, 9, k), numbers(rng, kind, k, 20), numbers(rng, kind, 9, 20)]
    with np.errstate(all="ignore"):
        small = [laid_out(rng, each.astype(np.float16)) for each in sources]
        brain = [laid_out(rng, as_bfloat(each)) for each in sources]
        for (a, b, c), widened in ((small, from_half), (brain, from_bfloat)):
            want = scaled(widened(c), product(widened(a), widened(b)), 0.7, 1.5)
            rounded = want.astype(np.float16) if a.dtype == np.float16 else as_bfloat(want)
            nan = 0x7E00 if a.dtype == np.float16 else 0x7FC0
            expected = np.where(np.isnan(want), np.uint16(nan), rounded.view(np.uint16))
            out = np.zeros((9, 20), a.dtype)
            for run, made in every_run(builds, "repops_addmm", [out, c, a, b], [0.7, 1.5]):
                assert np.array_equal(made.view(np.uint16), expected), run


@UNWARNED
@pytest.mark.parametrize("k", [20, 600])
def test_the_sum_may_be_written_over_what_is_added(builds: list[Library], k: int) -> None:
    rng = np.random.default_rng([SEED, k])
    a, b, c = (numbers(rng, "normal", *shape) for shape in ((20, k), (k, 35), (20, 35)))
    want = bits(scaled(c, product(a, b), 0.5, 1))
    for run, made in every_run(builds, "repops_addmm", [c, c, a, b], [0.5, 1]):
        assert np.array_equal(made.view(np.uint32), want), run


def test_views_that_do_not_fit_are_refused(builds: list[Library]) -> None:
    square, tall = np.zeros((3, 3), np.float32), np.zeros((4, 3), np.float32)
    for each in builds:
        assert call(each, "repops_mm", [square, square, tall], ()) != 0
