"""The connectionist loss of sequences that are not aligned, composed step by step along time.

A target of S classes has 2 S + 1 states: blanks before, between and after them. `alpha` is the
logarithm of the chance of all ways to be in a state at a time, `beta` of all ways from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed

_NONE = float("-inf")
Lengths = Sequence[int] | Tensor


@dataclass(frozen=True, slots=True)
class _Batch:
    """Logarithms [T, N, C], and of every sequence its states' classes [N, K] and its lengths."""

    logs: Tensor
    states: Tensor
    times: Tensor
    lengths: Tensor
    skips: Tensor  # whether a state can be reached from the state two before

    @property
    def of_states(self) -> Tensor:
        """The logarithms [T, N, K] of every state's class."""
        return self.logs.gather(2, self.states.expand(self.logs.shape[0], *self.states.shape))

    @property
    def is_state(self) -> Tensor:
        """Which states are of a sequence's own."""
        return torch.arange(self.states.shape[1]) < (2 * self.lengths + 1)[:, None]


@composed("_ctc_loss", "_ctc_loss.Tensor")
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return each sequence's loss, and alpha [N, T, K]."""
    batch = _batch(log_probs, targets, input_lengths, target_lengths, blank)
    logs = batch.of_states
    count, states = batch.states.shape
    start = torch.arange(states) < torch.minimum(2 * batch.lengths, torch.tensor(1))[:, None] + 1
    now = torch.where(start, logs[0], _NONE) if logs.shape[0] else logs.new_zeros(count, states)
    steps = [now]
    for at in range(1, logs.shape[0]):
        stay = torch.stack([now, _moved(now, 1), torch.where(batch.skips, _moved(now, 2), _NONE)])
        now = torch.where(batch.is_state, _log_sum(stay) + logs[at], _NONE)
        steps.append(now)
    alpha = torch.stack(steps, 1)
    last = alpha[torch.arange(count), (batch.times - 1).clamp(min=0)]
    ends = torch.stack([2 * batch.lengths, (2 * batch.lengths - 1).clamp(min=0)], 1)
    both = last.gather(1, ends)
    only = torch.tensor([False, True]) & (batch.lengths == 0)[:, None]
    loss = -_log_sum(torch.where(only, _NONE, both).T)
    nothing = torch.where(batch.lengths == 0, 0.0, -_NONE)
    loss = torch.where(batch.times == 0, nothing, loss)
    return loss.to(log_probs.dtype), alpha.to(log_probs.dtype)


@composed("_ctc_loss_backward", "_ctc_loss_backward.Tensor")
def ctc_loss_backward(
    grad: Tensor,
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    neg_log_likelihood: Tensor,
    log_alpha: Tensor,
    blank: int,
    zero_infinity: bool = False,
) -> Tensor:
    """Return the gradient: every class's chance, less what of it the ways through states take."""
    batch = _batch(log_probs, targets, input_lengths, target_lengths, blank)
    logs, alpha = batch.of_states, log_alpha.float()
    loss = neg_log_likelihood.float()
    states = torch.arange(batch.states.shape[1])
    first = (states >= 2 * batch.lengths[:, None] - 1) & batch.is_state
    ahead = torch.nn.functional.pad(batch.skips[:, 2:], (0, 2))
    now = torch.full(first.shape, _NONE)
    taken = torch.zeros(logs.shape[0], *batch.logs.shape[1:])
    for at in reversed(range(logs.shape[0])):
        stay = torch.stack([now, _moved(now, -1), torch.where(ahead, _moved(now, -2), _NONE)])
        ends = (batch.times == at + 1)[:, None]
        now = torch.where(ends, torch.where(first, 0.0, _NONE), _log_sum(stay)) + logs[at]
        now = torch.where(batch.is_state, now, _NONE)
        share = (alpha[:, at] + now + loss[:, None] - logs[at]).exp()
        taken[at].scatter_add_(1, batch.states, torch.where(now == _NONE, 0.0, share))
    found = (batch.logs.exp() - taken) * grad.float()[:, None]
    within = torch.arange(logs.shape[0])[:, None] < batch.times
    if zero_infinity:
        within = within & (loss != -_NONE)
    else:
        found = torch.where((loss == -_NONE)[:, None], float("nan"), found)
    return torch.where(within[:, :, None], found, 0.0).to(log_probs.dtype)


def _moved(x: Tensor, by: int) -> Tensor:
    """Return states moved up by so many places, or down; those that come in have no chance."""
    kept = x[:, : max(x.shape[1] - by, 0)] if by > 0 else x[:, -by:]
    empty = x.new_full((x.shape[0], x.shape[1] - kept.shape[1]), _NONE)
    return torch.cat([empty, kept] if by > 0 else [kept, empty], 1)


def _log_sum(x: Tensor) -> Tensor:
    """Return the logarithm of the sum of chances along the first dimension."""
    top = x.amax(0)
    safe = torch.where(top == _NONE, 0.0, top)
    return torch.where(top == _NONE, top, (x - safe).exp().sum(0).log() + safe)


def _batch(
    log_probs: Tensor, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths, blank: int
) -> _Batch:
    if not log_probs.is_floating_point() or log_probs.dim() != 3:
        raise RuntimeError("ctc_loss: log_probs must have 3 dimensions of floating point numbers")
    steps, count, classes = log_probs.shape
    times, lengths = _counts(input_lengths), _counts(target_lengths)
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if times.numel() != count or lengths.numel() != count:
        raise RuntimeError("input_lengths and target_lengths must be of size batch_size")
    if bool(((times < 0) | (times > steps)).any()):
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}")
    width = int(lengths.max()) if count else 0
    if targets.dim() > 1 and targets.shape[1] < width:
        raise RuntimeError(f"Expected tensor to have size at least {width} at dimension 1")
    named = _named(targets.long(), lengths, width, blank)
    states = torch.full((count, 2 * width + 1), blank, dtype=torch.int64)
    states[:, 1::2] = named
    skips = torch.zeros(states.shape, dtype=torch.bool)
    skips[:, 3::2] = named[:, 1:] != named[:, :-1]
    return _Batch(log_probs.float(), states, times, lengths, skips)


def _named(targets: Tensor, lengths: Tensor, width: int, blank: int) -> Tensor:
    """Return the classes [N, S], blank where a target has ended."""
    at = torch.arange(width)
    within = at < lengths[:, None]
    if targets.dim() == 1:
        places = (lengths.cumsum(0) - lengths)[:, None] + at
        places = torch.where(within, places, torch.zeros_like(places))
        found = targets[places] if targets.numel() else torch.zeros_like(places)
    else:
        found = targets[:, :width]
    return torch.where(within, found, torch.full_like(found, blank))


def _counts(lengths: Lengths) -> Tensor:
    if isinstance(lengths, Tensor):
        return lengths.long()
    return torch.tensor(lengths, dtype=torch.int64)
