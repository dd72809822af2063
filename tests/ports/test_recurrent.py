"""Recurrent layers and cells against binary64, whole or packed; dropout between layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gensyn_lightning.repops.registry import reproducible

# Relative and absolute: sigmoid and tanh of sums of a dozen terms, a dozen times over.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 0.06}
Case = Callable[[torch.dtype], list[Tensor]]


def numbers(*shape: int, seed: int = 1) -> Tensor:
    """Return the same numbers whether torch's operators are in place or ours."""
    drawn = np.random.default_rng(seed + sum(shape)).standard_normal(shape, np.float32)
    return torch.from_numpy(drawn)


def settled(made: nn.Module, dtype: torch.dtype) -> nn.Module:
    for each in made.parameters():
        each.data = (numbers(*each.shape) / 2).to(dtype)
    return made


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [one for each in value for one in flat(each)]


def gradients(made: nn.Module, function: Callable[..., Any], *inputs: Tensor) -> list[Tensor]:
    """Return what a function makes, and the gradients of its inputs and of a layer's parameters."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    outs = flat(function(*leaves))
    weights = [torch.linspace(-1, 2, each.numel()).view(each.shape).to(each) for each in outs]
    found = torch.autograd.grad(outs, [*leaves, *made.parameters()], weights)
    return [*(each.detach() for each in outs), *found]


def layer(
    make: Callable[[], nn.Module], *shapes: tuple[int, ...], lengths: list[int] | None = None
) -> Case:
    """Return a layer called with numbers of these shapes: a sequence, then its first states."""

    def case(dtype: torch.dtype) -> list[Tensor]:
        made = settled(make(), dtype)

        def function(x: Tensor, *states: Tensor) -> Any:
            state = states if len(states) > 1 else states[0] if states else None
            if lengths is None:
                return made(x, state)
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
            out, last = made(packed, state)
            return pad_packed_sequence(out)[0], last

        inputs = [numbers(*each, seed=at).to(dtype) for at, each in enumerate(shapes)]
        return gradients(made, function, *inputs)

    return case


X, STATE = (6, 3, 4), (1, 3, 5)
CASES: dict[str, Case] = {
    "lstm": layer(lambda: nn.LSTM(4, 5), X),
    "lstm from states": layer(lambda: nn.LSTM(4, 5), X, STATE, STATE),
    "lstm without bias": layer(lambda: nn.LSTM(4, 5, bias=False), X),
    "lstm, batch first": layer(lambda: nn.LSTM(4, 5, batch_first=True), X),
    "lstm, both ways, two layers": layer(lambda: nn.LSTM(4, 5, 2, bidirectional=True), X),
    "lstm, projected": layer(lambda: nn.LSTM(4, 5, 2, proj_size=3), X),
    "lstm, projected, both ways": layer(lambda: nn.LSTM(4, 5, proj_size=3, bidirectional=True), X),
    "lstm, packed": layer(lambda: nn.LSTM(4, 5), X, lengths=[3, 6, 2]),
    "lstm, packed, both ways": layer(
        lambda: nn.LSTM(4, 5, 2, bidirectional=True), X, lengths=[3, 6, 2]
    ),
    "lstm, packed, from states": layer(lambda: nn.LSTM(4, 5), X, STATE, STATE, lengths=[3, 6, 2]),
    "lstm, no batch": layer(lambda: nn.LSTM(4, 5), (6, 4)),
    "gru": layer(lambda: nn.GRU(4, 5), X),
    "gru from a state": layer(lambda: nn.GRU(4, 5), X, STATE),
    "gru without bias": layer(lambda: nn.GRU(4, 5, bias=False), X),
    "gru, both ways, two layers": layer(lambda: nn.GRU(4, 5, 2, bidirectional=True), X),
    "gru, packed": layer(lambda: nn.GRU(4, 5), X, lengths=[3, 6, 2]),
    "gru, packed, both ways": layer(lambda: nn.GRU(4, 5, bidirectional=True), X, lengths=[6, 5, 1]),
    "rnn": layer(lambda: nn.RNN(4, 5), X),
    "rnn of relu": layer(lambda: nn.RNN(4, 5, nonlinearity="relu"), X),
    "rnn of relu, both ways, two layers": layer(
        lambda: nn.RNN(4, 5, 2, nonlinearity="relu", bidirectional=True), X
    ),
    "rnn, both ways, two layers": layer(lambda: nn.RNN(4, 5, 2, bidirectional=True), X),
    "rnn from a state": layer(lambda: nn.RNN(4, 5), X, STATE),
    "rnn, packed": layer(lambda: nn.RNN(4, 5), X, lengths=[3, 6, 2]),
    "rnn of relu, packed": layer(lambda: nn.RNN(4, 5, nonlinearity="relu"), X, lengths=[3, 6, 2]),
    "lstm cell": layer(lambda: nn.LSTMCell(4, 5), (3, 4), (3, 5), (3, 5)),
    "lstm cell, first step": layer(lambda: nn.LSTMCell(4, 5, bias=False), (3, 4)),
    "gru cell": layer(lambda: nn.GRUCell(4, 5), (3, 4), (3, 5)),
    "gru cell without bias": layer(lambda: nn.GRUCell(4, 5, bias=False), (3, 4), (3, 5)),
    "rnn cell": layer(lambda: nn.RNNCell(4, 5), (3, 4), (3, 5)),
    "rnn cell of relu": layer(lambda: nn.RNNCell(4, 5, nonlinearity="relu"), (3, 4), (3, 5)),
}
HALVES = ["lstm", "gru", "rnn", "lstm, packed", "lstm cell", "gru cell", "rnn cell"]
Made = dict[tuple[str, torch.dtype], list[Tensor]]


@pytest.fixture(scope="module")
def made() -> Made:
    """Return the results of all cases: reproducible operators are put in place once."""
    wanted = [(name, torch.float32) for name in CASES]
    wanted += [(name, torch.bfloat16) for name in HALVES]
    with reproducible():
        return {(name, dtype): CASES[name](dtype) for name, dtype in wanted}


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_binary64(name: str, made: Made) -> None:
    exact = CASES[name](torch.float64)
    for dtype, tolerance in TOLERANCES.items():
        for ours, right in zip(made.get((name, dtype), []), exact, strict=False):
            assert (ours.shape, ours.dtype) == (right.shape, dtype)
            size = max(1.0, float(right.abs().max()))
            torch.testing.assert_close(ours.double(), right, rtol=tolerance, atol=tolerance * size)
    assert len(made[name, torch.float32]) == len(exact)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_dropout_between_layers_follows_the_seed(kind: Callable[..., nn.Module]) -> None:
    model, x = settled(kind(4, 5, 3, dropout=0.4), torch.float32), numbers(*X)
    with reproducible():
        results = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            results.append(gradients(model, model, x))
        whole = model.eval()(x)[0]
    first, again, other = results
    assert all(torch.equal(*each) for each in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], whole)
    torch.testing.assert_close(whole, model(x)[0], rtol=1e-5, atol=1e-6)
