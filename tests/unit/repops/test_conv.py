"""Convolutions against a scalar-order reference of their own, their stages, and torch's float64."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from gensyn_lightning.repops import executor, library, registry
from gensyn_lightning.repops.arguments import DTYPES
from gensyn_lightning.repops.operators import convolution
from gensyn_lightning.repops.plan import Kernel, Operand, Plan, Tensor

Array = Any
EDGES = np.array(
    [0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, -1e-38, 3e38, -3e38, 1, -1, 1e-20],
    np.float32,
)
KERNELS = (convolution.FORWARD, convolution.INPUT_GRAD, convolution.WEIGHT_GRAD)


@dataclass(frozen=True)
class Case:
    """One convolution in three dimensions and its operands as binary32."""

    x: Array
    w: Array
    dy: Array
    bias: Array | None
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int
    dtype: torch.dtype

    @property
    def params(self) -> list[int]:
        return [*self.stride, *self.padding, *self.dilation, self.groups]


# The reference: one array operation a term, every output side by side.


def fma(a: Array, b: Array, c: Array) -> Array:
    """Return a * b + c rounded once: the exact product, a sum rounded to odd, then to binary32."""
    product = a.astype(np.float64) * b.astype(np.float64)
    c = c.astype(np.float64)
    total = product + c
    seen = total - product
    error = (product - (total - seen)) + (c - seen)
    raw = total.view(np.int64)
    inexact = (error != 0) & ~np.isnan(error) & ((raw & 1) == 0)
    step = np.where((error.view(np.int64) ^ raw) >= 0, 1, -1)
    return np.where(inexact, raw + step, raw).view(np.float64).astype(np.float32)


def fold(terms: Iterator[tuple[Array, Array]], shape: Sequence[int]) -> Array:
    total = chain = np.zeros(shape, np.float32)
    count = 0
    for a, b in terms:
        chain = fma(np.broadcast_to(a, shape), np.broadcast_to(b, shape), chain)
        count += 1
        if count % 256 == 0:
            total = chain if count == 256 else total + chain
            chain = np.zeros(shape, np.float32)
    if count % 256:
        total = chain if count < 256 else total + chain
    return total


def take(x: Array, places: Sequence[Array]) -> Array:
    """Read x at the places along its last three dimensions: +0 outside."""
    for at, place in enumerate(places):
        axis = x.ndim - 3 + at
        inside = (place >= 0) & (place < x.shape[axis])
        shape = [1] * x.ndim
        shape[axis] = len(place)
        x = np.take(x, np.where(inside, place, 0), axis=axis)
        x = np.where(inside.reshape(shape), x, np.float32(0))
    return x


def taps(w: Array) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, w.shape[2:]))


def forward(case: Case) -> Array:
    x, w, dy = case.x, case.w, case.dy
    out, inputs = w.shape[0] // case.groups, w.shape[1]
    made = np.zeros(dy.shape, np.float32)
    for g in range(case.groups):

        def terms(g: int = g) -> Iterator[tuple[Array, Array]]:
            for c in range(inputs):
                for k in taps(w):
                    places = [
                        np.arange(dy.shape[2 + i]) * case.stride[i]
                        - case.padding[i]
                        + k[i] * case.dilation[i]
                        for i in range(3)
                    ]
                    weight = w[(slice(g * out, (g + 1) * out), c, *k)]
                    yield take(x[:, g * inputs + c], places)[:, None], weight[:, None, None, None]

        made[:, g * out : (g + 1) * out] = fold(terms(), (len(x), out, *dy.shape[2:]))
    return made if case.bias is None else made + case.bias[:, None, None, None]


def input_grad(case: Case) -> Array:
    x, w, dy = case.x, case.w, case.dy
    out, inputs = w.shape[0] // case.groups, w.shape[1]
    made = np.zeros(x.shape, np.float32)
    classes = [range(min(*pair)) for pair in zip(case.stride, x.shape[2:], strict=True)]
    for g, first in itertools.product(range(case.groups), itertools.product(*classes)):
        rows = [np.arange(first[i], x.shape[2 + i], case.stride[i]) for i in range(3)]

        def terms(g: int = g, rows: list[Array] = rows) -> Iterator[tuple[Array, Array]]:
            for c in range(g * out, (g + 1) * out):
                for k in taps(w):
                    at = [rows[i] + case.padding[i] - k[i] * case.dilation[i] for i in range(3)]
                    if any(at[i][0] % case.stride[i] for i in range(3)):
                        continue
                    places = [at[i] // case.stride[i] for i in range(3)]
                    yield (
                        take(dy[:, c], places)[:, None],
                        w[(c, slice(None), *k)][:, None, None, None],
                    )

        steps = tuple(slice(c, None, s) for c, s in zip(first, case.stride, strict=True))
        shape = (len(x), inputs, *map(len, rows))
        made[(slice(None), slice(g * inputs, (g + 1) * inputs), *steps)] = fold(terms(), shape)
    return made


def weight_grad(case: Case) -> Array:
    x, w, dy = case.x, case.w, case.dy
    out, inputs = w.shape[0] // case.groups, w.shape[1]
    made = np.zeros(w.shape, np.float32)
    for g in range(case.groups):

        def terms(g: int = g) -> Iterator[tuple[Array, Array]]:
            for n in range(len(x)):
                for p in itertools.product(*map(range, dy.shape[2:])):
                    places = [
                        p[i] * case.stride[i]
                        - case.padding[i]
                        + np.arange(w.shape[2 + i]) * case.dilation[i]
                        for i in range(3)
                    ]
                    grad = dy[(n, slice(g * out, (g + 1) * out), *p)]
                    source = take(x[n, g * inputs : (g + 1) * inputs], places)
                    yield source[None], grad[:, None, None, None, None]

        made[g * out : (g + 1) * out] = fold(terms(), (out, *w.shape[1:]))
    return made


# Cases, layouts and calls.


def numbers(rng: np.random.Generator, shape: Sequence[int], kind: str) -> Array:
    made = rng.standard_normal(shape)
    if kind == "wide":
        made *= np.exp2(rng.integers(-80, 70, shape))
    if kind == "edges":
        rare = rng.random(shape) < 0.03
        made = np.where(rare, EDGES[rng.integers(0, len(EDGES), shape)], made)
    return made.astype(np.float32)


def make(seed: int) -> Case:
    pick, rng = random.Random(seed), np.random.default_rng(seed)
    rank, groups = pick.choice([1, 2, 2, 2, 3]), pick.choice([1, 1, 1, 2, 3, 8])
    inputs = pick.choice([1, 1, 2, 3, 5] + [17, 33] * (groups < 3))
    outputs = pick.choice([1, 1, 2, 3, 8, 16, 17, 33])

    def each(missing: int, choices: Sequence[int]) -> list[int]:
        return [missing] * (3 - rank) + [pick.choice(choices) for _ in range(rank)]

    kernel = each(1, [1, 2, 3, 3, 5, 7] if rank < 3 else [1, 2, 3])
    inputs = inputs if inputs * np.prod(kernel) < 600 else 3
    stride, dilation, padding = each(1, [1, 1, 2, 3]), each(1, [1, 1, 2]), each(0, [0, 1, 1, 2, 4])
    wanted = each(1, [1, 3, 7, 8, 9, 14, 17] if rank < 3 else [1, 2, 4, 6])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [
        max((wanted[i] - 1) * stride[i] + reach[i] - 2 * padding[i] + pick.randrange(stride[i]), 1)
        for i in range(3)
    ]
    size = [max(size[i], reach[i] - 2 * padding[i]) for i in range(3)]
    out = [(size[i] + 2 * padding[i] - reach[i]) // stride[i] + 1 for i in range(3)]
    batch, kind = pick.choice([1, 2, 3]), pick.choice(["plain", "wide", "edges"])
    dtype = pick.choice([torch.float32, torch.float32, torch.bfloat16, torch.float16])

    def values(*shape: int) -> Array:
        return torch.from_numpy(numbers(rng, shape, kind)).to(dtype).float().numpy()

    x, w = values(batch, groups * inputs, *size), values(groups * outputs, inputs, *kernel)
    dy, bias = values(batch, groups * outputs, *out), values(groups * outputs)
    some = bias if pick.random() < 0.5 else None
    return Case(x, w, dy, some, stride, padding, dilation, groups, dtype)


def laid_out(tensor: torch.Tensor, pick: random.Random) -> torch.Tensor:
    """Return equal values in some layout or other."""
    how = pick.randrange(4)
    if how == 0:
        return tensor.contiguous()
    if how == 1:
        return tensor.contiguous(memory_format=torch.channels_last_3d)
    if how == 2:
        wide = torch.zeros([2 * each for each in tensor.shape], dtype=tensor.dtype)
        view = wide[(slice(None, None, 2),) * 5]
        view.copy_(tensor)
        return view
    order = list(range(5))
    pick.shuffle(order)
    return tensor.permute(order).contiguous().permute([order.index(each) for each in range(5)])


def call(
    kernels: library.Library | None,
    kernel: Kernel,
    tensors: Sequence[torch.Tensor],
    params: list[int],
) -> None:
    """Run one kernel, or its stages where there are no kernels."""
    plan, views = Plan(), []
    for at, each in enumerate(tensors):
        dtype, shape, strides = DTYPES[each.dtype], tuple(each.shape), each.stride()
        plan.tensors.append(Tensor(dtype, shape, strides, (at, 0)))
        views.append(Operand(at, dtype, shape, strides))
    plan.call(kernel, views, params)
    compiled = None if kernels is None else (kernels, kernels.compile(plan))
    executor.run(plan, compiled, tensors)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


def canonical(values: Array, dtype: torch.dtype) -> torch.Tensor:
    raw = bits(torch.from_numpy(values).to(dtype))
    nan = {torch.float32: 0x7FC00000, torch.bfloat16: 0x7FC0, torch.float16: 0x7E00}[dtype]
    return torch.where(torch.from_numpy(np.isnan(values)), torch.full_like(raw, nan), raw)


def operands(case: Case, pick: random.Random) -> list[list[torch.Tensor]]:
    x, w, dy = (
        laid_out(torch.from_numpy(each).to(case.dtype), pick) for each in (case.x, case.w, case.dy)
    )
    bias = [] if case.bias is None else [torch.from_numpy(case.bias).to(case.dtype)]
    return [[x, w, *bias], [dy, w], [dy, x]]


def outputs(case: Case, pick: random.Random) -> list[torch.Tensor]:
    return [
        laid_out(torch.full(each.shape, 7.0, dtype=case.dtype), pick)
        for each in (case.dy, case.x, case.w)
    ]


def run_all(kernels: library.Library | None, case: Case, pick: random.Random) -> list[torch.Tensor]:
    made = outputs(case, pick)
    for kernel, out, inputs in zip(KERNELS, made, operands(case, pick), strict=True):
        biased = kernel is convolution.FORWARD and case.bias is not None
        call(kernels, kernel, [out, *inputs], [*case.params, int(biased)])
    return [bits(each) for each in made]


@pytest.fixture(scope="module")
def builds() -> list[library.Library]:
    """Return every build of the kernels this machine can run."""
    if library.load() is None:
        pytest.skip("no kernels are built")
    folder = library.load().path.parent  # type: ignore[union-attr]
    found = [
        library.Library(path, isa)
        for isa in library.supported()
        if (path := folder / f"libgensyn_repops-{isa}.so").exists()
    ]
    for each in found:
        each.use_threads_of(registry.openmp())
    return found


@pytest.fixture
def with_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("seed", range(60))
def test_every_build_computes_the_terms_in_order(
    seed: int, builds: list[library.Library], with_threads: Callable[[int], None]
) -> None:
    case = make(seed)
    with np.errstate(all="ignore"):
        found = [forward(case), input_grad(case), weight_grad(case)]
    expected = [canonical(each, case.dtype) for each in found]
    pick = random.Random(seed)
    for kernels, threads in itertools.product(builds, (1, 2)):
        with_threads(threads)
        made = run_all(kernels, case, pick)
        for name, one, other in zip(("out", "dx", "dw"), made, expected, strict=True):
            assert torch.equal(one, other), (kernels.isa, threads, name)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (3, 3)])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_depthwise_in_either_layout(
    kernel: int, stride: int, padding: int, builds: list[library.Library]
) -> None:
    """Channels first and channels last take different ways to the same bits."""
    torch.manual_seed(kernel + stride)
    x, w = torch.randn(2, 20, 1, 35, 47), torch.randn(20, 1, 1, kernel, kernel)
    bias = torch.randn(20)
    window = (1, stride, stride), (0, padding, padding)
    dy = torch.randn_like(functional.conv3d(x, w, None, *window, 1, 20))
    params = [*window[0], *window[1], 1, 1, 1, 20]
    for kernels in builds:
        found = []
        for order in (torch.contiguous_format, torch.channels_last_3d):
            inputs = [each.contiguous(memory_format=order) for each in (x, dy)]
            made = [torch.empty_like(each) for each in (inputs[1], inputs[0])]
            call(kernels, convolution.FORWARD, [made[0], inputs[0], w, bias], [*params, 1])
            call(kernels, convolution.INPUT_GRAD, [made[1], inputs[1], w], [*params, 0])
            found.append([bits(each) for each in made])
        assert all(torch.equal(*pair) for pair in zip(*found, strict=True)), kernels.isa


@pytest.mark.parametrize("seed", [1, 5, 9, 12, 14, 27])
def test_the_stages_define_the_same_bits(seed: int, builds: list[library.Library]) -> None:
    case = make(seed)
    size = case.dy.size * case.w[0].size
    if size > 400_000:
        pytest.skip("too large for the reference")
    made = run_all(builds[0], case, random.Random(seed))
    defined = run_all(None, case, random.Random(seed))
    for one, other in zip(made, defined, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("groups", [1, 4, 32])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 2, 0), (5, 3, 4)]
)
def test_close_to_float64(
    kernel: int, stride: int, padding: int, groups: int, builds: list[library.Library]
) -> None:
    torch.manual_seed(0)
    x, w = torch.randn(3, 32, 30, 23), torch.randn(64, 32 // groups, kernel, kernel)
    wide = [each.double().requires_grad_() for each in (x, w)]
    y = functional.conv2d(*wide, None, stride, padding, 1, groups)
    dy = torch.randn(y.shape)
    y.backward(dy.double())
    params = [1, stride, stride, 0, padding, padding, 1, 1, 1, groups, 0]
    deep = [each.unsqueeze(2) for each in (x, w, dy)]
    made = [torch.empty_like(each.float()).unsqueeze(2) for each in (y, *wide)]
    for kernel_, out, inputs in zip(
        KERNELS, made, ([deep[0], deep[1]], [deep[2], deep[1]], [deep[2], deep[0]]), strict=True
    ):
        call(builds[0], kernel_, [out, *inputs], params)
    for one, other in zip(made, (y, *(each.grad for each in wide)), strict=True):
        torch.testing.assert_close(one.squeeze(2).double(), other, rtol=1e-5, atol=2e-4)


def test_infinite_weights_meet_the_padding(builds: list[library.Library]) -> None:
    """Padding is a term: 0 times infinity shows at the border."""
    x, w = torch.ones(1, 1, 1, 1, 4), torch.tensor([1.0, 1.0, torch.inf]).view(1, 1, 1, 1, 3)
    out = torch.empty(1, 1, 1, 1, 4)
    call(builds[0], convolution.FORWARD, [out, x, w], [1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0])
    assert out.flatten().isnan().tolist() == [False, False, False, True]


def test_no_terms_sum_to_zero(builds: list[library.Library]) -> None:
    dw = torch.full((2, 3, 1, 2, 2), 5.0)
    none = [torch.empty(0, 2, 1, 3, 3), torch.empty(0, 3, 1, 4, 4)]
    call(builds[0], convolution.WEIGHT_GRAD, [dw, *none], [1] * 3 + [0] * 3 + [1] * 3 + [1, 0])
    assert not dw.any()


def stock(function: Callable[..., Any], tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    leaves = [each.detach().clone().requires_grad_() for each in tensors]
    made = function(*leaves)
    made.sum().backward()
    return [made.detach(), *(each.grad for each in leaves if each.grad is not None)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, b: functional.conv1d(x[:, :, 0], w[:, :, 0], b, padding=1),
        lambda x, w, b: functional.conv2d(x, w, b, padding="same"),
        lambda x, w, b: functional.conv2d(x.to(memory_format=torch.channels_last), w, b, 2, 1),
        lambda x, w, b: functional.conv3d(x[:, :, None], w[:, :, None], b),
        lambda x, w, b: functional.conv_transpose2d(x, w.transpose(0, 1), b, 2, 1, 1),
        lambda x, w, b: functional.conv_transpose1d(x[:, :, 0], w[:, :, 0].transpose(0, 1), b, 3),
        lambda x, w, b: functional.conv2d(x[0], w, b, dilation=2),
    ],
)
def test_operators_agree_with_stock(function: Callable[..., Any]) -> None:
    torch.manual_seed(1)
    given = [torch.randn(2, 4, 9, 8), torch.randn(6, 4, 3, 3), torch.randn(6)]
    expected = stock(function, given)
    with registry.reproducible():
        made = stock(function, given)
    for one, other in zip(made, expected, strict=True):
        assert one.stride() == other.stride()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
