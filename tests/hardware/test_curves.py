"""Training by reproducible operators learns what training by stock torch learns.

Both start from the same weights and see the same batches. Without dropout only rounding differs:
the first losses agree to a few units in the last places. With dropout the draws differ too; the
curves and what is held out then agree as runs of stock torch with different seeds do.
"""

from __future__ import annotations

import inspect
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.repops import reproducible

Batch = tuple[Tensor, Tensor]
SEEDS = range(5)
FIRST = 10
CURVE_AT = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Task:
    """What is learnt: a model, its batches, and what is held out."""

    model: Callable[[float], nn.Module]
    batch: Callable[[random.Random], Batch]
    held_out: Callable[[], Batch]
    steps: int


def digits() -> Task:
    """The classifier of the digits program on its own data."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
    from digits import Classifier, Digits

    parts = Digits().parts
    images, labels = parts["train"].tensors

    def model(dropout: float) -> nn.Module:
        body = Classifier(width=16).body
        body[8].p = dropout
        return body

    def batch(draw: random.Random) -> Batch:
        chosen = torch.tensor(draw.sample(range(len(labels)), 32))
        return images[chosen], labels[chosen]

    return Task(model, batch, lambda: parts["test"].tensors, 240)


def characters() -> Task:
    """A small transformer that predicts the next character of Python's own `random` module."""
    text = inspect.getsource(random)
    alphabet = sorted(set(text))
    codes = torch.tensor([alphabet.index(each) for each in text])
    split, length = int(len(codes) * 0.9), 48

    def take(starts: list[int]) -> Batch:
        rows = torch.stack([codes[each : each + length + 1] for each in starts])
        return rows[:, :-1], rows[:, 1:]

    def batch(draw: random.Random) -> Batch:
        return take([draw.randrange(split - length - 1) for _ in range(16)])

    def held_out() -> Batch:
        return take(list(range(split, len(codes) - length - 1, length)))

    return Task(lambda dropout: Characters(len(alphabet), length, dropout), batch, held_out, 300)


class Characters(nn.Module):
    """Two encoder layers under a causal mask."""

    def __init__(self, letters: int, length: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(48, 4, 128, dropout, batch_first=True, norm_first=True)
        self.letter, self.place = nn.Embedding(letters, 48), nn.Embedding(length, 48)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(48, letters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, letters: Tensor) -> Tensor:
        x = self.letter(letters) + self.place(torch.arange(letters.shape[1]))
        return self.head(self.body(x, mask=self.mask, is_causal=True)).transpose(1, 2)


TASKS = {"digits": digits, "characters": characters}


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Iterator[Task]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # small models: threads that wait for each other cost more
    yield TASKS[request.param]()
    torch.set_num_threads(before)


def train(
    task: Task, seed: int, dropout: float, steps: int, inside: AbstractContextManager[None]
) -> tuple[list[float], float]:
    """Return the losses of every step, and the loss on what is held out."""
    torch.manual_seed(seed)
    model, draw = task.model(dropout), random.Random(seed)
    with inside:
        torch.manual_seed(1000 + seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        losses = []
        for _ in range(steps):
            x, y = task.batch(draw)
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            x, y = task.held_out()
            return losses, F.cross_entropy(model(x), y).item()


def test_the_first_losses_differ_by_rounding_alone(task: Task) -> None:
    stock, _ = train(task, 0, 0.0, FIRST, nullcontext())
    ours, _ = train(task, 0, 0.0, FIRST, reproducible())
    assert ours == pytest.approx(stock, rel=2e-5)


@pytest.mark.hardware
def test_curves_and_quality_match_stock_within_noise(task: Task) -> None:
    """At four points of the curve, and on what is held out, means differ by chance only."""
    stock = [train(task, each, 0.1, task.steps, nullcontext()) for each in SEEDS]
    ours = [train(task, each, 0.1, task.steps, reproducible()) for each in SEEDS]
    shown = {}
    for name, read in measures(task.steps):
        a, b = [read(*each) for each in stock], [read(*each) for each in ours]
        noise = (statistics.variance(a) / len(a) + statistics.variance(b) / len(b)) ** 0.5
        shown[name] = [statistics.mean(a), statistics.mean(b), noise]
        assert abs(statistics.mean(a) - statistics.mean(b)) <= 3 * noise, shown
    print(json.dumps(shown))


def measures(steps: int) -> Iterator[tuple[str, Callable[[list[float], float], float]]]:
    for share in CURVE_AT:
        yield f"loss at {share:.0%}", partial(loss_before, int(share * steps))
    yield "held out", lambda _, loss: loss


def loss_before(step: int, curve: list[float], _: float) -> float:
    return statistics.mean(curve[step - 20 : step])
