"""What reproducible operators cost: stock torch against `reproducible()`, in turns, in one run.

Prints one JSON document: `rows` (each with microseconds of both and `ratio`, stock ÷ ours, on one
core and on all), `min_ratio` over all rows, `whole_step_min_ratio` over whole training steps.
Stock and ours take turns at every row; times are the least of several rounds, ratios the median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.repops import library
from gensyn_lightning.repops.registry import reproducible

Work = Callable[[], Any]
Case = tuple[str, str, Callable[[], Work]]
OPERATOR, STEP = "operator", "whole step"
SLICE_S, SETTLING_S = 0.03, 0.15


def main() -> None:
    """Print the figures; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    cases = [each for each in CASES if options.only in each[0]]
    rows = [
        row
        for threads in sorted({1, os.cpu_count() or 1})
        for row in compare(cases, threads, options.rounds)
    ]
    steps = [each["ratio"] for each in rows if each["kind"] == STEP]
    kernels = library.load()
    print(
        json.dumps(
            {
                "rows": rows,
                "min_ratio": min(each["ratio"] for each in rows),
                "whole_step_min_ratio": min(steps, default=None),
                "isa": kernels.isa if kernels else "reference",
                "torch": torch.__version__,
                "cores": os.cpu_count(),
            }
        )
    )


def compare(cases: list[Case], threads: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row for every case on so many threads.

    Stock and ours take turns at every case, and a ratio is of two turns that follow each other: a
    machine that others slow down for a second slows down both. A row's ratio is the median of its
    rounds, its times are the fastest.
    """
    torch.set_num_threads(threads)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in cases}
    for at in range(rounds):
        for name, _, make in cases:
            ours_first = at % 2 == 1
            turns = {ours: turn(make, ours) for ours in (ours_first, not ours_first)}
            taken[name].append((turns[False], turns[True]))
    for name, kind, _ in cases:
        ratio = statistics.median(stock / ours for stock, ours in taken[name])
        stock, ours = map(min, zip(*taken[name], strict=True))
        print(f"{threads} {name}: {ratio:.2f}", file=sys.stderr)
        yield {
            "name": name,
            "kind": kind,
            "threads": threads,
            "stock_us": round(1e6 * stock, 2),
            "ours_us": round(1e6 * ours, 2),
            "ratio": round(ratio, 3),
        }


def turn(make: Callable[[], Work], ours: bool) -> float:
    """Return seconds per call of a case, by our operators or by stock ones."""
    with reproducible() if ours else nullcontext():
        torch.manual_seed(0)
        return timed(make())


def timed(work: Work) -> float:
    """Return seconds per call, over as many calls as fit a slice of time.

    Some calls go before: malloc takes up to a dozen to settle where a result lies, and fresh pages
    cost more than many an operator.
    """
    began = time.perf_counter()
    for calls in range(16):
        if calls >= 2 and time.perf_counter() - began > SETTLING_S:
            break
        work()
    began = time.perf_counter()
    work()
    count = max(1, min(2000, int(SLICE_S / max(1e-7, time.perf_counter() - began))))
    began = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - began) / count


def mm(m: int, k: int, n: int, transposed: bool = True) -> Callable[[], Work]:
    """Return a product as a linear layer has it (the second factor transposed), or plain."""

    def make() -> Work:
        a, b = torch.randn(m, k), torch.randn(n, k).t() if transposed else torch.randn(k, n)
        return lambda: torch.mm(a, b)

    return make


def forward(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[[], Work]:
    """Return a function of fresh tensors, without gradients."""

    def make() -> Work:
        inputs = [torch.randn(each) for each in shapes]
        return lambda: function(*inputs)

    return make


def backward(function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> Callable[[], Work]:
    """Return the gradient of a function with respect to all its inputs, forward left out."""

    def make() -> Work:
        inputs = [torch.randn(each, requires_grad=True) for each in shapes]
        out = function(*inputs)
        grad = torch.randn(out.shape)
        return lambda: torch.autograd.grad(out, inputs, grad, retain_graph=True)

    return make


def convolution(
    direction: int, batch: int, inside: int, size: int, outside: int, kernel: int, stride: int = 1
) -> Callable[[], Work]:
    """Return a convolution (0), its input gradient (1) or its weight gradient (2)."""
    groups = inside if outside == inside * -1 else 1
    outside = abs(outside)

    def make() -> Work:
        x = torch.randn(batch, inside, size, size)
        w = torch.randn(outside, inside // groups, kernel, kernel)
        settings: list[Any] = [[stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], groups]
        if direction == 0:
            return lambda: torch.convolution(x, w, None, *settings)
        grad = torch.randn(torch.convolution(x, w, None, *settings).shape)
        mask = [direction == 1, direction == 2, False]
        return lambda: torch.ops.aten.convolution_backward(grad, x, w, None, *settings, mask)

    return make


def attention(batch: int, length: int, masking: str, backwards: bool) -> Callable[[], Work]:
    """Return attention of 8 heads of 64, forward or backward: causal, masked (padded) or whole."""
    shape = (batch, 8, length, 64)
    visible = torch.arange(length).expand(batch, 1, 1, length) < length - 5
    mask = visible if masking == "masked" else None

    def function(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=masking == "causal")

    return (backward if backwards else forward)(function, shape, shape, shape)


def cross_entropy(backwards: bool) -> Callable[[], Work]:
    """Return the cross entropy of 4096 rows of 1024 classes, alone or with its gradient."""

    def make() -> Work:
        x = torch.randn(4096, 1024, requires_grad=backwards)
        y = torch.randint(1024, (4096,))
        if not backwards:
            return lambda: F.cross_entropy(x, y)
        return lambda: torch.autograd.grad(F.cross_entropy(x, y), x)

    return make


def adamw(fused: bool) -> Callable[[], Work]:
    """Return one AdamW step over 10 million parameters in 100 tensors."""

    def make() -> Work:
        parameters = [torch.randn(100_000, requires_grad=True) for _ in range(100)]
        for each in parameters:
            each.grad = torch.randn(each.shape)
        return torch.optim.AdamW(parameters, 1e-3, fused=fused).step

    return make


def step(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Work:
    """Return a whole training step under AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def work() -> None:
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()

    return work


def mlp(width: int, batch: int, inputs: int = 784) -> Callable[[], Work]:
    """Return a step of a perceptron with two hidden layers."""

    def make() -> Work:
        x, y = torch.randn(batch, inputs), torch.randint(10, (batch,))
        model = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, 10),
        )  # fmt: skip
        return step(model, lambda each: F.cross_entropy(each(x), y))

    return make


def cnn(width: int, batch: int, size: int) -> Callable[[], Work]:
    """Return a step of a convolutional classifier with batch norm."""

    def make() -> Work:
        x, y = torch.randn(batch, 3, size, size), torch.randint(10, (batch,))
        layers: list[nn.Module] = []
        for inside, outside in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        model = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)
        )
        return step(model, lambda each: F.cross_entropy(each(x), y))

    return make


def transformer(width: int, layers: int, batch: int, length: int) -> Callable[[], Work]:
    """Return a step of an encoder on token embeddings, dropout on."""

    def make() -> Work:
        x, y = torch.randn(batch, length, width), torch.randint(100, (batch, length))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=True)
        body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        model = nn.Sequential(body, nn.Linear(width, 100))
        return step(model, lambda each: F.cross_entropy(each(x).flatten(0, 1), y.flatten()))

    return make


def products() -> Iterator[Case]:
    """Yield the products."""
    for m, k, n in ((1024, 1024, 1024), (512, 512, 512), (128, 128, 128), (64, 64, 64), (8, 8, 8)):
        yield f"mm {m}x{k}x{n}", OPERATOR, mm(m, k, n, transposed=False)
    for m, k, n in ((4096, 1024, 256), (32, 784, 784), (8, 784, 784), (1, 784, 784)):
        yield f"mm {m}x{k}x{n} t", OPERATOR, mm(m, k, n)
    for m, k, n in ((32, 784, 10), (8, 784, 10), (1, 784, 10), (32, 1024, 4096), (1, 1024, 4096)):
        yield f"mm {m}x{k}x{n} t", OPERATOR, mm(m, k, n)
    yield "bmm 64x64x64x64", OPERATOR, forward(torch.bmm, (64, 64, 64), (64, 64, 64))


def convolutions() -> Iterator[Case]:
    """Yield the convolutions, each in three directions; a negative width is depthwise."""
    shapes = (
        (64, 1, 8, 32, 3), (64, 32, 8, 64, 3), (32, 1, 28, 16, 3), (16, 3, 32, 64, 3),
        (16, 64, 32, 64, 3), (16, 128, 16, 128, 3), (16, 256, 8, 256, 3), (16, 256, 8, 256, 1),
        (1, 64, 56, 64, 3), (16, 64, 32, -64, 3),
    )  # fmt: skip
    strided = ((16, 64, 32, 128, 3, 2), (16, 64, 32, -64, 3, 2))
    for shape in (*shapes, *strided):
        for direction, name in enumerate(("conv", "conv input grad", "conv weight grad")):
            text = "x".join(map(str, shape))
            yield f"{name} {text}", OPERATOR, convolution(direction, *shape)


def rows_of_numbers() -> Iterator[Case]:
    """Yield what works on rows: norms, softmax, losses, activations, sums, draws."""
    wide = (4096, 1024)
    norm = nn.LayerNorm(1024)
    yield "layer norm", OPERATOR, forward(lambda x: F.layer_norm(x, (1024,)), wide)
    yield (
        "layer norm backward",
        OPERATOR,
        backward(lambda x: F.layer_norm(x, (1024,), norm.weight, norm.bias), wide),
    )
    yield "softmax", OPERATOR, forward(lambda x: torch.softmax(x, -1), wide)
    yield "softmax backward", OPERATOR, backward(lambda x: torch.softmax(x, -1), wide)
    yield "log softmax", OPERATOR, forward(lambda x: torch.log_softmax(x, -1), wide)
    yield "cross entropy", OPERATOR, cross_entropy(False)
    yield "cross entropy with gradient", OPERATOR, cross_entropy(True)
    for function in (torch.exp, torch.log, torch.tanh, torch.sigmoid, F.gelu, F.silu, F.relu):
        yield f"{function.__name__} 4M", OPERATOR, forward(function, wide)
    for function in (F.gelu, F.relu):
        yield f"{function.__name__} backward 4M", OPERATOR, backward(function, wide)
    yield "add 4M", OPERATOR, forward(torch.add, wide, wide)
    yield "mul 64x1024", OPERATOR, forward(torch.mul, (64, 1024), (64, 1024))
    yield "sum all 4M", OPERATOR, forward(torch.sum, wide)
    yield "sum rows", OPERATOR, forward(lambda x: x.sum(1), wide)
    yield "sum columns", OPERATOR, forward(lambda x: x.sum(0), wide)
    batch = (64, 32, 14, 14)
    yield (
        "batch norm",
        OPERATOR,
        forward(lambda x: F.batch_norm(x, None, None, training=True), batch),
    )
    yield (
        "batch norm backward",
        OPERATOR,
        backward(lambda x: F.batch_norm(x, None, None, training=True), batch),
    )
    yield "max pool", OPERATOR, forward(lambda x: F.max_pool2d(x, 2), (64, 32, 28, 28))
    yield "max pool backward", OPERATOR, backward(lambda x: F.max_pool2d(x, 2), (64, 32, 28, 28))
    yield "dropout 4M", OPERATOR, forward(lambda x: F.dropout(x, 0.1), wide)
    yield "normal 4M", OPERATOR, lambda: lambda: torch.randn(wide)
    yield "uniform 4M", OPERATOR, lambda: lambda: torch.rand(wide)


CASES: list[Case] = [
    *products(),
    *convolutions(),
    *(
        (
            f"attention {'backward ' * back}B{batch}T{length} {masking}".rstrip(),
            OPERATOR,
            attention(batch, length, masking, bool(back)),
        )
        for batch, length in ((8, 128), (8, 256), (4, 512), (2, 1024))
        for masking in ("", "causal", "masked")
        for back in (0, 1)
    ),
    *rows_of_numbers(),
    ("adamw fused 10M", OPERATOR, adamw(True)),
    ("adamw 10M", OPERATOR, adamw(False)),
    ("mlp 256, batch 32", STEP, mlp(256, 32)),
    ("mlp 1024, batch 128", STEP, mlp(1024, 128)),
    ("cnn 16, batch 32, 28x28", STEP, cnn(16, 32, 28)),
    ("cnn 32, batch 64, 32x32", STEP, cnn(32, 64, 32)),
    ("transformer 64x2, batch 8, 32", STEP, transformer(64, 2, 8, 32)),
    ("transformer 256x4, batch 8, 128", STEP, transformer(256, 4, 8, 128)),
]

if __name__ == "__main__":
    main()
