"""A rehearsal leaves the user's trainer as a fit would have before its first batch."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from gensyn_lightning.training.rehearsal import conclude, finish, rehearse

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=["pytorch_lightning", "lightning.pytorch"])
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(flavour: str, folder: Path) -> tuple[Any, Any, list[str]]:
    pl = importlib.import_module(flavour)
    boring = importlib.import_module(f"{flavour}.demos.boring_classes").BoringModel
    said: list[str] = []

    class Model(boring):  # type: ignore[misc, valid-type]
        def setup(self, stage: str) -> None:
            said.append("setup " + stage)
            print("loud")
            self.late = torch.nn.Linear(2, 2)

        def teardown(self, stage: str) -> None:
            said.append("teardown " + stage)

        def configure_callbacks(self) -> Any:
            return [importlib.import_module(f"{flavour}.callbacks").Timer()]

        def training_step(self, *args: Any) -> Any:
            raise AssertionError("nothing is trained")

    trainer = pl.Trainer(
        default_root_dir=folder, logger=False, accelerator="cpu", enable_progress_bar=False
    )
    trainer.state.fn = importlib.import_module(f"{flavour}.trainer.states").TrainerFn.FITTING
    return trainer, Model(), said


def test_hooks_run_once_and_nothing_is_said(
    flavour: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, model, said = build(flavour, tmp_path)
    rehearse(trainer, trainer._fit_impl, (model,), {})
    assert said == ["setup fit"]
    assert isinstance(model.late, torch.nn.Linear)
    assert trainer.optimizers[0].param_groups[0]["params"][-1] is model.late.bias
    assert any(type(each).__name__ == "Timer" for each in trainer.callbacks)
    assert trainer.num_training_batches == 64
    assert len(trainer.train_dataloader) == 64
    assert model.trainer is trainer
    conclude(trainer)
    finish(trainer)
    assert said == ["setup fit", "teardown fit"]
    assert trainer.state.finished
    assert not trainer.training
    assert capsys.readouterr().out == ""


def test_loaders_given_by_hand_are_used(flavour: str, tmp_path: Path) -> None:
    trainer, model, _ = build(flavour, tmp_path)
    loader = DataLoader(torch.zeros(10, 32), batch_size=2)
    rehearse(trainer, trainer._fit_impl, (model, loader), {"val_dataloaders": loader})
    assert trainer.num_training_batches == 5
    assert len(trainer.val_dataloaders) == 5


def test_what_goes_wrong_here_is_not_hidden(flavour: str, tmp_path: Path) -> None:
    trainer, model, _ = build(flavour, tmp_path)

    def setup(stage: str) -> None:
        raise OSError("no data on this machine")

    model.setup = setup
    with pytest.raises(OSError, match="no data on this machine"):
        rehearse(trainer, trainer._fit_impl, (model,), {})
