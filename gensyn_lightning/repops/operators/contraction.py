"""Products of matrices and vectors, scaled and added to something or not.

Every one is a matrix product on views: an element is the fold of its terms in ascending order, in
chunks of 256. Composites that torch itself takes apart (matmul, linear, einsum) arrive here.
"""

from __future__ import annotations

from collections.abc import Sequence

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.plan import Exact, Kernel, Operand, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs.contraction import scaled_sum
from gensyn_lightning.repops.programs.reduction import sum_of_products
from gensyn_lightning.repops.stage import Dim, Fold, Read, Shape, Stage, same_place
from gensyn_lightning.repops.word import float_bits

CHUNK = 256
_TERM = sum_of_products["fff"]


@covers("mm", out="mm.out")
def mm(plan: Plan, self: Operand, mat2: Operand) -> None:
    """Return the product of two matrices."""
    _check("mm", 2, self, mat2)
    out = plan.result((self.shape[0], mat2.shape[1]), self.dtype)
    plan.call(MM, [out, self, mat2])
    plan.returns(out)


@covers("bmm", out="bmm.out")
def bmm(plan: Plan, self: Operand, mat2: Operand) -> None:
    """Return the product of each pair of matrices of two batches."""
    _check("bmm", 3, self, mat2)
    out = plan.result((*self.shape[:2], mat2.shape[2]), self.dtype)
    plan.call(BMM, [out, self, mat2])
    plan.returns(out)


@covers("addmm", inplace="addmm_", out="addmm.out")
def addmm(
    plan: Plan, self: Operand, mat1: Operand, mat2: Operand, beta: Scalar, alpha: Scalar
) -> None:
    """Return beta * self + alpha * (mat1 @ mat2)."""
    _check("addmm", 2, mat1, mat2, self)
    out = plan.result((mat1.shape[0], mat2.shape[1]), self.dtype)
    plan.call(ADDMM, [out, _expanded(self, out), mat1, mat2], (), _factors(beta, alpha))
    plan.returns(out)


@covers("baddbmm", inplace="baddbmm_", out="baddbmm.out")
def baddbmm(
    plan: Plan, self: Operand, batch1: Operand, batch2: Operand, beta: Scalar, alpha: Scalar
) -> None:
    """Return beta * self + alpha * (batch1 @ batch2), matrix by matrix."""
    _check("baddbmm", 3, batch1, batch2, self)
    out = plan.result((*batch1.shape[:2], batch2.shape[2]), self.dtype)
    plan.call(BADDBMM, [out, _expanded(self, out), batch1, batch2], (), _factors(beta, alpha))
    plan.returns(out)


@covers("addbmm", inplace="addbmm_", out="addbmm.out")
def addbmm(
    plan: Plan, self: Operand, batch1: Operand, batch2: Operand, beta: Scalar, alpha: Scalar
) -> None:
    """Return beta * self + alpha * (the sum of batch1[i] @ batch2[i], in ascending order)."""
    _check("addbmm", 3, batch1, batch2, self)
    count, rows, cols = batch1.shape[0], batch1.shape[1], batch2.shape[2]
    out = plan.result((rows, cols), self.dtype)
    if not count:
        nothing = [plan.new((rows, 0), self.dtype), plan.new((0, cols), self.dtype)]
        plan.call(ADDMM, [out, _expanded(self, out), *nothing], (), _factors(beta, alpha))
    total, words = _expanded(self, out), _factors(beta, alpha)
    for at in range(count):
        made = out if at + 1 == count else plan.new(out.shape, Dtype.F32)
        a, b = (each.narrow(0, at, 1).squeeze(0) for each in (batch1, batch2))
        plan.call(ADDMM, [made, total, a, b], (), words)
        total, words = made, [WordSource(float_bits(1.0), "f"), words[1]]
    plan.returns(out)


@covers("mv", out="mv.out")
def mv(plan: Plan, self: Operand, vec: Operand) -> None:
    """Return the product of a matrix and a vector."""
    _check("mv", 2, self, _column(vec))
    out = plan.result(self.shape[:1], self.dtype)
    plan.call(MM, [out.unsqueeze(1), self, vec.unsqueeze(1)])
    plan.returns(out)


@covers("addmv", inplace="addmv_", out="addmv.out")
def addmv(
    plan: Plan, self: Operand, mat: Operand, vec: Operand, beta: Scalar, alpha: Scalar
) -> None:
    """Return beta * self + alpha * (mat @ vec)."""
    _check("addmv", 2, mat, _column(vec), self)
    out = plan.result(mat.shape[:1], self.dtype)
    views = [out, _expanded(self, out), vec]
    made, added, column = (each.unsqueeze(1) for each in views)
    plan.call(ADDMM, [made, added, mat, column], (), _factors(beta, alpha))
    plan.returns(out)


@covers("dot", "vdot", out="dot.out vdot.out")
def dot(plan: Plan, self: Operand, tensor: Operand) -> None:
    """Return the sum of the products of two vectors' elements."""
    _check("dot", 2, _column(self).transpose(0, 1), _column(tensor))
    out = plan.result((), self.dtype)
    plan.call(MM, [out.unsqueeze(0).unsqueeze(0), self.unsqueeze(0), tensor.unsqueeze(1)])
    plan.returns(out)


@covers("addr", inplace="addr_", out="addr.out")
def addr(
    plan: Plan, self: Operand, vec1: Operand, vec2: Operand, beta: Scalar, alpha: Scalar
) -> None:
    """Return beta * self + alpha * (the outer product of two vectors)."""
    a, b = _column(vec1), _column(vec2).transpose(0, 1)
    _check("addr", 2, a, b, self)
    out = plan.result((a.shape[0], b.shape[1]), self.dtype)
    plan.call(ADDMM, [out, _expanded(self, out), a, b], (), _factors(beta, alpha))
    plan.returns(out)


def _check(name: str, rank: int, a: Operand, b: Operand, added: Operand | None = None) -> None:
    """Refuse what is no product, as torch does, and what we have no definition of."""
    dtypes = {each.dtype for each in (a, b, added) if each is not None}
    if len(dtypes) > 1:
        raise RuntimeError(f"{name}: all tensors must have the same dtype")
    if a.rank != rank or b.rank != rank:
        raise RuntimeError(f"{name}: tensors must have {rank} dimensions")
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"{name}: shapes cannot be multiplied ({a.shape} and {b.shape})")
    if not a.dtype.is_floating:
        raise Exact
    if a.dtype is Dtype.F64:
        raise NotReproducible(f"{name} of float64 tensors is not defined", hint="use float32")


def _column(vector: Operand) -> Operand:
    if vector.rank != 1:
        raise RuntimeError(f"a vector has 1 dimension, not {vector.rank}")
    return vector.unsqueeze(1)


def _expanded(added: Operand, out: Operand) -> Operand:
    lead = out.rank - added.rank
    fits = lead >= 0 and all(
        size in (1, wide) for size, wide in zip(added.shape, out.shape[lead:], strict=True)
    )
    if not fits:
        raise RuntimeError(f"a tensor of shape {added.shape} does not expand to {out.shape}")
    return added.expand(out.shape)


def _factors(beta: Scalar, alpha: Scalar) -> list[WordSource]:
    return [WordSource(beta, "f"), WordSource(alpha, "f")]


def products(out: int, dtype: Dtype, shapes: Sequence[Shape], a: int, b: int) -> Stage:
    """Return the stage of a matrix product: `shapes` are those of the result, of a and of b.

    `out`, `a` and `b` number the tensors. Leading dimensions are a batch.
    """
    shape, left, right = shapes
    rank = len(shape) + 1
    axes = [tuple(int(at == axis) for at in range(rank)) for axis in range(rank)]
    *batch, row, col, term = axes
    reads = tuple(
        Read(source, tuple(Dim(size, axis) for size, axis in zip(sizes, places, strict=True)))
        for source, sizes, places in (
            (a, left, [*batch, row, term]),
            (b, right, [*batch, term, col]),
        )
    )
    if _TERM.combine is None:
        raise ValueError(f"{_TERM.name} is no fold's term")
    fold = Fold((left[-1],), CHUNK, 1, _TERM.init, _TERM.combine.trace()[0])
    return Stage(out, dtype, shape, _TERM.trace()[0], reads, fold)


def _product(
    shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]
) -> list[Stage]:
    return [products(0, dtypes[0], shapes, 1, 2)]


def _scaled(shapes: Sequence[Shape], dtypes: Sequence[Dtype], params: Sequence[int]) -> list[Stage]:
    out, _, left, right = shapes
    between = len(shapes)
    places = (same_place(between, out), same_place(1, out))
    program = scaled_sum.trace()[0]
    return [
        products(between, Dtype.F32, (out, left, right), 2, 3),
        Stage(0, dtypes[0], out, program, places, attributes=(0, 1)),
    ]


MM = Kernel("repops_mm", 1, _product)
BMM = Kernel("repops_bmm", 1, _product)
ADDMM = Kernel("repops_addmm", 1, _scaled)
BADDBMM = Kernel("repops_baddbmm", 1, _scaled)
