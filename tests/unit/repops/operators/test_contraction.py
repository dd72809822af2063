"""Operators that multiply matrices agree with stock torch and with the stages that define them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry

Case = Callable[[Tensor, Tensor], Tensor]

CASES: dict[str, Case] = {
    "mm": lambda a, b: torch.mm(a, b),
    "mm of transposed": lambda a, b: torch.mm(b.t(), a.t()),
    "mm out": lambda a, b: torch.mm(a, b, out=a.new_empty(9, 5).t()),
    "mm of no terms": lambda a, b: torch.mm(a[:, :0], b[:0]),
    "mm of no rows": lambda a, b: torch.mm(a[:0], b),
    "bmm": lambda a, b: torch.bmm(a.expand(3, 5, 70), b.expand(3, 70, 9)),
    "addmm": lambda a, b: torch.addmm(b[0], a, b, beta=0.5, alpha=2),
    "addmm without": lambda a, b: torch.addmm(a.new_full((9,), torch.nan), a, b, beta=0),
    "addmm of no terms": lambda a, b: torch.addmm(b[0], a[:, :0], b[:0], beta=0.5),
    "addmm in place": lambda a, b: a.new_ones(5, 9).addmm_(a, b),
    "addmm over an operand": lambda a, b: a[:, :5].clone().addmm_(a[:, :5], b[:5, :5]),
    "baddbmm": lambda a, b: torch.baddbmm(b[0], a.expand(3, 5, 70), b.expand(3, 70, 9), alpha=0.3),
    "addbmm": lambda a, b: torch.addbmm(
        b[0], a.expand(3, 5, 70), b.expand(3, 70, 9), alpha=0.3, beta=2
    ),
    "mv": lambda a, b: torch.mv(a, b[:, 0]),
    "addmv": lambda a, b: torch.addmv(a[:, 0], a, b[:, 1], beta=2),
    "dot": lambda a, b: torch.dot(a[0], b[:, 0]),
    "vdot": lambda a, b: torch.vdot(a[0], b[:, 0]),
    "addr": lambda a, b: torch.addr(a, a[:, 0], b[:, 0], beta=0.1),
    "linear": lambda a, b: torch.nn.functional.linear(a.expand(2, 5, 70), b.t(), b[0]),
    "linear without bias": lambda a, b: torch.nn.functional.linear(a, b.t()),
    "matmul": lambda a, b: torch.matmul(a.expand(2, 3, 5, 70), b),
    "einsum": lambda a, b: torch.einsum("ij,jk->ki", a, b),
}
DTYPES = {torch.float32: 1e-5, torch.bfloat16: 0.02, torch.float16: 0.003}


def operands(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(5, 70, generator=generator), torch.randn(70, 9, generator=generator)
    return a.to(dtype), b.to(dtype)


def bits(tensor: Tensor) -> list[int]:
    integer = torch.int32 if tensor.dtype is torch.float32 else torch.int16
    made: list[int] = tensor.reshape(-1).view(integer).tolist()
    return made


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_products_agree_with_stock(case: Case, dtype: torch.dtype) -> None:
    a, b = operands(dtype)
    exact, stock = case(a.double(), b.double()), case(a, b)
    with registry.reproducible():
        made = case(a, b)
    assert made.dtype is dtype
    assert made.stride() == stock.stride()
    tolerance = DTYPES[dtype]
    torch.testing.assert_close(made.double(), exact, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kernels_have_the_bits_of_their_stages(
    case: Case, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = operands(dtype)
    with registry.reproducible():
        made = case(a, b)
    monkeypatch.setattr(registry, "loaded", lambda: None)
    with registry.reproducible():
        defined = case(a, b)
    assert bits(made) == bits(defined)


def test_a_linear_layer_has_gradients() -> None:
    layer, x = torch.nn.Linear(7, 3), torch.ones(4, 7, requires_grad=True)
    expected = torch.autograd.grad(layer(x).sum(), [x, *layer.parameters()])
    with registry.reproducible():
        made = torch.autograd.grad(layer(x).sum(), [x, *layer.parameters()])
    for one, other in zip(made, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_integers_are_left_to_torch() -> None:
    a = torch.arange(6).reshape(2, 3)
    with registry.reproducible():
        assert torch.mm(a, a.t()).tolist() == [[5, 14], [14, 50]]


def test_what_is_no_product_is_refused_as_by_torch() -> None:
    with registry.reproducible(), pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.mm(torch.ones(2, 3), torch.ones(2, 3))
    with registry.reproducible(), pytest.raises(RuntimeError, match="same dtype"):
        torch.mm(torch.ones(2, 3), torch.ones(3, 2, dtype=torch.float16))


def test_binary64_is_refused() -> None:
    with registry.reproducible(), pytest.raises(NotReproducible, match="float64"):
        torch.mm(torch.ones(2, 3).double(), torch.ones(3, 2).double())
