"""Factorisation into an orthogonal matrix and a triangle, by Householder's reflections.

matrix reflection is kept as LAPACK keeps it: 1, then a column's rest, and a factor; the triangle's
diagonal has the sign opposite to the column's first element. All is computed in binary64 and
rounded once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.operators.triangular import substituted, wide

_EPSILON = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def reflected(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return the triangle with reflections below it, and their factors."""
    made = a.clone(memory_format=torch.contiguous_format)
    rows, columns = made.shape[-2:]
    count = min(rows, columns)
    factors = torch.zeros(*made.shape[:-2], count, dtype=made.dtype)
    for at in range(count):
        first, rest = made[..., at, at], made[..., at + 1 :, at]
        square = (rest * rest).sum(-1)
        size = (first * first + square).sqrt()
        none = square == 0
        new = torch.where(none, first, torch.where(first < 0, size, -size))
        unit = torch.ones_like(new)
        factor = torch.where(none, 0.0, (new - first) / torch.where(none, unit, new))
        column = rest / torch.where(none, unit, first - new)[..., None]
        made[..., at, at] = new
        made[..., at + 1 :, at] = column
        factors[..., at] = factor
        _reflect(made[..., at:, at + 1 :], column, factor)
    return made, factors


def _reflect(block: Tensor, column: Tensor, factor: Tensor) -> None:
    """Apply one reflection, in place."""
    wide_column = column[..., None]
    along = block[..., 0, :] + (wide_column * block[..., 1:, :]).sum(-2)
    along = along * factor[..., None]
    block[..., 0, :].sub_(along)
    block[..., 1:, :].sub_(wide_column * along[..., None, :])


def product(reflections: Tensor, factors: Tensor, columns: int) -> Tensor:
    """Return so many first columns of the product of reflections."""
    rows = reflections.shape[-2]
    made = torch.eye(rows, columns, dtype=reflections.dtype)
    made = made.expand(*reflections.shape[:-2], rows, columns).clone()
    return _applied(reflections, factors, made, backwards=True)


def _applied(reflections: Tensor, factors: Tensor, to: Tensor, *, backwards: bool) -> Tensor:
    """Have reflections applied to a matrix, in place: the last one first if `backwards`."""
    order = range(factors.shape[-1])
    for at in reversed(order) if backwards else order:
        _reflect(to[..., at:, :], reflections[..., at + 1 :, at], factors[..., at])
    return to


@composed("linalg_qr", out="linalg_qr.out")
def linalg_qr(matrix: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Return an orthogonal matrix and an upper triangle."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    if matrix.dim() < 2:
        raise RuntimeError("linalg.qr: The input tensor A must have at least 2 dimensions.")
    [a] = wide("linalg.qr", matrix)
    made, factors = reflected(a)
    kept = a.shape[-2] if mode == "complete" else factors.shape[-1]
    triangle = made[..., :kept, :].triu().to(matrix.dtype)
    if mode == "r":
        return matrix.new_empty(0), triangle
    return product(made, factors, kept).to(matrix.dtype), triangle


@composed("geqrf", out="geqrf.a")
def geqrf(self: Tensor) -> tuple[Tensor, Tensor]:
    """Return the triangle with reflections below it, and their factors."""
    made, factors = reflected(*wide("geqrf", self))
    return made.to(self.dtype), factors.to(self.dtype)


@composed("linalg_householder_product", out="linalg_householder_product.out")
def linalg_householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """Return the first columns of the product of reflections."""
    if input.dim() < 2 or input.shape[-2] < input.shape[-1]:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            "input.shape[-1]"
        )
    reflections, factors = wide("linalg.householder_product", input, tau)
    return product(reflections, factors, input.shape[-1]).to(input.dtype)


@composed("ormqr", out="ormqr.out")
def ormqr(
    self: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """Return a matrix times the product of reflections, from the left or the right."""
    reflections, factors, other = wide("ormqr", self, input2, input3)
    other = (other if left else other.mT).clone(memory_format=torch.contiguous_format)
    made = _applied(reflections, factors, other, backwards=left != transpose)
    return (made if left else made.mT).to(input3.dtype)


@composed("linalg_lstsq", out="linalg_lstsq.out")
def linalg_lstsq(
    self: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the x for which self x is nearest to b, then residuals and ranks as torch does.

    Raises `NotReproducible` for matrices that are not of full rank.
    """
    if driver not in (None, "gels", "gelsy"):
        raise NotReproducible(f"linalg.lstsq by {driver} is not defined", hint='driver="gelsy"')
    a, right = wide("linalg.lstsq", self, b)
    vector = self.dim() - 1 == b.dim() and b.shape == self.shape[:-1]
    right = right[..., None] if vector else right
    rows, columns = a.shape[-2:]
    made, factors = reflected(a if rows >= columns else a.mT)
    count = factors.shape[-1]
    diagonal = made.diagonal(dim1=-2, dim2=-1).abs()
    least = diagonal.amax(-1, keepdim=True) * (max(rows, columns) * _EPSILON[self.dtype])
    if not bool((diagonal > least).all()):
        raise NotReproducible("a matrix is not of full rank", hint="use torch.linalg.pinv")
    turned = product(made, factors, count)
    if rows >= columns:
        along = (turned[..., None] * right[..., None, :]).sum(-3)
        found = substituted(made[..., :count, :], along, upper=True)
    else:
        along = substituted(made[..., :count, :].mT, right, upper=False)
        found = (turned[..., None] * along[..., None, :, :]).sum(-2)
    residuals = self.new_empty(0)
    if driver == "gels" and rows > columns:
        made_of = (a[..., None] * found[..., None, :, :]).sum(-2) - right
        residuals = (made_of * made_of).sum(-2).to(self.dtype)
    rank = torch.full(a.shape[:-2] if driver != "gels" else (0,), count, dtype=torch.int64)
    found = found.squeeze(-1) if vector else found
    return found.to(b.dtype), residuals, rank, self.new_empty(0)
