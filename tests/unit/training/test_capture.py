"""A fit is captured whole, in both Lightning packages, and the user's trainer is left as it was."""

import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from gensyn_lightning.errors import CaptureError
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.training.capture import Captured, capture
from gensyn_lightning.training.manifest import PlaceKind

pytestmark = pytest.mark.filterwarnings("ignore")
FLAVOURS = ("pytorch_lightning", "lightning.pytorch")

PROJECT = """
import {flavour} as pl
import torch
from torch import nn

SCALE = 3.0

class Broken(Exception):
    pass

def loss_of(output, target):
    return nn.functional.mse_loss(output * SCALE, target)

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(300, 300)
        self.notes = {{"path": None}}

    def training_step(self, batch, batch_idx):
        return loss_of(self.layer(batch[0]), batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
"""

LOADER = """
import sys
from pathlib import Path
import torch
from gensyn_lightning.protocol.digest import parse_digest
from gensyn_lightning.training.program import lay_out, load_program, read_manifest
artifacts, base, name = Path(sys.argv[1]), Path(sys.argv[2]), parse_digest(sys.argv[3])
manifest = read_manifest(name, artifacts)
folders = lay_out(manifest, base)
recorders = [f"recorder of {each.name}" for each in manifest.loggers]
program = load_program(name, artifacts, folders, loggers=recorders)
model = program.args[0]
print(type(model).__module__, "mymodel" in sys.modules)
print(float(model.layer.weight.sum()), float(model.training_step([torch.ones(2, 300)], 0)) > 0)
print(model.notes["path"] == str(folders["root"] / "notes.txt"))
print(program.trainer.default_root_dir == str(folders["root"]))
print(program.trainer.loggers, type(program.trainer.strategy).__name__)
print(program.trainer.strategy.launcher, type(program.trainer.progress_bar_callback).__name__)
print(program.function, len(program.generators["torch"]), program.trainer.state.fn)
"""


class Fit:
    """A trainer about to fit, as `Trainer.fit` leaves it when it calls the launcher."""

    def __init__(self, flavour: str, folder: Path, **options: Any) -> None:
        self.pl = importlib.import_module(flavour)
        demos = importlib.import_module(f"{flavour}.demos.boring_classes")
        settings = {
            "default_root_dir": folder / "runs",
            "logger": False,
            "accelerator": "cpu",
            "max_epochs": 1,
            "enable_model_summary": False,
        }
        self.trainer = self.pl.Trainer(**(settings | options))
        self.model = demos.BoringModel()
        self.trainer.state.fn = importlib.import_module(
            f"{flavour}.trainer.states"
        ).TrainerFn.FITTING

    def capture(self, *args: Any, **kwargs: Any) -> Captured:
        self.trainer.strategy._lightning_module = self.model
        return capture(self.trainer, self.trainer._fit_impl, (self.model, *args), kwargs)


@pytest.fixture(params=FLAVOURS)
def fit(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    monkeypatch.chdir(tmp_path)
    return Fit(request.param, tmp_path)


def store(captured: Captured, folder: Path) -> Path:
    folder.mkdir()
    for digest, data in captured.artifacts.items():
        assert digest_of(data) == digest
        (folder / digest.hex()).write_bytes(data)
    return folder


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_project_module_arrives_where_nobody_can_import_it(
    flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "mymodel.py").write_text(PROJECT.format(flavour=flavour))
    monkeypatch.syspath_prepend(project)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("mymodel", None)
    loggers = importlib.import_module(f"{flavour}.loggers")
    fit = Fit(
        flavour,
        tmp_path,
        strategy="gensyn",
        logger=loggers.CSVLogger(tmp_path / "runs", name="mine"),
    )
    fit.model = importlib.import_module("mymodel").Model()
    fit.model.notes["path"] = str(tmp_path / "runs/notes.txt")
    captured = fit.capture()
    assert captured.manifest.modules_by_value == ("mymodel",)
    assert str(tmp_path).encode() not in captured.artifacts[captured.manifest_digest]

    artifacts = store(captured, tmp_path / "artifacts")
    name = captured.manifest_digest.hex()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADER, artifacts, tmp_path / "scratch", name],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    total = float(fit.model.layer.weight.sum())
    assert done.stdout.splitlines() == [
        "mymodel False",
        f"{total} True",
        "True",
        "True",
        "['recorder of mine'] SingleDeviceStrategy",
        "None ProgressBar",
        "_fit_impl 5056 TrainerFn.FITTING",
    ]


def test_the_users_trainer_is_left_as_it_was(fit: Fit) -> None:
    before = (fit.trainer.strategy, list(fit.trainer.callbacks), fit.trainer.loggers)
    generators = (torch.get_rng_state().tolist(), numpy.random.get_state()[2])
    fit.capture()
    assert (fit.trainer.strategy, fit.trainer.callbacks, fit.trainer.loggers) == before
    assert (torch.get_rng_state().tolist(), numpy.random.get_state()[2]) == generators


def test_large_data_travels_beside_the_program_and_once(fit: Fit) -> None:
    data = torch.randn(1000, 32)
    loader = DataLoader(TensorDataset(data, data), batch_size=10)
    captured = fit.capture(loader)
    assert [each.length for each in captured.manifest.arrays] == [128_000]
    assert captured.manifest.program.length < 100_000


def test_packages_and_interpreter_are_named(fit: Fit) -> None:
    manifest = fit.capture().manifest
    named = {each.name for each in manifest.packages}
    own = "lightning" if manifest.flavour == "lightning.pytorch" else "pytorch-lightning"
    assert {"torch", "numpy", "cloudpickle", "torchmetrics", own} <= named
    assert manifest.interpreter == ".".join(map(str, sys.version_info[:3]))
    assert manifest.threads == torch.get_num_threads()


def test_what_cannot_travel_is_named_with_its_path(fit: Fit) -> None:
    fit.model.extra = {"deep": [1, threading.Lock()]}
    with pytest.raises(CaptureError, match=r"args\[0\]\.extra\.deep\[1\] \(lock\)") as caught:
        fit.capture()
    assert caught.value.hint


def test_a_checkpoint_travels_as_its_content(fit: Fit, tmp_path: Path) -> None:
    path = tmp_path / "from.ckpt"
    torch.save({"state_dict": {"w": torch.zeros(100_000)}, "where": str(tmp_path / "runs")}, path)
    captured = fit.capture(ckpt_path=str(path), weights_only=False)
    assert captured.resume_path == str(path)
    assert [each.length for each in captured.manifest.arrays] == [400_000]


def test_several_devices_are_refused(tmp_path: Path) -> None:
    fit = Fit("pytorch_lightning", tmp_path)
    fit.trainer._accelerator_connector._num_nodes_flag = 2
    with pytest.raises(CaptureError, match="one device"):
        fit.capture()


def test_seeding_by_environment_travels(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "11")
    monkeypatch.setenv("PL_SEED_WORKERS", "1")
    names = {each.name: each.value for each in fit.capture().manifest.environment}
    assert names == {"PL_GLOBAL_SEED": "11", "PL_SEED_WORKERS": "1"}


def test_a_relative_log_folder_stays_as_the_program_spells_it(fit: Fit) -> None:
    loggers = importlib.import_module(f"{fit.pl.__name__}.loggers")
    fit.trainer.logger = loggers.CSVLogger("mine/logs", name="x")
    manifest = fit.capture().manifest
    assert manifest.loggers[0].save_dir.kind is PlaceKind.LITERAL
    assert manifest.loggers[0].version == "0"
    assert manifest.loggers[0].numbered
    writable = {each.name: each for each in manifest.folders if each.writable}
    assert writable["logger-0"].relative == os.path.join("mine", "logs")
