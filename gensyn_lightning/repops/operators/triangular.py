"""Systems of triangular matrices and what Cholesky's factorisation makes them of.

Everything here is composed of operators on binary64 and rounded once. A system is solved column by
column: an unknown is found, and what it contributes is taken from every row that remains.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.hints import COMPLEX
from gensyn_lightning.repops.plan import broadcast


def wide(name: str, *tensors: Tensor) -> list[Tensor]:
    """Return real matrices of one type as binary64."""
    if len({each.dtype for each in tensors}) > 1:
        raise RuntimeError(f"{name}: Expected A and B to have the same dtype")
    for each in tensors:
        if each.is_complex():
            raise NotReproducible(f"{name} of complex tensors is not defined", hint=COMPLEX)
        if not each.is_floating_point():
            raise RuntimeError(f"{name}: Expected a floating point tensor, got {each.dtype}")
    return [each.double() for each in tensors]


def check_square(name: str, *tensors: Tensor) -> None:
    """Raise what torch raises for what is no square matrix, or no batch of them."""
    for each in tensors:
        if each.dim() < 2:
            raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
        if each.shape[-1] != each.shape[-2]:
            raise RuntimeError(
                f"{name}: A must be batches of square matrices, but they are "
                f"{each.shape[-2]} by {each.shape[-1]} matrices"
            )


def check_fits(a: Tensor, b: Tensor) -> None:
    """Raise what torch raises where a x = b cannot be."""
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            "Incompatible shapes of A and B for the equation AX = B "
            f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})"
        )


def flat(a: Tensor) -> Tensor:
    """Return a batch of matrices with one dimension of a batch."""
    return a.reshape(math.prod(a.shape[:-2]), *a.shape[-2:])


def batched(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return two batches of matrices, expanded to one batch."""
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    return a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:])


def substituted(a: Tensor, b: Tensor, *, upper: bool, unit: bool = False) -> Tensor:
    """Return x with a x = b, all binary64; only the triangle of `a` named is read."""
    check_fits(a, b)
    a, b = batched(a, b)
    x = b.clone(memory_format=torch.contiguous_format)
    size = a.shape[-1]
    for at in reversed(range(size)) if upper else range(size):
        rest = slice(0, at) if upper else slice(at + 1, size)
        row = x[..., at : at + 1, :]
        if not unit:
            row.div_(a[..., at : at + 1, at : at + 1])
        x[..., rest, :].sub_(a[..., rest, at : at + 1] * row)
    return x


@composed("linalg_solve_triangular", out="linalg_solve_triangular.out")
def linalg_solve_triangular(
    self: Tensor,
    right: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Tensor:
    """Return x with self x = B, or x self = B where `left` is not set."""
    check_square("linalg.solve_triangular", self)
    a, b = wide("linalg.solve_triangular", self, right)
    if left:
        return substituted(a, b, upper=upper, unit=unitriangular).to(right.dtype)
    return substituted(a.mT, b.mT, upper=not upper, unit=unitriangular).mT.to(right.dtype)


@composed("triangular_solve", out="triangular_solve.X")
def triangular_solve(
    self: Tensor,
    matrix: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return x with A x = self, or with A transposed, and a copy of A."""
    check_square("triangular_solve", matrix)
    a, b = wide("triangular_solve", matrix, self)
    if transpose:
        a, upper = a.mT, not upper
    found = substituted(a, b, upper=upper, unit=unitriangular).to(self.dtype)
    return found, batched(matrix, self)[0].clone()


@composed("linalg_cholesky_ex", out="linalg_cholesky_ex.L")
def linalg_cholesky_ex(
    self: Tensor, *, upper: bool = False, check_errors: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the factor, and for each matrix 0 or the order of a minor that is not positive."""
    check_square("linalg.cholesky", self)
    [a] = wide("linalg.cholesky", self)
    factor, info = _cholesky(a.mT if upper else a)
    if check_errors:
        checked(info, "linalg.cholesky_ex", self)
    return (factor.mT if upper else factor).to(self.dtype).contiguous(), info


@composed("cholesky", out="cholesky.out")
def cholesky(self: Tensor, upper: bool = False) -> Tensor:
    """Return the factor; raise if a matrix is not positive-definite."""
    factor, info = linalg_cholesky_ex(self, upper=upper)
    checked(info, "cholesky", self)
    return factor


@composed("_cholesky_solve_helper")
def cholesky_solve_helper(self: Tensor, matrix: Tensor, upper: bool) -> Tensor:
    """Return x with (A A') x = self, or (A' A) x = self if A is upper triangular."""
    a, b = wide("cholesky_solve", matrix, self)
    return _solved(a.mT if upper else a, b).to(self.dtype)


@composed("cholesky_inverse", out="cholesky_inverse.out")
def cholesky_inverse(self: Tensor, upper: bool = False) -> Tensor:
    """Return the inverse of the matrix that has this factor."""
    check_square("cholesky_inverse", self)
    [a] = wide("cholesky_inverse", self)
    unit = torch.eye(a.shape[-1], dtype=a.dtype)
    return _solved(a.mT if upper else a, unit).to(self.dtype)


def _solved(factor: Tensor, b: Tensor) -> Tensor:
    return substituted(factor.mT, substituted(factor, b, upper=False), upper=True)


def _cholesky(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return lower factors, by columns, and which minor is the first that is not positive."""
    size = a.shape[-1]
    factor = a.tril()
    info = torch.zeros(a.shape[:-2], dtype=torch.int32)
    for at in range(size):
        pivot = factor[..., at, at]
        bad = ~(pivot > 0) & (info == 0)
        info = torch.where(bad, torch.full_like(info, at + 1), info)
        root = pivot.sqrt()[..., None]
        column = factor[..., at + 1 :, at] / root
        factor[..., at, at : at + 1] = root
        factor[..., at + 1 :, at] = column
        factor[..., at + 1 :, at + 1 :].sub_(column[..., None] * column[..., None, :])
    return factor.tril(), info


def checked(info: Tensor, name: str, matrices: Tensor) -> None:
    """Raise torch's error if there is one."""
    check: Any = torch.ops.aten._linalg_check_errors
    check(info, name, is_matrix=matrices.dim() == 2)
