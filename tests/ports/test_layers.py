"""Layers and their gradients have the bits that the stages say, whatever they are called with.

What a layer's kernels are given cannot be told from a schema, so a few lines for each kind of layer
draw its settings and shapes; results and gradients by kernels are compared with the reference's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from drawing import LAYOUTS, bits, copied, tensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry

EXAMPLES = int(os.environ.get("GENSYN_EXAMPLES", "5"))
OPTIMISTIC = st.sampled_from(("normal", "normal", "edges", "whole"))
REFUSED = (NotReproducible, RuntimeError, IndexError, ValueError)
Draw = st.DrawFn
Layer = tuple[Callable[..., Any], list[Any]]
LAYERS: dict[str, Callable[[Draw], Layer]] = {}


def layer(make: Callable[[Draw], Layer]) -> Callable[[Draw], Layer]:
    """Have a kind of layer tested; `make` draws a function and what it is called with."""
    LAYERS[make.__name__] = make
    return make


def some(draw: Draw, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return draw(tensors(shape, dtype, OPTIMISTIC, LAYOUTS[:-1]))


def one(draw: Draw, low: int, high: int) -> int:
    return draw(st.integers(low, high))


def each(draw: Draw, count: int, low: int, high: int) -> list[int]:
    return [one(draw, low, high) for _ in range(count)]


def chosen(draw: Draw, *values: Any) -> Any:
    return draw(st.sampled_from(values))


def positions(draw: Draw, size: int, *shape: int) -> Tensor:
    """Draw indices below `size`, often the same ones."""
    x = some(draw, *shape).nan_to_num(0, 1, 1).abs().mul(2).clamp(max=1e6)
    return x.long() % size


@layer
def convolution(draw: Draw) -> Layer:
    rank, groups = one(draw, 1, 3), one(draw, 1, 2)
    kernel, stride, padding, dilation = (
        each(draw, rank, *ab) for ab in ((1, 3), (1, 2), (0, 2), (1, 2))
    )
    sizes = [(k - 1) * d + 1 + one(draw, 0, 5) for k, d in zip(kernel, dilation, strict=True)]
    inside, outside = groups * one(draw, 1, 4), groups * one(draw, 1, 5)
    x = some(draw, one(draw, 1, 3), inside, *sizes)
    weight, bias = some(draw, outside, inside // groups, *kernel), some(draw, outside)
    call = getattr(F, f"conv{rank}d")
    return lambda x, w, b: call(x, w, b, stride, padding, dilation, groups), [x, weight, bias]


@layer
def transposed_convolution(draw: Draw) -> Layer:
    rank, groups = one(draw, 1, 3), one(draw, 1, 2)
    kernel, stride = each(draw, rank, 1, 3), each(draw, rank, 1, 2)
    more = [one(draw, 0, s - 1) for s in stride]
    inside, outside = groups * one(draw, 1, 4), one(draw, 1, 4)
    x = some(draw, one(draw, 1, 2), inside, *each(draw, rank, 2, 5))
    weight, bias = some(draw, inside, outside, *kernel), some(draw, groups * outside)
    call = getattr(F, f"conv_transpose{rank}d")
    return lambda x, w, b: call(x, w, b, stride, 0, more, groups), [x, weight, bias]


@layer
def product(draw: Draw) -> Layer:
    m, n, k = one(draw, 1, 9), one(draw, 1, 40), chosen(draw, 1, 2, 17, 255, 256, 257, 600)
    dtype = chosen(draw, torch.float32, torch.float32, torch.bfloat16, torch.float16)
    a, b, c = (
        some(draw, m, k, dtype=dtype),
        some(draw, k, n, dtype=dtype),
        some(draw, n, dtype=dtype),
    )
    return lambda a, b, c: torch.addmm(c, a, b, beta=0.5, alpha=2), [a, b, c]


@layer
def batched_product(draw: Draw) -> Layer:
    batch, m, n, k = *each(draw, 3, 1, 6), chosen(draw, 1, 5, 300)
    a, b, c = some(draw, batch, m, k), some(draw, batch, k, n), some(draw, batch, m, n)
    return lambda a, b, c: torch.baddbmm(c, a, b), [a, b, c]


@layer
def attention(draw: Draw) -> Layer:
    batch, heads, rows, columns, width = *each(draw, 4, 1, 5), chosen(draw, 4, 8, 17)
    q = some(draw, batch, heads, rows, width)
    k, v = (some(draw, batch, heads, columns, width) for _ in range(2))
    causal = draw(st.booleans())
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), [q, k, v]


@layer
def layer_norm(draw: Draw) -> Layer:
    width = chosen(draw, 1, 3, 16, 40, 300)
    x, weight, bias = some(draw, *each(draw, 2, 1, 5), width), some(draw, width), some(draw, width)
    return lambda x, w, b: F.layer_norm(x, (width,), w, b), [x, weight, bias]


@layer
def batch_norm(draw: Draw) -> Layer:
    channels, sizes = one(draw, 1, 5), each(draw, one(draw, 0, 3), 1, 5)
    x = some(draw, one(draw, 2, 6), channels, *sizes)
    weight, bias, mean, spread = (some(draw, channels) for _ in range(4))
    training = draw(st.booleans())
    return (
        lambda x, w, b: F.batch_norm(x, mean.clone(), spread.abs() + 1, w, b, training, 0.1),
        [x, weight, bias],
    )


@layer
def group_norm(draw: Draw) -> Layer:
    groups, channels = one(draw, 1, 3), one(draw, 1, 3)
    x = some(draw, one(draw, 1, 3), groups * channels, *each(draw, one(draw, 0, 2), 1, 6))
    weight, bias = some(draw, groups * channels), some(draw, groups * channels)
    return lambda x, w, b: F.group_norm(x, groups, w, b), [x, weight, bias]


@layer
def pooling(draw: Draw) -> Layer:
    rank, kind = one(draw, 1, 3), chosen(draw, "max", "avg")
    kernel, stride = each(draw, rank, 1, 3), each(draw, rank, 1, 3)
    padding = [one(draw, 0, k // 2) for k in kernel]
    x = some(draw, one(draw, 1, 2), one(draw, 1, 4), *[k + one(draw, 0, 5) for k in kernel])
    call, ceil = getattr(F, f"{kind}_pool{rank}d"), draw(st.booleans())
    return lambda x: call(x, kernel, stride, padding, ceil_mode=ceil), [x]


@layer
def adaptive_pooling(draw: Draw) -> Layer:
    rank, kind = one(draw, 1, 3), chosen(draw, "max", "avg")
    x = some(draw, one(draw, 1, 2), one(draw, 1, 4), *each(draw, rank, 1, 9))
    call, size = getattr(F, f"adaptive_{kind}_pool{rank}d"), each(draw, rank, 1, 5)
    return lambda x: call(x, size), [x]


@layer
def resampling(draw: Draw) -> Layer:
    rank, mode = chosen(
        draw, (1, "linear"), (2, "bilinear"), (2, "bicubic"), (2, "nearest"), (3, "trilinear")
    )
    x = some(draw, one(draw, 1, 2), one(draw, 1, 3), *each(draw, rank, 1, 6))
    size, aligned = each(draw, rank, 1, 8), draw(st.booleans()) if mode != "nearest" else None
    return lambda x: F.interpolate(x, size, mode=mode, align_corners=aligned), [x]


@layer
def class_loss(draw: Draw) -> Layer:
    classes, reduction = one(draw, 1, 9), chosen(draw, "none", "mean", "sum")
    x = some(draw, one(draw, 1, 9), classes, *each(draw, one(draw, 0, 2), 1, 4))
    target = positions(draw, classes, x.shape[0], *x.shape[2:])
    smoothing = chosen(draw, 0.0, 0.1)
    return (
        lambda x: F.cross_entropy(x, target, reduction=reduction, label_smoothing=smoothing),
        [x],
    )


@layer
def pointwise_loss(draw: Draw) -> Layer:
    names = (
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy_with_logits",
    )
    call, reduction = getattr(F, chosen(draw, *names)), chosen(draw, "none", "mean", "sum")
    shape = each(draw, one(draw, 1, 3), 1, 40)
    return lambda x, y: call(x, y, reduction=reduction), [some(draw, *shape), some(draw, *shape)]


@layer
def embedding(draw: Draw) -> Layer:
    rows, width = one(draw, 1, 9), one(draw, 1, 20)
    index = positions(draw, rows, *each(draw, one(draw, 1, 2), 1, 9))
    return lambda w: F.embedding(index, w, padding_idx=0), [some(draw, rows, width)]


@layer
def bag(draw: Draw) -> Layer:
    rows, width, mode = one(draw, 1, 9), one(draw, 1, 20), chosen(draw, "sum", "mean", "max")
    index = positions(draw, rows, *each(draw, 2, 1, 6))
    return lambda w: F.embedding_bag(index, w, mode=mode), [some(draw, rows, width)]


@layer
def indexing(draw: Draw) -> Layer:
    rows, count, width = one(draw, 1, 7), one(draw, 1, 12), one(draw, 1, 6)
    index = positions(draw, rows, count)
    x, y = some(draw, rows, width), some(draw, count, width)
    calls = {
        "index": lambda x, y: x[index] * y,
        "put": lambda x, y: x.index_put((index,), y, accumulate=True),
        "add": lambda x, y: x.index_add(0, index, y, alpha=0.5),
        "select": lambda x, y: x.index_select(0, index) + y,
        "gather": lambda x, y: x.gather(0, index[:, None].expand(-1, width)) - y,
        "scatter": lambda x, y: x.scatter_add(0, index[:, None].expand(-1, width), y),
        "reduce": lambda x, y: x.scatter_reduce(0, index[:, None].expand(-1, width), y, "mean"),
    }
    return calls[chosen(draw, *calls)], [x, y]


@layer
def padded(draw: Draw) -> Layer:
    mode, rank = chosen(draw, "reflect", "replicate", "circular", "constant"), one(draw, 1, 3)
    x = some(draw, 1, 2, *each(draw, rank, 3, 6))
    padding = each(draw, 2 * rank, 0, 2)
    return lambda x: F.pad(x, padding, mode), [x]


@layer
def recurrent(draw: Draw) -> Layer:
    kind, size, width = chosen(draw, "LSTM", "GRU", "RNN"), one(draw, 1, 5), one(draw, 1, 6)
    x = some(draw, one(draw, 1, 4), one(draw, 1, 3), size)
    torch.manual_seed(3)
    cells = getattr(torch.nn, kind)(size, width, bidirectional=draw(st.booleans()))
    return lambda x: cells(x)[0], [x]


@contextmanager
def computing(by_kernels: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if not by_kernels:
            patch.setattr(registry, "loaded", lambda: None)
        with registry.reproducible():
            yield


def outcome(call: Callable[..., Any], values: list[Any]) -> Any:
    """Return the bits of results and gradients, or which error it was."""
    leaves = [one.detach().requires_grad_() for one in copied(values)]
    try:
        made = call(*leaves)
        weight = torch.arange(made.numel(), dtype=made.dtype).sub(2).view(made.shape)
        found = torch.autograd.grad(made, leaves, weight)
    except REFUSED as error:
        return type(error)
    return [bits(made.detach()), bits(found)]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_gradients_are_what_their_stages_say(name: str) -> None:
    succeeded: list[bool] = []

    @st.composite
    def layers(draw: Draw) -> Layer:
        return LAYERS[name](draw)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(layers())
    def same(drawn: Layer) -> None:
        with computing(by_kernels=True):
            found = outcome(*drawn)
        with computing(by_kernels=False):
            assert found == outcome(*drawn)
        succeeded.append(not isinstance(found, type))

    same()
    assert any(succeeded), "every call that was drawn is an error"
