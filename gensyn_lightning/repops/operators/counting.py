"""How often values occur: histograms, counts and the different ones, composed of sorts and sums."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed

_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
# Torch's own kernel counts exactly, whatever is registered later.
_COUNT = torch.library.get_kernel("aten::bincount", "CPU")


@composed("bincount", out="bincount.out")
def bincount(self: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often every whole number occurs, or the sums of its weights in order."""
    if weights is None:
        found: Tensor = _COUNT.call_boxed(_CPU, self, None, minlength)
        return found
    if self.dim() != 1 or self.is_floating_point() or self.is_complex():
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    values = self.long()
    if bool((values < 0).any()):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights.shape != self.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    count = max(minlength, int(values.max()) + 1 if values.numel() else 0)
    kind = torch.float32 if weights.dtype is torch.float32 else torch.float64
    return torch.zeros(count, dtype=kind).index_add(0, values, weights.to(kind))


@composed("histc", out="histc.out")
def histc(self: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Return how many elements fall in each of equal parts of a range, its last end included."""
    if bins <= 0:
        raise RuntimeError("bins must be > 0")
    x = self.reshape(-1).double()
    low, high = _range(x, min, max)
    place = ((x - low) * float(bins) / (high - low)).clamp(max=float(bins - 1))
    inside = (x >= low) & (x <= high)
    return bincount(place[inside].long(), minlength=bins).to(self.dtype)


def _range(x: Tensor, low: float, high: float) -> tuple[float, float]:
    if low == high and x.numel():
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise RuntimeError(f"range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("max must be larger than min")
    return float(low), float(high)


@composed("histogram.bin_ct", out="histogram.bin_ct_out")
def histogram(
    self: Tensor,
    bins: int = 100,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the sums of weights in each of equal parts of a range, and the parts' ends."""
    low, high = _range(self.reshape(-1).double(), *(range or (0.0, 0.0)))
    edges = torch.linspace(low, high, bins + 1, dtype=self.dtype)
    return histogram_of_bins(self, edges, weight=weight, density=density)


@composed("histogram.bins_tensor", out="histogram.bins_tensor_out")
def histogram_of_bins(
    self: Tensor, bins: Tensor, *, weight: Tensor | None = None, density: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the sums of weights between ends given, the last end included, and the ends."""
    x = self.reshape(-1)
    weights = torch.ones_like(x) if weight is None else weight.reshape(-1)
    place = torch.searchsorted(bins, x, right=True) - 1
    place = torch.where(x == bins[-1], torch.full_like(place, bins.shape[0] - 2), place)
    inside = (place >= 0) & (place < bins.shape[0] - 1)
    found = torch.zeros(bins.shape[0] - 1, dtype=self.dtype)
    found = found.index_add(0, place[inside], weights[inside])
    if density:
        found = found / (found.sum() * bins.diff())
    return found, bins.clone()


@composed("_unique2", out="_unique2.out")
def unique2(
    self: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the different elements in order, where each is, and how often; one of the zeros."""
    x = self.reshape(-1)
    values, order = _sorted(x)
    fresh = _fresh(values[1:] != values[:-1], x.shape[0])
    inverse, counts = _groups(fresh, order, return_inverse, return_counts)
    return values[fresh], inverse.reshape(self.shape) if return_inverse else inverse, counts


@composed("_unique", out="_unique.out")
def unique(
    self: Tensor, sorted: bool = True, return_inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the different elements in order, and where each is."""
    return unique2(self, sorted, return_inverse)[:2]


@composed("unique_dim", out="unique_dim.out")
def unique_dim(
    self: Tensor,
    dim: int,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the different slices along `dim` in order of their elements, first element first."""
    rows = self.transpose(0, dim).flatten(1) if self.dim() > 1 else self[:, None]
    order = torch.arange(rows.shape[0])
    for at in reversed(range(rows.shape[1])):
        order = order[_sorted(rows[order, at])[1]]
    return _of_rows(self, rows[order], order, dim, return_inverse, return_counts)


@composed("unique_dim_consecutive", out="unique_dim_consecutive.out")
def unique_dim_consecutive(
    self: Tensor, dim: int, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the slices along `dim` that are not equal to the one before."""
    rows = self.transpose(0, dim).flatten(1) if self.dim() > 1 else self[:, None]
    order = torch.arange(rows.shape[0])
    return _of_rows(self, rows, order, dim, return_inverse, return_counts)


def _of_rows(
    self: Tensor, rows: Tensor, order: Tensor, dim: int, with_inverse: bool, with_counts: bool
) -> tuple[Tensor, Tensor, Tensor]:
    fresh = _fresh((rows[1:] != rows[:-1]).any(1), rows.shape[0])
    inverse, counts = _groups(fresh, order, with_inverse, with_counts)
    return self.index_select(dim, order[fresh]), inverse, counts


def _sorted(x: Tensor) -> tuple[Tensor, Tensor]:
    if x.dtype is torch.bool:
        values, order = torch.sort(x.to(torch.uint8), stable=True)
        return values.bool(), order
    values, order = torch.sort(x, stable=True)
    return values, order


def _fresh(changes: Tensor, count: int) -> Tensor:
    """Return which elements begin a group of equal ones."""
    first = torch.ones(min(count, 1), dtype=torch.bool)
    return torch.cat([first, changes])


def _groups(
    fresh: Tensor, order: Tensor, with_inverse: bool, with_counts: bool
) -> tuple[Tensor, Tensor]:
    """Return the group of every element as it was before it was sorted, and groups' sizes."""
    group = fresh.long().cumsum(0) - 1
    none = torch.empty(0, dtype=torch.int64)
    inverse = torch.empty_like(group).scatter(0, order, group) if with_inverse else none
    return inverse, bincount(group) if with_counts else none
