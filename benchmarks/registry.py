"""What dispatch costs: small operators and small models, by stock torch, the shim and Python.

All in one process, one after the other in every round; a figure is the best of the rounds. A ratio
is stock's time divided by ours: above 1 we are faster.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gensyn_lightning.repops import registry
from gensyn_lightning.repops.shim import loader

WAYS = ("stock", "shim", "python")
WARM = 20


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "threads": options.threads,
                "operators": compare(operators(), options.rounds, 1000),
                "models": compare(models(), options.rounds, 50),
            },
            indent=1,
        )
    )


def compare(
    work: dict[str, Callable[[], Any]], rounds: int, calls: int
) -> dict[str, dict[str, float]]:
    """Return microseconds a call for each piece of work and each way, and the ratios."""
    best = {name: dict.fromkeys(WAYS, float("inf")) for name in work}
    for _ in range(rounds):
        for way in WAYS:
            with dispatched(way):
                for name, call in work.items():
                    best[name][way] = min(best[name][way], timed(call, calls))
    return {
        name: {f"{way}_us": round(us, 2) for way, us in found.items()}
        | {f"{way}_ratio": round(found["stock"] / found[way], 2) for way in WAYS[1:]}
        for name, found in best.items()
    }


def timed(call: Callable[[], Any], calls: int) -> float:
    """Return microseconds a call."""
    for _ in range(WARM):
        call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e6


@contextmanager
def dispatched(way: str) -> Iterator[None]:
    """Have operators dispatched in one of the ways."""
    if way == "stock":
        yield
        return
    os.environ["GENSYN_SHIM"] = "1" if way == "shim" else "0"
    loader.load.cache_clear()
    with registry.reproducible():
        yield


def operators() -> dict[str, Callable[[], Any]]:
    """Return calls so small that they measure dispatch."""
    a, b, out = torch.randn(8, 8), torch.randn(8, 8), torch.empty(8, 8)
    whole = torch.arange(8)
    return {
        "add 8x8": lambda: torch.add(a, b),
        "add 8x8 out=": lambda: torch.add(a, b, out=out),
        "mul 8x8 by a number": lambda: torch.mul(a, 1.5),
        "add_ 8x8 of a number": lambda: a.add_(0.0),
        "mm 8x8": lambda: torch.mm(a, b),
        "relu 8x8": lambda: torch.relu(a),
        "sum 8x8": lambda: torch.sum(a),
        "add int64 8 (exact)": lambda: torch.add(whole, whole),
    }


def models() -> dict[str, Callable[[], Any]]:
    """Return whole training steps of small models."""
    made = {}
    for width in (8, 32, 128):
        for kind in ("SGD", "AdamW"):
            made[f"MLP 4x{width}, {kind}"] = step(width, kind)
    return made


def step(width: int, kind: str) -> Callable[[], None]:
    """Return a training step of four layers on a batch of eight."""
    layers: list[torch.nn.Module] = []
    for _ in range(4):
        layers += [torch.nn.Linear(width, width), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=1e-4)
    x, y = torch.randn(8, width), torch.randn(8, width)

    def run() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()

    return run


if __name__ == "__main__":
    main()
