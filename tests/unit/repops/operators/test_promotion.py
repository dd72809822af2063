"""The type of a result is the one that torch's own rules give it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gensyn_lightning.repops import registry
from gensyn_lightning.repops.shim import loader


@pytest.fixture(autouse=True)
def default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


def types() -> list[torch.dtype]:
    whole, truths = torch.arange(3), torch.tensor([True, False])
    made = [whole / 2, whole * 0.1, whole + 0.5, whole.sqrt(), whole**2, truths + 1, truths * 0.5]
    made += [whole.float() * 0.1, whole.half() + whole.float(), whole + torch.tensor(0.5)]
    return [each.dtype for each in made]


@pytest.mark.parametrize("by_shim", [True, False])
def test_integers_meet_numbers_in_the_default_type_whatever_it_was_before(
    by_shim: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_shim:
        monkeypatch.setattr(loader, "load", lambda: None)
    defaults = (torch.float32, torch.float64, torch.bfloat16, torch.float32)
    found = []
    with registry.reproducible():
        for each in defaults * 2:
            torch.set_default_dtype(each)
            found.append(types())
    expected = []
    for each in defaults * 2:
        torch.set_default_dtype(each)
        expected.append(types())
    assert found == expected
