"""Running sums, products and logarithms of sums, in the order of the elements."""

from __future__ import annotations

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.operators.reduction import in_dtype
from gensyn_lightning.repops.plan import Operand, Plan
from gensyn_lightning.repops.programs import reduction as programs
from gensyn_lightning.repops.scanning import scan


@covers("cumsum", inplace="cumsum_", out="cumsum.out")
def cumsum(plan: Plan, self: Operand, dim: int, dtype: Dtype | None) -> None:
    """Return the sums of the elements up to each along `dim`."""
    source = in_dtype(plan, self, dtype)
    out = plan.result(self.shape, source.dtype)
    scan(plan, programs.sum_[source.dtype.kind * 2], out, source, dim)
    plan.returns(out)


@covers("cumprod", inplace="cumprod_", out="cumprod.out")
def cumprod(plan: Plan, self: Operand, dim: int, dtype: Dtype | None) -> None:
    """Return the products of the elements up to each along `dim`."""
    source = in_dtype(plan, self, dtype)
    out = plan.result(self.shape, source.dtype)
    scan(plan, programs.product[source.dtype.kind * 2], out, source, dim)
    plan.returns(out)


@covers("_logcumsumexp", out="_logcumsumexp.out")
def logcumsumexp(plan: Plan, self: Operand, dim: int) -> None:
    """Return the logarithms of the sums of the exponentials up to each element along `dim`."""
    if self.dtype.kind != "f":
        raise NotReproducible(
            f"logcumsumexp of {self.dtype.name} has no reproducible definition",
            hint="convert to float32 first",
        )
    out = plan.result(self.shape, self.dtype)
    scan(plan, programs.log_sum_exp["ff"], out, self, dim)
    plan.returns(out)
