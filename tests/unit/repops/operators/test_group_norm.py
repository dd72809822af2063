"""Group normalisation against binary64, kernels against the stages that define them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.repops import library, registry
from gensyn_lightning.repops.registry import reproducible

SHAPES = [((2, 6, 5, 3), 3), ((3, 4, 7), 2), ((2, 8), 4), ((1, 12, 2, 3, 2), 1)]


def gradients(shape: tuple[int, ...], groups: int, dtype: torch.dtype, affine: bool):
    torch.manual_seed(3)
    x = torch.randn(shape).to(dtype).requires_grad_()
    norm = nn.GroupNorm(groups, shape[1], affine=affine).to(dtype)
    if affine:
        nn.init.uniform_(norm.weight)
        nn.init.uniform_(norm.bias)
    out = norm(x)
    torch.sum(out * torch.linspace(-1, 2, out.numel(), dtype=dtype).view(shape)).backward()
    return [out.detach(), x.grad, *(each.grad for each in norm.parameters())]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("shape", "groups"), SHAPES)
def test_it_agrees_with_binary64(shape: tuple[int, ...], groups: int, affine: bool) -> None:
    torch.manual_seed(3)
    x = torch.randn(shape)
    weight, bias = (torch.rand(shape[1]), torch.rand(shape[1])) if affine else (None, None)
    wanted = made(x.double(), groups, *(e if e is None else e.double() for e in (weight, bias)))
    with reproducible():
        found = made(x, groups, weight, bias)
    for ours, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), right, rtol=2e-5, atol=2e-5)


def made(x, groups, weight, bias):
    x = x.clone().requires_grad_()
    parameters = [each.clone().requires_grad_() for each in (weight, bias) if each is not None]
    out = F.group_norm(x, groups, *(parameters or (None, None)))
    scale = torch.arange(out.numel()).remainder(7).to(x.dtype).view(out.shape)
    (out * scale).sum().backward()
    return [out.detach(), x.grad, *(each.grad for each in parameters)]


def test_kernels_compute_what_the_stages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with reproducible():
        by_kernels = gradients((2, 6, 4, 2), 3, torch.float32, True)
    monkeypatch.setattr(library, "load", lambda: None)
    monkeypatch.setattr(registry.warnings, "warn", lambda *_, **__: None)
    with reproducible():
        by_stages = gradients((2, 6, 4, 2), 3, torch.float32, True)
    for ours, right in zip(by_kernels, by_stages, strict=True):
        assert torch.equal(ours, right)


def test_half_types_are_computed_in_binary32() -> None:
    with reproducible():
        half = gradients((2, 6, 4, 2), 3, torch.bfloat16, True)
        single = gradients((2, 6, 4, 2), 3, torch.float32, True)
    torch.testing.assert_close(half[0].float(), single[0], rtol=0.02, atol=0.05)
