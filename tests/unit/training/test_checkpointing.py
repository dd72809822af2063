"""Checkpoints in a runner are canonical state, and are read back as what was saved."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training.checkpointing import checkpoint_io, is_checkpoint
from gensyn_lightning.training.named import resolve_loaded
from gensyn_lightning.training.program import Resume

CHECKPOINT = {
    "epoch": 1,
    "state_dict": OrderedDict(weight=torch.arange(4.0), bias=torch.zeros(1)),
    "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": torch.tensor(0.5)}},
}


def io(folder: Path, resume: Resume | None = None) -> Any:
    return checkpoint_io("pytorch_lightning", {"root": folder}, resume, resolve_loaded)


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return checkpoint_io(request.param, {"root": tmp_path}, None, resolve_loaded)


def test_a_checkpoint_comes_back(plugin: Any, tmp_path: Path) -> None:
    path = tmp_path / "a/b.ckpt"
    plugin.save_checkpoint(CHECKPOINT, path)
    back = plugin.load_checkpoint(path)
    assert is_checkpoint(path)
    assert list(back) == list(CHECKPOINT)
    assert type(back["state_dict"]) is OrderedDict
    assert torch.equal(back["state_dict"]["weight"], torch.arange(4.0))
    plugin.remove_checkpoint(path)
    plugin.remove_checkpoint(path)
    assert list(path.parent.iterdir()) == []


def test_the_same_checkpoint_is_the_same_bytes(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        content = {**CHECKPOINT, "path": str(folder / "x")}
        io(folder).save_checkpoint(content, folder / "a.ckpt")
    one, two = (tmp_path / name / "a.ckpt" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_the_checkpoint_a_fit_resumes_from_is_not_on_disk(tmp_path: Path) -> None:
    path = str(tmp_path / "before.ckpt")
    assert io(tmp_path, Resume(path, CHECKPOINT)).load_checkpoint(path) is CHECKPOINT


def test_weights_of_torch_are_read_but_not_its_pickles(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "weights.pt")
    assert torch.equal(io(tmp_path).load_checkpoint(tmp_path / "weights.pt")["a"], torch.ones(1))


def test_a_missing_checkpoint_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        io(tmp_path).load_checkpoint(tmp_path / "none.ckpt")


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="hyper_parameters/f"):
        io(tmp_path).save_checkpoint({"hyper_parameters": {"f": open}}, tmp_path / "a.ckpt")
    assert list(tmp_path.iterdir()) == []
