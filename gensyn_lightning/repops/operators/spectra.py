"""Eigenvalues of symmetric matrices, singular values, and the exponential of a matrix.

Both decompositions are Jacobi's: sweeps of rotations, each of which makes one pair of columns
orthogonal, as many at once as there are disjoint pairs. They are computed in binary64 and rounded
once. The exponential is a Taylor series of the matrix divided by a power of two, and squared again.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.operators.orthogonal import product, reflected
from gensyn_lightning.repops.operators.triangular import check_square, flat, wide

SWEEPS_MAX = 40
_SMALL = 2.0**-51
_TERMS = 12  # of the exponential's series, for matrices of a norm of at most 1/2


def rounds(size: int) -> list[tuple[Tensor, Tensor]]:
    """Return every pair of places, in rounds of disjoint pairs, as a tournament has them."""
    order = [*range(size), *([-1] if size % 2 else [])]
    found = []
    for _ in range(len(order) - 1):
        half = len(order) // 2
        pairs = [
            (min(pair), max(pair))
            for pair in zip(order[:half], reversed(order[half:]), strict=True)
            if -1 not in pair
        ]
        found.append((torch.tensor([a for a, _ in pairs]), torch.tensor([b for _, b in pairs])))
        order = [order[0], order[-1], *order[1:-1]]
    return found


def _rotation(along: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosine and sine that make [[first, along], [along, second]] diagonal."""
    none = along == 0
    ratio = (second - first) / (2.0 * torch.where(none, torch.ones_like(along), along))
    size = ratio.abs() + (ratio * ratio + 1.0).sqrt()
    tangent = torch.where(ratio < 0, -1.0 / size, 1.0 / size)
    tangent = torch.where(none, torch.zeros_like(tangent), tangent)
    cosine = 1.0 / (tangent * tangent + 1.0).sqrt()
    return cosine, tangent * cosine


def _turn(matrix: Tensor, a: Tensor, b: Tensor, cosine: Tensor, sine: Tensor) -> None:
    """Rotate pairs of a batch's columns, in place."""
    first, second = matrix[:, :, a], matrix[:, :, b]
    cosine, sine = cosine[:, None], sine[:, None]
    matrix[:, :, a] = cosine * first - sine * second
    matrix[:, :, b] = sine * first + cosine * second


def symmetric(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues in ascending order, and eigenvectors, of a batch of symmetric matrices."""
    size = a.shape[-1]
    made, vectors = a.clone(memory_format=torch.contiguous_format), _units(a.shape[0], size)
    total = (made * made).sum((-1, -2))
    pairs = rounds(size) if size > 1 else []
    for _ in range(SWEEPS_MAX):
        outside = made - torch.diag_embed(made.diagonal(dim1=-2, dim2=-1))
        if bool(((outside * outside).sum((-1, -2)) <= total * _SMALL**2).all()):
            break
        for first, second in pairs:
            along = made[:, first, second]
            cosine, sine = _rotation(along, made[:, first, first], made[:, second, second])
            _turn(made, first, second, cosine, sine)
            _turn(made.mT, first, second, cosine, sine)
            _turn(vectors, first, second, cosine, sine)
    values, order = made.diagonal(dim1=-2, dim2=-1).sort(dim=-1, stable=True)
    return values, vectors.gather(-1, order[:, None, :].expand(vectors.shape))


def singular(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return u, singular values in descending order and v of a batch with rows >= columns.

    The columns of u whose singular value is 0 are chosen orthogonal to the others.
    """
    size = a.shape[-1]
    made, turned = a.clone(memory_format=torch.contiguous_format), _units(a.shape[0], size)
    pairs = rounds(size) if size > 1 else []
    for _ in range(SWEEPS_MAX):
        done = True
        for first, second in pairs:
            left, right = made[:, :, first], made[:, :, second]
            along = (left * right).sum(1)
            sizes = (left * left).sum(1), (right * right).sum(1)
            small = along.abs() <= (sizes[0] * sizes[1]).sqrt() * _SMALL
            if bool(small.all()):
                continue
            done = False
            along = torch.where(small, torch.zeros_like(along), along)
            cosine, sine = _rotation(along, *sizes)
            _turn(made, first, second, cosine, sine)
            _turn(turned, first, second, cosine, sine)
        if done:
            break
    values, order = (made * made).sum(1).sqrt().sort(dim=-1, descending=True, stable=True)
    made = made.gather(-1, order[:, None, :].expand(made.shape))
    turned = turned.gather(-1, order[:, None, :].expand(turned.shape))
    none = values <= values[:, :1] * _SMALL
    u = made / torch.where(none, torch.ones_like(values), values)[:, None]
    return (_completed(u, none) if bool(none.any()) else u), values, turned


def _completed(u: Tensor, none: Tensor) -> Tensor:
    """Return u with orthogonal columns in the place of those marked, which come last."""
    marked = none[:, None].expand(u.shape)
    made, factors = reflected(torch.where(marked, torch.zeros_like(u), u))
    return torch.where(marked, product(made, factors, u.shape[-1]), u)


def _units(batch: int, size: int) -> Tensor:
    return torch.eye(size, dtype=torch.float64).expand(batch, size, size).clone()


@composed("_linalg_eigh", out="_linalg_eigh.eigenvalues")
def linalg_eigh(
    matrix: Tensor, triangle: str = "L", compute_v: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues in ascending order, and eigenvectors as columns."""
    check_square("linalg.eigh", matrix)
    [a] = wide("linalg.eigh", matrix)
    lower = a.tril() if triangle.upper() == "L" else a.triu().mT
    whole = lower + lower.tril(-1).mT
    values, vectors = symmetric(flat(whole))
    vectors = vectors.reshape(a.shape).to(matrix.dtype)
    return values.reshape(a.shape[:-1]).to(
        matrix.dtype
    ), vectors if compute_v else matrix.new_empty(0)


@composed("_linalg_svd", out="_linalg_svd.U")
def linalg_svd(
    matrix: Tensor,
    full_matrices: bool = False,
    compute_uv: bool = True,
    *,
    driver: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, the singular values in descending order, and V transposed."""
    if matrix.dim() < 2:
        raise RuntimeError("linalg.svd: The input tensor A must have at least 2 dimensions.")
    [a] = wide("linalg.svd", matrix)
    if not bool(a.isfinite().all()):
        raise LinAlgError(
            "linalg.svd: The algorithm failed to converge because the input matrix contained "
            "non-finite values."
        )
    *batch, rows, columns = a.shape
    u, values, v = singular(flat(a) if rows >= columns else flat(a).mT)
    if full_matrices and rows != columns:
        u = _squared(u)
    values = values.reshape(*batch, min(rows, columns)).to(matrix.dtype)
    if not compute_uv:
        return matrix.new_empty(0), values, matrix.new_empty(0)
    u, v = (u, v) if rows >= columns else (v, u)
    left = u.reshape(*batch, *u.shape[-2:]).to(matrix.dtype)
    return left, values, v.mT.reshape(*batch, *v.mT.shape[-2:]).to(matrix.dtype)


def _squared(u: Tensor) -> Tensor:
    """Return u with columns orthogonal to its own, as many as make it square."""
    made, factors = reflected(u)
    return torch.cat([u, product(made, factors, u.shape[-2])[..., u.shape[-1] :]], -1)


@composed("linalg_matrix_exp")
def linalg_matrix_exp(self: Tensor) -> Tensor:
    """Return the exponential, by products of binary32 matrices."""
    check_square("linalg.matrix_exp", self)
    [_] = wide("linalg.matrix_exp", self)
    a = flat(self.float())
    size = a.abs().sum(-2).amax(-1) if a.shape[-1] else a.new_zeros(a.shape[0])
    halvings = torch.zeros(a.shape[0], dtype=torch.int64)
    while bool((size > 0.5).any()):
        over = size > 0.5
        halvings += over
        a = torch.where(over[:, None, None], a * 0.5, a)
        size = torch.where(over, size * 0.5, size)
        if not bool((size < float("inf")).all()):
            return torch.full_like(self, float("nan"))
    unit = torch.eye(a.shape[-1]).expand(a.shape)
    made = unit
    for at in range(_TERMS, 0, -1):
        made = unit + torch.bmm(a, made) / at
    for at in range(int(halvings.max()) if halvings.numel() else 0):
        made = torch.where((halvings > at)[:, None, None], torch.bmm(made, made), made)
    return made.reshape(self.shape).to(self.dtype)
