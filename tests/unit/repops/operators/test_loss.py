"""Losses of classes against binary64; targets that name no class."""

import itertools

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.repops import library, registry
from gensyn_lightning.repops.registry import reproducible
from gensyn_lightning.repops.shim import loader

REDUCTIONS = ["none", "mean", "sum"]


def loss_and_gradient(x: torch.Tensor, y: torch.Tensor, weight, **settings):
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(x, y, None if weight is None else weight.to(x.dtype), **settings)
    loss.sum().backward()
    return loss.detach(), x.grad


@pytest.mark.parametrize(
    ("reduction", "weighted", "smoothing"),
    list(itertools.product(REDUCTIONS, [False, True], [0.0, 0.1])),
)
@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 2, 3), (5,)])
def test_cross_entropy_agrees_with_binary64(
    shape: tuple[int, ...], reduction: str, weighted: bool, smoothing: float
) -> None:
    torch.manual_seed(1)
    x = torch.randn(shape)
    classes = shape[1] if len(shape) > 1 else shape[0]
    places = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    y = torch.randint(classes, places)
    weight = torch.rand(classes) + 0.1 if weighted else None
    settings = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": 1}
    wanted = loss_and_gradient(x.double(), y, weight, **settings)
    with reproducible():
        found = loss_and_gradient(x, y, weight, **settings)
    for ours, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), right, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_probabilities_may_be_targets() -> None:
    x, y = torch.randn(6, 4), torch.rand(6, 4).softmax(1)
    wanted = loss_and_gradient(x.double(), y.double(), None)
    with reproducible():
        found = loss_and_gradient(x, y, None)
    torch.testing.assert_close(found[0].double(), wanted[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", [4, -1])
def test_a_target_that_names_no_class_is_an_error(target: int) -> None:
    with reproducible(), pytest.raises(IndexError):
        F.nll_loss(torch.randn(2, 4), torch.tensor([0, target]))


def test_the_error_about_a_class_names_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(2, 4), torch.tensor([0, 4])
    for dispatch in ("shim", "python"):
        if dispatch == "python":
            monkeypatch.setattr(loader, "load", lambda: None)
        with reproducible():
            for _ in range(2):
                with pytest.raises(IndexError, match=r"aten::nll_loss_forward.*: index out of"):
                    F.nll_loss(x, y)


def test_kernels_compute_what_the_stages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, weight = torch.randn(9, 5), torch.randint(5, (9,)), torch.rand(5)
    with reproducible():
        by_kernels = [loss_and_gradient(x, y, weight, reduction=each) for each in REDUCTIONS]
    monkeypatch.setattr(library, "load", lambda: None)
    monkeypatch.setattr(registry.warnings, "warn", lambda *_, **__: None)
    with reproducible():
        by_stages = [loss_and_gradient(x, y, weight, reduction=each) for each in REDUCTIONS]
    for ours, right in zip(by_kernels, by_stages, strict=True):
        assert all(map(torch.equal, ours, right))


def test_half_types_are_summed_in_binary32() -> None:
    x, y = torch.randn(3000, 4).bfloat16().log_softmax(1), torch.randint(4, (3000,))
    with reproducible():
        found = F.nll_loss(x, y)
    right = F.nll_loss(x.double(), y)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.double(), right, rtol=0.005, atol=0.005)
