"""Weight normalisation against binary64."""

import pytest
import torch
from torch import nn

from gensyn_lightning.repops.registry import reproducible


@pytest.mark.parametrize("layer", [nn.Linear(5, 3), nn.Conv1d(4, 6, 3)])
def test_it_agrees_with_binary64(layer: nn.Module) -> None:
    layer = nn.utils.parametrizations.weight_norm(layer)
    x = torch.randn(2, 5) if isinstance(layer, nn.Linear) else torch.randn(2, 4, 9)
    layer.double()(x.double()).square().sum().backward()
    wanted = [each.grad for each in layer.parameters()]
    layer.zero_grad()
    layer.float()
    with reproducible():
        layer(x).square().sum().backward()
    for each, right in zip(layer.parameters(), wanted, strict=True):
        torch.testing.assert_close(each.grad.double(), right.double(), rtol=1e-4, atol=1e-4)
