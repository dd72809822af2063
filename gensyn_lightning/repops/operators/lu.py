"""Factorisation into triangles with the rows in another order, and what it solves.

Gaussian elimination by columns; of a column's remaining elements the first of the largest becomes
the pivot. Everything is computed in binary64 and rounded once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.operators.triangular import (
    batched,
    check_fits,
    check_square,
    checked,
    flat,
    substituted,
    wide,
)
from gensyn_lightning.repops.plan import broadcast

Factors = tuple[Tensor, Tensor, Tensor]


def factorised(a: Tensor) -> Factors:
    """Return both factors in one matrix, pivots from 1 on, and 0 or the first pivot that is 0."""
    *batch, rows, columns = a.shape
    lu = flat(a).clone(memory_format=torch.contiguous_format)
    count = min(rows, columns)
    every = torch.arange(lu.shape[0])
    pivots = torch.zeros(lu.shape[0], count, dtype=torch.int32)
    info = torch.zeros(lu.shape[0], dtype=torch.int32)
    for at in range(count):
        chosen = lu[:, at:, at].abs().argmax(-1) + at
        pivots[:, at] = chosen + 1
        row = lu[every, chosen]
        lu[every, chosen] = lu[:, at].clone()
        lu[:, at] = row
        pivot = lu[:, at, at]
        none = pivot == 0
        info = torch.where(none & (info == 0), torch.full_like(info, at + 1), info)
        column = lu[:, at + 1 :, at] / torch.where(none, torch.ones_like(pivot), pivot)[:, None]
        lu[:, at + 1 :, at] = column
        lu[:, at + 1 :, at + 1 :].sub_(column[..., None] * lu[:, at, None, at + 1 :])
    return lu.reshape(a.shape), pivots.reshape(*batch, count), info.reshape(batch)


def places(pivots: Tensor, size: int) -> Tensor:
    """Return which row of the matrix every row of its factors is."""
    found = torch.arange(size).expand(*pivots.shape[:-1], size).clone()
    for at in range(pivots.shape[-1]):
        other = pivots[..., at : at + 1].long() - 1
        here = found[..., at : at + 1].clone()
        found[..., at : at + 1] = found.gather(-1, other)
        found.scatter_(-1, other, here)
    return found


def solved(lu: Tensor, order: Tensor, b: Tensor, *, transposed: bool) -> Tensor:
    """Return x with a x = b, or with a transposed, by the factors of a."""
    check_fits(lu, b)
    lu, b = batched(lu, b)
    index = order[..., None].expand(b.shape)
    if not transposed:
        between = substituted(lu, b.gather(-2, index), upper=False, unit=True)
        return substituted(lu, between, upper=True)
    between = substituted(lu.mT, b, upper=False)
    between = substituted(lu.mT, between, upper=True, unit=True)
    return torch.empty_like(between).scatter_(-2, index, between)


def _solved(a: Tensor, b: Tensor, *, left: bool) -> tuple[Tensor, Factors]:
    factors = factorised(a)
    order = places(factors[1], a.shape[-1])
    if left:
        return solved(factors[0], order, b, transposed=False), factors
    return solved(factors[0], order, b.mT, transposed=True).mT, factors


def _for_gradients(self: Tensor, factors: Factors, *, turned: bool) -> tuple[Tensor, Tensor]:
    """Return factors and pivots as torch's formulas of gradients expect them.

    Where `turned` is set they take those of a contiguous matrix to be those of the transposed one.
    """
    if turned and self.is_contiguous():
        factors = factorised(self.double().mT)
    return factors[0].to(self.dtype), factors[1]


def _solve_turns() -> bool:
    """Return whether this torch's `linalg.solve` is one that factorises the transposed matrix."""
    kept = torch._linalg_solve_ex(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.ones(2))
    return float(kept.LU[0, 0]) == 2.0


_SOLVE_TURNS = _solve_turns()  # asked before anything of ours is in the place of torch's own


@composed("linalg_lu_factor_ex", out="linalg_lu_factor_ex.out")
def linalg_lu_factor_ex(
    matrix: Tensor,
    *,
    pivot: bool = True,
    check_errors: bool = False,
) -> Factors:
    """Return both factors in one matrix, the pivots, and 0 or the first pivot that is 0."""
    [a] = _matrices("linalg.lu_factor", matrix, pivot)
    lu, pivots, info = factorised(a)
    if check_errors:
        checked(info, "torch.linalg.lu_factor_ex", matrix)
    return lu.to(matrix.dtype), pivots, info


@composed("linalg_lu", out="linalg_lu.out")
def linalg_lu(matrix: Tensor, *, pivot: bool = True) -> Factors:
    """Return a permutation, a lower triangle with ones on its diagonal, and an upper triangle."""
    [a] = _matrices("linalg.lu", matrix, pivot)
    lu, pivots, _ = factorised(a)
    count = pivots.shape[-1]
    order = places(pivots, a.shape[-2])
    swapped = torch.zeros(*a.shape[:-1], a.shape[-2], dtype=matrix.dtype)
    swapped.scatter_(-2, order[..., None, :], 1.0)
    lower = lu[..., :count].tril(-1) + torch.eye(a.shape[-2], count, dtype=a.dtype)
    return swapped, lower.to(matrix.dtype), lu[..., :count, :].triu().to(matrix.dtype)


@composed("linalg_lu_solve", out="linalg_lu_solve.out")
def linalg_lu_solve(
    factors: Tensor,
    pivots: Tensor,
    right: Tensor,
    *,
    left: bool = True,
    adjoint: bool = False,
) -> Tensor:
    """Return x with a x = B or x a = B, a being given by its factors and transposed or not."""
    check_square("linalg.lu_solve", factors)
    lu, b = wide("linalg.lu_solve", factors, right)
    order = places(pivots, factors.shape[-1])
    batch = broadcast(lu.shape[:-2], b.shape[:-2])
    order = order.expand(*batch, order.shape[-1])
    if left:
        return solved(lu, order, b, transposed=adjoint).to(right.dtype)
    return solved(lu, order, b.mT, transposed=not adjoint).mT.to(right.dtype)


@composed("_linalg_solve_ex", out="_linalg_solve_ex.result")
def linalg_solve_ex(
    matrix: Tensor,
    right: Tensor,
    *,
    left: bool = True,
    check_errors: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x with A x = B, or x A = B; then what its gradient takes, and if A is singular."""
    check_square("linalg.solve", matrix)
    a, b = wide("linalg.solve", matrix, right)
    vector = right.dim() == 1 or (
        matrix.dim() - 1 == right.dim() and right.shape == matrix.shape[:-1]
    )
    if vector:
        b = b[..., None] if left else b[..., None, :]
    a, b = batched(a, b)
    found, factors = _solved(a, b, left=left)
    if check_errors:
        checked(factors[2], "torch.linalg.solve_ex", matrix)
    found = found.squeeze(-1 if left else -2) if vector else found
    factors = factors if a.shape == matrix.shape else factorised(matrix.double())
    kept = _for_gradients(matrix, factors, turned=_SOLVE_TURNS)
    return found.to(right.dtype), *kept, factors[2]


@composed("linalg_inv_ex", out="linalg_inv_ex.inverse")
def linalg_inv_ex(
    matrix: Tensor,
    *,
    check_errors: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the inverse, and for each matrix 0 or the first pivot that is 0."""
    check_square("linalg.inv", matrix)
    [a] = wide("linalg.inv", matrix)
    unit = torch.eye(a.shape[-1], dtype=a.dtype).expand(a.shape)
    found, (_, _, info) = _solved(a, unit, left=True)
    if check_errors:
        checked(info, "linalg.inv_ex", matrix)
    return found.to(matrix.dtype), info


@composed("_linalg_det", out="_linalg_det.result")
def linalg_det(matrix: Tensor) -> Factors:
    """Return the determinant, and what its gradient takes."""
    check_square("linalg.det", matrix)
    [a] = wide("linalg.det", matrix)
    factors = factorised(a)
    value = _sign(factors[1]) * _diagonal(factors[0]).prod(-1)
    return value.to(matrix.dtype), *_for_gradients(matrix, factors, turned=True)


@composed("_linalg_slogdet", out="_linalg_slogdet.sign")
def linalg_slogdet(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the determinant's sign and logarithm, and what its gradient takes."""
    check_square("linalg.slogdet", matrix)
    [a] = wide("linalg.slogdet", matrix)
    factors = factorised(a)
    diagonal = _diagonal(factors[0])
    sign = _sign(factors[1]) * diagonal.sign().prod(-1)
    size = diagonal.abs().to(matrix.dtype).log().double().sum(-1)
    return (
        sign.to(matrix.dtype),
        size.to(matrix.dtype),
        *_for_gradients(matrix, factors, turned=True),
    )


def _matrices(name: str, a: Tensor, pivot: bool) -> list[Tensor]:
    if a.dim() < 2:
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions.")
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")
    return wide(name, a)


def _diagonal(lu: Tensor) -> Tensor:
    return lu.diagonal(dim1=-2, dim2=-1)


def _sign(pivots: Tensor) -> Tensor:
    """Return -1 for an odd number of exchanges, else 1."""
    own = torch.arange(1, pivots.shape[-1] + 1)
    return 1.0 - 2.0 * ((pivots != own).sum(-1) % 2).double()
