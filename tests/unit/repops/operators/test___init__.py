"""Functions of tensors that programs use: results and gradients agree with binary64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.hints import GENERAL
from gensyn_lightning.repops.registry import reproducible

pytestmark = pytest.mark.filterwarnings("ignore")
X, Y, SQUARE = (4, 6), (4, 6), (3, 5, 5)
Call = Callable[..., Any]


def positive(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64) * 1.9 + 0.05


def inside(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64) * 1.8 - 0.9


def definite(*shape: int) -> Tensor:
    root = torch.randn(shape, dtype=torch.float64)
    return root @ root.mT + torch.eye(shape[-1])


def triangle(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64).tril(-1) + 2 * torch.eye(shape[-1])


def points(*shape: int) -> Tensor:
    """Return places of a grid, some of them outside."""
    return torch.rand(shape, dtype=torch.float64) * 2.6 - 1.3


INDEX = torch.tensor([[0, 2, 1, 3, 0, 1], [3, 1, 1, 0, 2, 2]])
MASK = torch.tensor([True, False, True, True, False, True])

# Functions of tensors drawn from a normal distribution, by the shapes of their arguments.
NORMAL: dict[tuple[tuple[int, ...], ...], dict[str, Call]] = {
    (X,): {
        "logsumexp": lambda x: torch.logsumexp(x, 1),
        "cumsum": lambda x: x.cumsum(1),
        "cumprod": lambda x: x.cumprod(1),
        "cummax": lambda x: x.cummax(1),
        "cummin": lambda x: x.cummin(0),
        "logcumsumexp": lambda x: torch.logcumsumexp(x, 1),
        "median": lambda x: (x.median(), x.median(1)),
        "nanmedian": lambda x: (x.nanmedian(), x.nanmedian(1)),
        "quantile": lambda x: torch.quantile(x, torch.tensor([0.1, 0.7], dtype=x.dtype), dim=1),
        "nanquantile": lambda x: torch.nanquantile(x, 0.3, dim=1),
        "kthvalue": lambda x: torch.kthvalue(x, 2, 1),
        "mode": lambda x: torch.mode(x, 1),
        "topk": lambda x: torch.topk(x, 3, 1),
        "sort": lambda x: torch.sort(x, 1, descending=True),
        "argsort": lambda x: torch.argsort(x, 1),
        "msort": torch.msort,
        "aminmax": lambda x: torch.aminmax(x, dim=1),
        "max and min": lambda x: (x.max(1), x.min(0), x.max(), x.min(), x.amax((0, 1))),
        "unique": lambda x: torch.unique((x.detach() * 2).round()),
        "unique_consecutive": lambda x: torch.unique_consecutive(
            (x.detach() * 2).round().flatten()
        ),
        "where": lambda x: torch.where(x > 0, x, -0.1),
        "masked_fill": lambda x: x.masked_fill(MASK, 0.5),
        "masked_select": lambda x: x.masked_select(MASK),
        "roll": lambda x: x.roll((1, 2), (0, 1)),
        "flips": lambda x: (x.flip(0), x.fliplr(), x.flipud(), x.rot90()),
        "triangles": lambda x: (x.tril(), x.triu(1)),
        "diagonals": lambda x: (x.diagonal(), x.diag_embed(1), x[0].diag(), x.diag()),
        "trace": torch.trace,
        "var_mean": lambda x: (
            torch.var_mean(x, 1),
            x.std(1),
            x.var(),
            x.std((0, 1), correction=0),
        ),
        "clamp": lambda x: (x.clamp(-0.5, 0.5), x.clamp_min(0.1), x.clamp(max=0.2)),
        "nan_to_num": lambda x: torch.nan_to_num(x / (x > 0), 0.5, 2.0, -3.0),
        "pow": lambda x: (x**2, x**3, x**-1, (x.abs() + 0.1) ** 0.5, 2.0**x, x.square()),
        "norm": lambda x: (x.norm(), x.norm(dim=1), x.norm(1), x.norm(3, 1), x.norm(math.inf)),
        "linalg.vector_norm": lambda x: [
            torch.linalg.vector_norm(x, each, 1) for each in (0, 1, 2, 0.5, math.inf, -math.inf)
        ],
        "linalg.norm": lambda x: (torch.linalg.norm(x), torch.linalg.norm(x, "fro")),
        "linalg.matrix_norm": lambda x: [
            torch.linalg.matrix_norm(x, each) for each in ("fro", 1, -1, math.inf)
        ],
        "renorm": lambda x: torch.renorm(x.detach(), 2, 0, 1.0),
        "sums": lambda x: (x.sum(), x.mean(0), x.nansum(1), x.nanmean(1), x.prod(1), x.prod()),
        "exponentials": lambda x: (x.exp(), x.exp2(), x.expm1(), x.sigmoid(), x.tanh()),
        "angles": lambda x: (x.sin(), x.cos(), x.tan(), x.atan(), x.sinh(), x.cosh(), x.asinh()),
        "sinc": torch.sinc,
        "erf": lambda x: (x.erf(), x.erfc(), torch.special.ndtr(x)),
        "special.log_ndtr": torch.special.log_ndtr,
        "i0": lambda x: (torch.i0(x), torch.special.i0e(x)),
        "i1": lambda x: (torch.special.i1(x), torch.special.i1e(x)),
        "rounding": lambda x: (
            x.floor(),
            x.ceil(),
            x.round(),
            x.trunc(),
            x.frac(),
            x.round(decimals=1),
        ),
        "signs": lambda x: (x.abs(), x.neg(), x.sign(), x.sgn(), x.relu(), x.reciprocal()),
        "angle": torch.angle,
        "degrees": lambda x: (x.deg2rad(), x.rad2deg()),
        "histc": lambda x: torch.histc(x.detach(), 5, -1.5, 1.5),
        "histc of all": lambda x: torch.histc(x.detach(), 4),
        "histogram": lambda x: torch.histogram(x.detach().flatten(), 4, range=(-1.0, 1.0)),
        "gather": lambda x: x.gather(0, INDEX),
        "take": lambda x: (x.take(INDEX), torch.take_along_dim(x, INDEX, 0)),
        "index": lambda x: (x[INDEX], x[:, MASK], x[INDEX, INDEX], x[-1, ::2], x[[-1, 0]]),
        "index_select": lambda x: x.index_select(1, INDEX[0]),
        "diff": lambda x: (x.diff(), x.diff(2, 0), torch.gradient(x)),
        "trapezoid": lambda x: (torch.trapezoid(x), torch.cumulative_trapezoid(x)),
        "vander": lambda x: torch.vander(x.detach()[0], 3),
        "corrcoef": lambda x: (torch.corrcoef(x), torch.cov(x)),
        "repeats": lambda x: (
            x.repeat(2, 1),
            x.repeat_interleave(2, 1),
            x.tile(2),
            x.expand(2, 4, 6),
        ),
        "pads": lambda x: [F.pad(x[None], (1, 2), each) for each in ("reflect", "circular")],
        "normalize": lambda x: (F.normalize(x), F.normalize(x, 1.0, 0)),
        "glu": lambda x: (F.glu(x), F.logsigmoid(x), F.softmin(x, 1), F.hardswish(x)),
        "one_hot": lambda x: F.one_hot(INDEX) * x[0, 0],
        "pdist": lambda x: [F.pdist(x, each) for each in (1.0, 2.0, 3.0, math.inf)],
        "meshgrid": lambda x: torch.meshgrid(x[0], x[1], indexing="ij"),
        "cartesian_prod": lambda x: (torch.cartesian_prod(x[0], x[1]), torch.combinations(x[0])),
        "block_diag": lambda x: torch.block_diag(x, x[:2]),
        "bucketize": lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0])) * x,
        "searchsorted": lambda x: torch.searchsorted(x.detach().sort(1)[0], x) * x,
        "count_nonzero": lambda x: (x > 0).count_nonzero(1) * x[:, 0],
        "softmax": lambda x: (x.softmax(0), x.log_softmax(1)),
        "unfold": lambda x: x.unfold(1, 3, 2),
        "tensor_split": lambda x: (x.tensor_split(3, 1), x.chunk(2), x.hsplit(2), x.vsplit(2)),
        "as_strided": lambda x: x.as_strided((3, 3), (6, 1), 2),
        "hypot": lambda x: torch.hypot(x, x + 1),
    },
    (X, Y): {
        "einsum": lambda x, y: (torch.einsum("ij,kj->ik", x, y), torch.einsum("ij,ij->", x, y)),
        "cdist": lambda x, y: torch.cdist(x, y),
        "cdist 1": lambda x, y: torch.cdist(x, y, 1.0),
        "cdist 3": lambda x, y: torch.cdist(x, y, 3.0),
        "cdist inf": lambda x, y: torch.cdist(x, y, math.inf),
        "cdist direct": lambda x, y: torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist"),
        "outer": lambda x, y: torch.outer(x[0], y[1]),
        "kron": torch.kron,
        "cross": lambda x, y: torch.cross(x[:, :3], y[:, :3], dim=1),
        "dist": lambda x, y: (torch.dist(x, y), torch.dist(x, y, 1)),
        "dot": lambda x, y: (x[0] @ y[0], torch.inner(x, y), torch.tensordot(x, y, ([1], [1]))),
        "lerp": lambda x, y: (torch.lerp(x, y, 0.3), torch.lerp(x, y, x.detach().sigmoid())),
        "addcmul": lambda x, y: (torch.addcmul(x, y, y, value=0.5), x.addcdiv(y, y + 5, value=2)),
        "remainders": lambda x, y: (torch.remainder(x, y), torch.fmod(x, y), x.remainder(0.3)),
        "floor_divide": lambda x, y: (x.detach() // 0.7, torch.div(x, y, rounding_mode="trunc")),
        "atan2": torch.atan2,
        "maximum": lambda x, y: (torch.maximum(x, y), torch.fmin(x, y), x.copysign(y)),
        "logaddexp": lambda x, y: (torch.logaddexp(x, y), torch.logaddexp2(x, y)),
        "cosine": lambda x, y: (F.cosine_similarity(x, y), F.pairwise_distance(x, y)),
        "cat": lambda x, y: (torch.cat([x, y]), torch.stack([x, y], 1), torch.hstack([x, y])),
        "scatter": lambda x, y: (x.scatter(0, INDEX, y[:2]), x.scatter_add(0, INDEX, y[:2])),
        "scatter_reduce": lambda x, y: [
            x.scatter_reduce(0, INDEX, y[:2], each)
            for each in ("sum", "mean", "amax", "amin", "prod")
        ],
        "scatter_reduce alone": lambda x, y: [
            x.scatter_reduce(0, INDEX, y[:2], each, include_self=False)
            for each in ("sum", "mean", "amax")
        ],
        "index_add": lambda x, y: x.index_add(0, INDEX[0, :4], y),
        "index_reduce": lambda x, y: x.index_reduce(0, INDEX[0, :4], y, "mean"),
        "index_copy": lambda x, y: x.index_copy(0, torch.tensor([2, 0, 3, 1]), y),
        "index_put": lambda x, y: x.index_put((INDEX[0],), y[INDEX[1]], accumulate=True),
        "masked_scatter": lambda x, y: x.masked_scatter(MASK, y),
        "addmm": lambda x, y: torch.addmm(x[:, :4], x, y.T, beta=0.5, alpha=2),
        "linear": lambda x, y: F.linear(x, y),
        "attention": lambda x, y: F.scaled_dot_product_attention(
            x[None], y[None], y[None], is_causal=True
        ),
        "rsub": lambda x, y: (1 - x, 2 / (y + 9), -x),
        "ldexp": lambda x, y: torch.ldexp(x, torch.tensor(3)),
        "allclose": lambda x, y: x * float(torch.allclose(x, y)),
        "heaviside": lambda x, y: torch.heaviside(x.detach(), y.detach()),
    },
    (SQUARE,): {
        "linalg.qr": lambda a: signless(torch.linalg.qr(a)),
        "linalg.qr tall": lambda a: signless(torch.linalg.qr(a[:, :, :3])),
        "linalg.qr wide": lambda a: torch.linalg.qr(a[:, :3].detach()),
        "linalg.qr complete": lambda a: torch.linalg.qr(a[:, :, :3].detach(), "complete"),
        "linalg.qr r": lambda a: torch.linalg.qr(a[:, :, :3].detach(), "r")[1],
        "linalg.inv": torch.linalg.inv,
        "linalg.det": torch.linalg.det,
        "linalg.slogdet": torch.linalg.slogdet,
        "logdet": lambda a: torch.logdet(a @ a.mT),
        "linalg.solve": lambda a: torch.linalg.solve(a, a[:, :, :2] * 2),
        "linalg.solve vector": lambda a: torch.linalg.solve(a, a[:, 0] * 2),
        "linalg.solve right": lambda a: torch.linalg.solve(a, a[:, :2] * 2, left=False),
        "linalg.lu": torch.linalg.lu,
        "linalg.lu_factor": lambda a: torch.linalg.lu_factor(a),
        "linalg.lu_solve": lambda a: torch.linalg.lu_solve(*torch.linalg.lu_factor(a), a[:, :, :2]),
        "linalg.matrix_exp": torch.linalg.matrix_exp,
        "linalg.matrix_power": lambda a: torch.linalg.matrix_power(a, 3),
        "linalg.matrix_power -2": lambda a: torch.linalg.matrix_power(a, -2),
        "linalg.multi_dot": lambda a: torch.linalg.multi_dot([a[0], a[1], a[2]]),
        "linalg.lstsq": lambda a: torch.linalg.lstsq(a[:, :, :3], a[:, :, 3:]).solution,
        "linalg.pinv": torch.linalg.pinv,
        "linalg.svdvals": torch.linalg.svdvals,
        "linalg.svd": lambda a: torch.linalg.svd(a).S,
        "linalg.eigvalsh": lambda a: torch.linalg.eigvalsh(a + a.mT),
        "linalg.eigh": lambda a: torch.linalg.eigh(a + a.mT).eigenvalues,
        "linalg.cond": lambda a: torch.linalg.cond(a.detach(), 1),
        "linalg.cond 2": lambda a: torch.linalg.cond(a),
        "linalg.matrix_norm 2": lambda a: torch.linalg.matrix_norm(a, 2),
        "linalg.matrix_norm nuc": lambda a: torch.linalg.matrix_norm(a, "nuc"),
        "linalg.householder_product": lambda a: torch.linalg.householder_product(
            a[:, :, :3], a[:, 0, :3] * 0.1
        ),
    },
}


def signless(pair: Any) -> Any:
    """Return factors whose signs are free, with a positive diagonal."""
    q, r = pair
    sign = r.diagonal(dim1=-2, dim2=-1).sign().detach()
    return q * sign[..., None, :], r * sign[..., None]


# Functions of other tensors.
OTHERS: dict[str, tuple[Call, list[Callable[[], Tensor]]]] = {
    "logs": (
        lambda x: (x.log(), x.log2(), x.log10(), x.log1p(), x.sqrt(), x.rsqrt()),
        [lambda: positive(4, 6)],
    ),
    "lgamma": (lambda x: (x.lgamma(), x.digamma()), [lambda: positive(4, 6)]),
    "polygamma": (lambda x: torch.polygamma(1, x), [lambda: positive(4, 6)]),
    "mvlgamma": (lambda x: torch.mvlgamma(x + 2, 3), [lambda: positive(4, 6)]),
    "xlogy": (
        lambda x, y: (torch.xlogy(x, y), torch.special.xlog1py(x, y)),
        [lambda: positive(4, 6)] * 2,
    ),
    "entr": (torch.special.entr, [lambda: positive(4, 6)]),
    "inverse functions": (
        lambda x: (x.erfinv(), x.asin(), x.acos(), x.atanh()),
        [lambda: inside(4, 6)],
    ),
    "acosh": (lambda x: (x + 1).acosh(), [lambda: positive(4, 6)]),
    "logit": (lambda x: torch.logit(x.abs(), 1e-3), [lambda: inside(4, 6)]),
    "cholesky": (torch.linalg.cholesky, [lambda: definite(3, 5, 5)]),
    "cholesky upper": (lambda a: torch.linalg.cholesky(a, upper=True), [lambda: definite(3, 5, 5)]),
    "cholesky of old": (torch.cholesky, [lambda: definite(3, 5, 5)]),
    "cholesky_solve": (
        lambda a, b: torch.cholesky_solve(b, a),
        [lambda: triangle(3, 5, 5), lambda: inside(3, 5, 2)],
    ),
    "cholesky_inverse": (torch.cholesky_inverse, [lambda: triangle(5, 5)]),
    "solve_triangular": (
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=False),
        [lambda: triangle(3, 5, 5), lambda: inside(3, 5, 2)],
    ),
    "solve_triangular upper": (
        lambda a, b: torch.linalg.solve_triangular(a.mT, b, upper=True),
        [lambda: triangle(3, 5, 5), lambda: inside(3, 5, 2)],
    ),
    "solve_triangular right": (
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, left=False),
        [lambda: triangle(3, 5, 5), lambda: inside(3, 2, 5)],
    ),
    "solve_triangular unit": (
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True),
        [lambda: triangle(3, 5, 5), lambda: inside(3, 5, 2)],
    ),
    "triangular_solve": (
        lambda a, b: torch.triangular_solve(b, a, upper=False).solution,
        [lambda: triangle(3, 5, 5), lambda: inside(3, 5, 2)],
    ),
    "affine_grid": (
        lambda t: F.affine_grid(t, [2, 3, 4, 5], align_corners=False),
        [lambda: inside(2, 2, 3)],
    ),
    "affine_grid 3d": (
        lambda t: F.affine_grid(t, [2, 3, 4, 5, 3], align_corners=True),
        [lambda: inside(2, 3, 4)],
    ),
    "bincount": (lambda x: torch.bincount(INDEX.flatten(), x.detach()), [lambda: positive(12)]),
    "embedding": (lambda x: F.embedding(INDEX, x, padding_idx=1), [lambda: positive(4, 3)]),
    "embedding of norm": (
        lambda x: F.embedding(INDEX, x * 1, max_norm=1.0),
        [lambda: positive(4, 3)],
    ),
    "lp_pool": (lambda x: F.lp_pool2d(x, 2.0, 2), [lambda: positive(2, 3, 6, 6)]),
    "multi_margin_loss": (
        lambda x: F.multi_margin_loss(x, torch.tensor([1, 0, 2])),
        [lambda: inside(3, 4)],
    ),
    "kaiser_window": (lambda x: torch.kaiser_window(12, dtype=x.dtype), [lambda: positive(1)]),
    "windows": (
        lambda x: [
            getattr(torch, f"{each}_window")(12, dtype=x.dtype)
            for each in ("hann", "hamming", "blackman", "bartlett")
        ],
        [lambda: positive(1)],
    ),
}
for _mode in ("bilinear", "nearest", "bicubic"):
    for _padding in ("zeros", "border", "reflection"):
        for _aligned in (False, True):
            OTHERS[f"grid_sample {_mode} {_padding} {_aligned}"] = (
                lambda x, g, m=_mode, p=_padding, a=_aligned: F.grid_sample(x, g, m, p, a),
                [lambda: inside(2, 3, 5, 6), lambda: points(2, 4, 3, 2)],
            )
            if _mode != "bicubic":
                OTHERS[f"grid_sample 3d {_mode} {_padding} {_aligned}"] = (
                    lambda x, g, m=_mode, p=_padding, a=_aligned: F.grid_sample(x, g, m, p, a),
                    [lambda: inside(2, 3, 5, 6, 4), lambda: points(2, 4, 3, 2, 3)],
                )

CALLS: dict[str, tuple[Call, list[Callable[[], Tensor]]]] = {
    name: (call, [lambda s=shape: torch.randn(s, dtype=torch.float64) for shape in shapes])
    for shapes, calls in NORMAL.items()
    for name, call in calls.items()
} | OTHERS

NAN = float("nan")
SINGULAR = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
# What is empty, singular, not finite, or of a shape or type that does not fit.
EDGES: dict[str, Callable[[], Any]] = {
    "an inverse there is not": lambda: torch.linalg.inv(SINGULAR),
    "a system without a solution": lambda: torch.linalg.solve(SINGULAR, torch.ones(2)),
    "a factor there is not": lambda: torch.linalg.cholesky(-torch.eye(3)),
    "which minor is not positive": lambda: torch.linalg.cholesky_ex(-torch.eye(3))[1],
    "an oblong matrix": lambda: torch.linalg.inv(torch.ones(2, 3)),
    "a vector": lambda: torch.linalg.inv(torch.ones(2)),
    "a determinant of 0": lambda: torch.linalg.det(SINGULAR),
    "a logarithm of 0": lambda: torch.linalg.slogdet(torch.zeros(2, 2)),
    "an inverse of nothing": lambda: torch.linalg.inv(torch.zeros(0, 0)).shape,
    "no systems": lambda: torch.linalg.solve(torch.zeros(0, 3, 3), torch.zeros(0, 3, 2)).shape,
    "a determinant of nothing": lambda: torch.linalg.det(torch.zeros(0, 0)),
    "no rows": lambda: [x.shape for x in torch.linalg.qr(torch.zeros(0, 3))],
    "no columns": lambda: [x.shape for x in torch.linalg.qr(torch.zeros(3, 0), "complete")],
    "singular values of nothing": lambda: [x.shape for x in torch.linalg.svd(torch.zeros(0, 3))],
    "eigenvalues of nothing": lambda: [x.shape for x in torch.linalg.eigh(torch.zeros(0, 0))],
    "no matrices": lambda: [x.shape for x in torch.linalg.eigh(torch.zeros(0, 3, 3))],
    "a triangle of nothing": lambda: (
        torch.linalg.solve_triangular(torch.zeros(0, 0), torch.zeros(0, 2), upper=True).shape
    ),
    "factors of nothing": lambda: [x.shape for x in torch.linalg.lu(torch.zeros(0, 3))],
    "an exponential of nothing": lambda: torch.linalg.matrix_exp(torch.zeros(0, 0)).shape,
    "a singular value of 0": lambda: torch.linalg.svd(SINGULAR).S,
    "only zeros": lambda: torch.linalg.svd(torch.zeros(3, 2)).S,
    "all of U": lambda: [x.shape for x in torch.linalg.svd(torch.ones(4, 2), full_matrices=True)],
    "all of V": lambda: [x.shape for x in torch.linalg.svd(torch.ones(2, 4), full_matrices=True)],
    "equal eigenvalues": lambda: torch.linalg.eigh(torch.eye(3)).eigenvalues,
    "the upper triangle": lambda: torch.linalg.eigvalsh(
        torch.tensor([[1.0, 5.0], [9.0, 2.0]]), UPLO="U"
    ),
    "singular values of no numbers": lambda: torch.linalg.svdvals(torch.full((2, 2), NAN)),
    "factors of no numbers": lambda: torch.linalg.qr(torch.full((2, 2), NAN))[1].isnan().any(),
    "one right side": lambda: (
        torch.linalg.solve(torch.eye(2).expand(3, 2, 2) * 2, torch.ones(2, 1)).shape
    ),
    "one matrix": lambda: torch.linalg.solve(torch.eye(2) * 2, torch.ones(4, 2, 1)).shape,
    "a batch of vectors": lambda: (
        torch.linalg.solve(torch.eye(2).expand(3, 2, 2), torch.ones(3, 2)).shape
    ),
    "sides of other sizes": lambda: torch.linalg.solve(torch.eye(2), torch.ones(3, 1)),
    "a triangle of another size": lambda: torch.linalg.solve_triangular(
        torch.eye(2), torch.ones(3, 1), upper=True
    ),
    "two types": lambda: torch.linalg.solve(torch.eye(2), torch.ones(2).double()),
    "whole numbers": lambda: torch.linalg.inv(torch.eye(2).long()),
    "an unknown mode": lambda: torch.linalg.qr(torch.eye(2), "x"),
    "a rank": lambda: torch.linalg.matrix_rank(SINGULAR),
    "a large exponential": lambda: torch.linalg.matrix_exp(torch.tensor([[3.0, 1.0], [0.0, -2.0]])),
    "an exponential of no numbers": lambda: (
        torch.linalg.matrix_exp(torch.full((2, 2), NAN)).isnan().all()
    ),
    "an inverse by its factor": lambda: torch.cholesky_inverse(
        torch.linalg.cholesky(torch.eye(2) * 4)
    ),
    "factors taken apart": lambda: torch.lu_unpack(*torch.linalg.lu_factor(SINGULAR)),
    "a pseudoinverse": lambda: torch.linalg.pinv(SINGULAR),
    "a batch of least squares": lambda: (
        torch.linalg.lstsq(torch.eye(3)[None].expand(2, 3, 3), torch.ones(2, 3, 1)).solution.shape
    ),
    "a tensor to write into": lambda: (
        torch.linalg.inv(SINGULAR + torch.eye(2), out=torch.empty(0)).shape
    ),
    "different numbers": lambda: torch.unique(
        torch.tensor([3.0, 1.0, 2.0, 1.0, NAN, 0.0, -0.0, NAN]),
        return_inverse=True,
        return_counts=True,
    ),
    "different ones of none": lambda: torch.unique(
        torch.zeros(0), return_inverse=True, return_counts=True
    ),
    "different rows": lambda: torch.unique(
        torch.tensor([[1.0, 2.0], [0.0, 5.0], [1.0, 2.0]]),
        dim=0,
        return_inverse=True,
        return_counts=True,
    ),
    "different columns": lambda: torch.unique(
        torch.tensor([[1.0, 2.0, 1.0], [0.0, 5.0, 0.0]]), dim=1, return_inverse=True
    ),
    "different truths": lambda: torch.unique(torch.tensor([True, False, True])),
    "different whole numbers": lambda: torch.unique(
        torch.tensor([5, 3, 5]), sorted=False, return_counts=True
    ),
    "changes": lambda: torch.unique_consecutive(
        torch.tensor([1.0, 1.0, 2.0, 1.0]), return_counts=True
    ),
    "changes of rows": lambda: torch.unique_consecutive(
        torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]]), dim=0, return_inverse=True
    ),
    "one number": lambda: torch.unique(torch.tensor(2.0), return_inverse=True),
    "a histogram": lambda: torch.histc(torch.tensor([0.0, 1.0, 2.0, NAN, 3.0, 5.0, -1.0]), 4, 0, 4),
    "a histogram without a range": lambda: torch.histc(torch.tensor([0.0, NAN])),
    "a histogram of nothing": lambda: torch.histc(torch.zeros(0), 3),
    "a histogram of equals": lambda: torch.histc(torch.tensor([1.0, 1.0]), 3),
    "a density": lambda: torch.histogram(torch.tensor([0.0, 1.0, 2.0, 2.0]), 3, density=True),
    "weights": lambda: torch.histogram(
        torch.tensor([0.0, 1.0, 2.0]),
        torch.tensor([0.0, 1.0, 3.0]),
        weight=torch.tensor([1.0, 2.0, 4.0]),
    ),
    "counts": lambda: torch.bincount(torch.tensor([1, 1, 3]), minlength=6),
    "sums of weights": lambda: torch.bincount(torch.tensor([1, 1, 3]), torch.tensor([1, 2, 3])),
    "negative places": lambda: torch.bincount(torch.tensor([-1])),
    "counts of none": lambda: torch.bincount(torch.zeros(0, dtype=torch.long)),
    "distances of no points": lambda: torch.cdist(torch.zeros(0, 3), torch.zeros(2, 3)).shape,
    "distances in no dimension": lambda: torch.cdist(torch.zeros(2, 0), torch.zeros(3, 0)),
    "distances of one point": lambda: torch.pdist(torch.zeros(1, 3)).shape,
    "rows made shorter": lambda: torch.renorm(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0),
    "a Bessel function": lambda: torch.special.i1(torch.tensor([0.0, 1.0, 8.0, 50.0, -3.0, NAN])),
    "a Bessel function of whole numbers": lambda: torch.i0(torch.tensor([1, 2])),
    "a trigamma function": lambda: torch.polygamma(1, torch.tensor([0.1, 1.0, -0.5, 20.0, -3.2])),
    "a derivative of trigamma": lambda: torch.polygamma(3, torch.tensor([0.1, 1.0, 20.0])),
    "a logarithm of a small chance": lambda: torch.special.log_ndtr(
        torch.tensor([-40.0, -11.0, -9.0, -1.0, 0.0, 3.0, 8.0, NAN, -float("inf"), float("inf")])
    ),
    "angles": lambda: torch.angle(torch.tensor([-1.0, 0.0, 2.0, NAN, -0.0])),
    "a window": lambda: torch.kaiser_window(6, beta=8.0),
    "a window of one": lambda: torch.kaiser_window(1),
    "a window of both ends": lambda: torch.kaiser_window(5, periodic=False),
}
REFUSED: dict[str, Call] = {
    "fft": lambda x: torch.fft.rfft(x),
    "stft": lambda x: torch.stft(x.flatten(), 8, window=torch.ones(8), return_complex=True),
    "linalg.eig": lambda x: torch.linalg.eig(x[:, :4]),
    "linalg.lstsq by SVD": lambda x: torch.linalg.lstsq(x.T, x.T, driver="gelsd"),
    "linalg.ldl_factor": lambda x: torch.linalg.ldl_factor(x[:, :4]),
    "frexp": lambda x: torch.frexp(x),
    "nextafter": lambda x: torch.nextafter(x, x),
    "polar": lambda x: torch.polar(x, x),
    "gammainc": lambda x: torch.special.gammainc(x.abs(), x.abs()),
    "zeta": lambda x: torch.special.zeta(x.abs() + 1.5, x.abs()),
    "ndtri": lambda x: torch.special.ndtri(x.sigmoid()),
    "bessel_j0": lambda x: torch.special.bessel_j0(x),
    "segment_reduce": lambda x: torch.segment_reduce(x, "sum", lengths=torch.tensor([1, 3])),
    "to_sparse": lambda x: x.to_sparse(),
}


def results_of(call: Call, inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return what a function makes of inputs, and the gradients."""
    given = [each.detach().clone().to(dtype).requires_grad_() for each in inputs]
    outs = [each for each in flat(call(*given)) if isinstance(each, Tensor)]
    wanted = [each for each in outs if each.requires_grad]
    if wanted:
        torch.autograd.backward(wanted, [spread(each) for each in wanted])
    return [each.detach() for each in [*outs, *(one.grad for one in given)] if each is not None]


def flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return [one for each in value for one in flat(each)]
    return [value]


def spread(like: Tensor) -> Tensor:
    """Return weights between -1 and 1 that are exact in either type."""
    places = torch.arange(like.numel()) * 37 % 64
    return ((places.to(like.dtype) - 31) / 32).reshape(like.shape)


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the type of what it raises."""
    try:
        return call()
    except Exception as error:
        return type(error)


@pytest.fixture(scope="module")
def edges() -> dict[str, Any]:
    return {name: outcome(call) for name, call in EDGES.items()}


@pytest.fixture(scope="module")
def expected(edges: Any) -> Iterator[dict[str, tuple[Call, list[Tensor], list[Tensor]]]]:
    """Return functions, inputs and what binary64 makes of them, and compute reproducibly."""
    found = {}
    for name, (call, makes) in CALLS.items():
        torch.manual_seed(len(name))
        inputs = [each().float().double() for each in makes]
        found[name] = (call, inputs, results_of(call, inputs, torch.float64))
    with reproducible():
        yield found


@pytest.mark.parametrize("name", CALLS)
def test_a_function_agrees_with_binary64(name: str, expected: dict[str, Any]) -> None:
    call, inputs, right = expected[name]
    found = results_of(call, inputs, torch.float32)
    assert [each.shape for each in found] == [each.shape for each in right]
    for ours, exact in zip(found, right, strict=True):
        assert ours.dtype is (torch.float32 if exact.dtype is torch.float64 else exact.dtype)
        ours, exact = ours.double(), exact.double()
        torch.testing.assert_close(ours, exact, rtol=1e-3, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_a_way_out(name: str, expected: dict[str, Any]) -> None:
    with pytest.raises(NotReproducible) as caught:
        REFUSED[name](torch.ones(4, 6))
    assert caught.value.hint
    assert caught.value.hint != GENERAL


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_is_where_it_is_in_torch(
    name: str, expected: dict[str, Any], edges: dict[str, Any]
) -> None:
    found, right = flat(outcome(EDGES[name])), flat(edges[name])
    assert len(found) == len(right)
    for ours, other in zip(found, right, strict=True):
        if isinstance(other, Tensor):
            torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-5, equal_nan=True)
        else:
            assert ours == other
