"""A user learns beforehand what of a model has no reproducible definition."""

import json
import subprocess
import sys
from pathlib import Path

from gensyn_lightning.network import Home
from gensyn_lightning.network.plan import runner_environment

PROGRAM = """
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        out = self.layer(batch[0])
        return ({expression}).mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

def build():
    data = DataLoader(TensorDataset(torch.ones(8, 4)), batch_size=2)
    return Trainer(max_epochs=3, accelerator="cpu"), Model(), data
"""


def refused(tmp_path: Path, expression: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(expression=expression))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gensyn_lightning.cli.coverage", f"{path}:build"],
        env=runner_environment(Home(tmp_path / "home")),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        cwd=tmp_path,
    )
    assert sorted(each.name for each in tmp_path.iterdir()) in (
        ["program.py"],
        ["home", "program.py"],
    )
    found: list[str] = json.loads(done.stdout)["refused"]
    return found


def test_a_covered_model_has_nothing_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "out.exp()") == []


def test_every_operator_that_is_not_covered_is_named(tmp_path: Path) -> None:
    found = refused(
        tmp_path, "torch.special.bessel_j0(out.detach()) + torch.special.zeta(out.detach(), out)"
    )
    assert any("special_bessel_j0" in each and "program.py:" in each for each in found)
    assert any("special_zeta" in each for each in found)
