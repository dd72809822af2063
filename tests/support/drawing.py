"""Tensors of every layout and all kinds of values, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 1e-3, -2.75, 88.0, -104.0, 3.4e38, 1e-45, -1.2e-38]
EDGES += [float("inf"), float("-inf"), float("nan"), 16777217.0, 2.0**-126, 65504.0, 1e10]
LAYOUTS = ("plain", "plain", "transposed", "sliced", "offset", "stretched")
ANY_VALUES = st.sampled_from(("normal", "normal", "edges", "bits", "whole"))
SIZES = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 17, 33])


def filled(shape: tuple[int, ...], values: str, seed: int) -> torch.Tensor:
    """Return a plain binary32 tensor with values of one kind."""
    source = np.random.default_rng(seed)
    if values == "edges":
        made = source.choice(np.array(EDGES), shape)
    elif values == "bits":
        made = source.integers(0, 2**32, shape, np.uint32).view(np.float32)
    elif values == "whole":
        made = source.integers(-3, 4, shape)
    else:
        made = source.standard_normal(shape) * source.choice([1.0, 1e-3, 40.0])
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(made, np.float32))


def laid(x: torch.Tensor, layout: str) -> torch.Tensor:
    """Return the same elements in memory of another layout."""
    if layout == "transposed":
        return x.transpose(0, -1).contiguous().transpose(0, -1) if x.dim() else x
    if layout == "sliced" and x.dim():
        wide = torch.zeros(*x.shape[:-1], 2 * x.shape[-1] + 1, dtype=x.dtype)
        wide[..., 1::2] = x
        return wide[..., 1::2]
    if layout == "offset":
        flat = torch.zeros(x.numel() + 3, dtype=x.dtype)
        return flat[3:].view(x.shape).copy_(x)
    if layout == "stretched" and x.dim() and x.shape[0]:
        return x[:1].expand(x.shape)
    return x


@st.composite
def tensors(
    draw: st.DrawFn,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    values: st.SearchStrategy[str] = ANY_VALUES,
    layouts: tuple[str, ...] = LAYOUTS,
) -> torch.Tensor:
    """Draw a tensor of `shape` and `dtype`."""
    x = filled(shape, draw(values), draw(st.integers(0, 2**31)))
    if not dtype.is_floating_point:
        x = x.nan_to_num(0, 100, -100).clamp(-100, 100)
    return laid(x.to(dtype), draw(st.sampled_from(layouts)))


@st.composite
def shapes(draw: st.DrawFn, least: int = 0, most: int = 4) -> tuple[int, ...]:
    """Draw a shape of few elements; now and then one that has a long row, or none at all."""
    rank = draw(st.integers(least, most))
    sizes = [draw(SIZES if at < 2 else st.integers(1, 4)) for at in range(rank)]
    if rank and draw(st.integers(0, 7)) == 0:
        sizes[draw(st.integers(0, rank - 1))] = draw(st.sampled_from([0, 257, 530]))
        sizes = [min(each, 3) if each < 100 else each for each in sizes]
    return tuple(sizes)


def shared(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape`, or one that broadcasts to it."""
    if draw(st.integers(0, 2)):
        return shape
    thin = tuple(1 if draw(st.booleans()) else each for each in shape)
    return thin[draw(st.integers(0, len(thin))) :]


def copied(value: Any) -> Any:
    """Return an argument whose memory nobody else writes, laid out as it was."""
    if isinstance(value, list | tuple):
        return [copied(each) for each in value]
    if not isinstance(value, torch.Tensor):
        return value
    memory = value.untyped_storage().clone()
    made = torch.empty(0, dtype=value.dtype)
    return made.set_(memory, value.storage_offset(), value.shape, value.stride())


def bits(value: Any) -> Any:
    """Return what can be compared bit for bit: NaN by NaN, zeros by sign."""
    if isinstance(value, list | tuple):
        return [bits(each) for each in value]
    if not isinstance(value, torch.Tensor):
        return value
    whole = value.contiguous()
    plain = whole.view(torch.int16) if value.dtype is torch.bfloat16 else whole
    return value.dtype, tuple(value.shape), plain.numpy(force=True).tobytes()
