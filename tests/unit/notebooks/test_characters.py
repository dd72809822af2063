from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

PROGRAM = Path(__file__).parents[3] / "notebooks/characters.py"


@pytest.fixture(scope="module")
def characters() -> ModuleType:
    spec = importlib.util.spec_from_file_location("characters", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_windows_are_the_text_and_held_out_text_is_apart(characters: ModuleType) -> None:
    data, text = characters.Sources(), characters.source(characters.TRAIN)
    [rows] = data.parts["train"].tensors
    read = "".join(data.alphabet[each] for each in rows[:, :-1].flatten())
    assert text.startswith(read)
    assert len(text) - len(read) <= characters.CONTEXT
    assert not set(characters.TRAIN.split()) & set(characters.VALIDATE.split())


def test_no_place_sees_what_comes_after_it(characters: ModuleType) -> None:
    model = characters.Writer("abc", width=8, layers=1).eval()
    row = torch.tensor([[0, 1, 2, 0, 1]])
    changed = row.clone()
    changed[0, 3] = 2
    before, after = model(row), model(changed)
    assert torch.equal(before[0, :3], after[0, :3])
    assert not torch.equal(before[0, 3], after[0, 3])


def test_a_sample_goes_on_from_its_prompt_and_is_the_same_again(characters: ModuleType) -> None:
    model = characters.Writer("abc", width=8, layers=1)
    longer = characters.CONTEXT + 10
    written = characters.sample(model, "ab", longer)
    assert written.startswith("ab")
    assert len(written) == 2 + longer
    assert set(written) == set("abc")
    assert characters.sample(model, "ab", longer) == written


@pytest.mark.parametrize(("prompt", "said"), [("", "empty"), ("aé", "é")])
def test_a_prompt_that_cannot_be_read_is_refused(
    characters: ModuleType, prompt: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        characters.sample(characters.Writer("abc", width=8, layers=1), prompt)


def test_the_rate_rises_to_its_full_height_and_falls_to_nothing(characters: ModuleType) -> None:
    share = characters.Share(100)
    shares = [share(step) for step in range(101)]
    assert max(shares) == 1.0
    assert shares[:10] == sorted(shares[:10])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[100] == 0
