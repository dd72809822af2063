"""Samples of images at places of a grid, and the gradients of both.

A sample is a sum over the pixels around its place, first dimension slowest, each times its weight:
2 along each dimension, 4 if cubic, 1 if nearest. What an image gets back is added up in the order
of pixels around a place, then of places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from itertools import product
from operator import mul

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed

_CUBIC = -0.75


class Mode(IntEnum):
    """How a sample is made of pixels; torch's numbers."""

    LINEAR = 0
    NEAREST = 1
    CUBIC = 2


class Outside(IntEnum):
    """What is outside of an image; torch's numbers."""

    ZEROS = 0
    BORDER = 1
    REFLECTION = 2


@dataclass(frozen=True, slots=True)
class Tap:
    """One pixel for each place along one dimension: where it is, its weight, the weight's slope."""

    at: Tensor
    weight: Tensor
    slope: Tensor


@dataclass(frozen=True, slots=True)
class Rule:
    """How places become pixels."""

    mode: Mode
    outside: Outside
    aligned: bool

    def taps(self, place: Tensor, size: int) -> list[Tap]:
        """Return the pixels around places, given between -1 and 1, along one dimension."""
        raw, scale = self._unscaled(place, size)
        if self.mode is Mode.CUBIC:
            return self._cubic(raw, scale, size)
        raw, sign = self._inside(raw, size)
        slope = sign * scale
        if self.mode is Mode.NEAREST:
            return [Tap(_whole(raw.round()), torch.ones_like(raw), torch.zeros_like(raw))]
        low = raw.floor()
        above = raw - low
        return [
            Tap(_whole(low), 1.0 - above, -slope),
            Tap(_whole(low) + 1, above, slope),
        ]

    def _unscaled(self, place: Tensor, size: int) -> tuple[Tensor, float]:
        """Return places in pixels, and how many pixels one unit is."""
        if self.aligned:
            scale = (size - 1) / 2
            return (place + 1.0) * scale, scale
        return ((place + 1.0) * float(size) - 1.0) / 2.0, size / 2

    def _inside(self, at: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return places moved into the image, and the sign of the slope of that, or 0."""
        if self.outside is Outside.ZEROS:
            return at, torch.ones_like(at)
        sign = torch.ones_like(at)
        if self.outside is Outside.REFLECTION:
            ends = (0.0, float(size - 1)) if self.aligned else (-0.5, size - 0.5)
            at, sign = _reflected(at, *ends)
        within = (at > 0) & (at < float(size - 1))
        return _clipped(at, size), torch.where(within, sign, 0.0)

    def _cubic(self, raw: Tensor, scale: float, size: int) -> list[Tap]:
        low = raw.floor()
        above = raw - low
        whole = _whole(low)
        found = []
        for number, (weight, slope) in enumerate(zip(*_cubic_weights(above), strict=True)):
            at = whole + (number - 1)
            if self.outside is not Outside.ZEROS:
                at = _whole(self._inside(at.float(), size)[0])
            found.append(Tap(at, weight, slope * scale))
        return found


def _whole(at: Tensor) -> Tensor:
    """Return whole numbers; what is no number or far away becomes -2**30, outside of any image."""
    far = ~(at.abs() < 2.0**30)
    return torch.where(far, -(2.0**30), at).long()


def _clipped(at: Tensor, size: int) -> Tensor:
    """Return places moved to the nearest in the image; what is no number to the first."""
    return torch.where(at > 0, at, 0.0).clamp(max=float(size - 1))


def _reflected(at: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return places between two ends, reflected as often as it takes, and the sign of the slope."""
    span = high - low
    if span == 0:
        return torch.zeros_like(at), torch.zeros_like(at)
    away = (at - low).abs()
    sign = torch.where(at - low < 0, -1.0, 1.0)
    times = (away / span).floor()
    extra = away - times * span
    even = torch.fmod(times, 2.0) == 0
    place = torch.where(even, extra + low, (span - extra) + low)
    return place, torch.where(even, sign, -sign)


def _cubic_weights(t: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights of four pixels, and their slopes, the place being `t` past the second."""
    weights, slopes = [], []
    for away, sign, near in ((t + 1.0, 1.0, False), (t, 1.0, True), (1.0 - t, -1.0, True),
                             (2.0 - t, -1.0, False)):  # fmt: skip
        if near:
            weight = ((_CUBIC + 2.0) * away - (_CUBIC + 3.0)) * away * away + 1.0
            slope = (3.0 * (_CUBIC + 2.0) * away - 2.0 * (_CUBIC + 3.0)) * away
        else:
            weight = ((_CUBIC * away - 5.0 * _CUBIC) * away + 8.0 * _CUBIC) * away - 4.0 * _CUBIC
            slope = (3.0 * _CUBIC * away - 10.0 * _CUBIC) * away + 8.0 * _CUBIC
        weights.append(weight)
        slopes.append(sign * slope)
    return weights, slopes


@dataclass(frozen=True, slots=True)
class Sampling:
    """Every place's taps along each dimension of the images, the first dimension first."""

    taps: list[list[Tap]]
    sizes: Sequence[int]

    def around(self) -> list[tuple[Tap, ...]]:
        """Return every combination of taps, the last dimension's changing fastest."""
        return list(product(*self.taps))

    def index(self, taps: Sequence[Tap]) -> tuple[Tensor, Tensor]:
        """Return the linear places [N, L] of pixels, 0 for those outside, and which are inside."""
        place = torch.zeros_like(taps[0].at)
        valid = torch.ones_like(place, dtype=torch.bool)
        for tap, size in zip(taps, self.sizes, strict=True):
            valid = valid & (tap.at >= 0) & (tap.at < size)
            place = place * size + tap.at
        return torch.where(valid, place, torch.zeros_like(place)), valid


def _sampling(images: Tensor, grid: Tensor, mode: int, outside: int, aligned: bool) -> Sampling:
    rule = Rule(Mode(mode), Outside(outside), aligned)
    sizes = images.shape[2:]
    places = grid.float().reshape(grid.shape[0], -1, len(sizes))
    return Sampling([rule.taps(places[..., -1 - at], size) for at, size in enumerate(sizes)], sizes)


def _weight(taps: Sequence[Tap], valid: Tensor) -> Tensor:
    return torch.where(valid, reduce(mul, [each.weight for each in taps]), 0.0)


def _at(images: Tensor, place: Tensor) -> Tensor:
    """Return the pixels [N, C, L]."""
    return images.gather(2, place[:, None, :].expand(-1, images.shape[1], -1))


@composed("grid_sampler_2d", "grid_sampler_3d", out="grid_sampler_2d.out grid_sampler_3d.out")
def grid_sampler(
    input: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Tensor:
    """Return the samples [N, C, ...] of images at the places of a grid [N, ..., dimensions]."""
    sampling = _sampling(input, grid, interpolation_mode, padding_mode, align_corners)
    flat = input.float().flatten(2)
    found = flat.new_zeros(*flat.shape[:2], grid[0, ..., 0].numel() if grid.numel() else 0)
    for taps in sampling.around() if found.numel() else []:
        place, valid = sampling.index(taps)
        pixels = torch.where(valid[:, None], _at(flat, place), 0.0)
        found = found + pixels * _weight(taps, valid)[:, None]
    return found.reshape(*input.shape[:2], *grid.shape[1:-1]).to(input.dtype)


@composed("grid_sampler_2d_backward", "grid_sampler_3d_backward")
def grid_sampler_backward(
    grad_output: Tensor,
    input: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor]:
    """Return the gradients of images and grid."""
    sampling = _sampling(input, grid, interpolation_mode, padding_mode, align_corners)
    flat, grad = input.float().flatten(2), grad_output.float().flatten(2)
    places, shares = [], []
    slopes = [torch.zeros(grad.shape[0], grad.shape[2]) for _ in sampling.sizes]
    for taps in sampling.around():
        place, valid = sampling.index(taps)
        places.append(place[:, None, :].expand(grad.shape))
        shares.append(grad * _weight(taps, valid)[:, None])
        along = torch.where(valid, (_at(flat, place) * grad).sum(1), 0.0)
        for at in range(len(taps)):
            others = [tap.slope if own == at else tap.weight for own, tap in enumerate(taps)]
            slopes[at] = slopes[at] + along * reduce(mul, others)
    found = None
    if output_mask[0]:
        found = torch.zeros(flat.shape)
        found.scatter_add_(2, torch.cat(places, 2), torch.cat(shares, 2))
        found = found.reshape(input.shape).to(input.dtype)
    return found, torch.stack(slopes[::-1], -1).reshape(grid.shape).to(grid.dtype)
