"""The commands of a user's day: up, train, look at the job, its report, verify, down."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

PROGRAM = """
import sys
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(4, 2)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def make():
    pl.seed_everything(1)
    x = torch.randn(64, 4)
    data = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=8)
    trainer = pl.Trainer(
        max_epochs=int(sys.argv[1]), logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    return trainer, Line(), data

if __name__ == "__main__":
    trainer, model, data = make()
    trainer.fit(model, data)
    print("trained to", trainer.current_epoch)
"""
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def gensyn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Done]]:
    folder = tmp_path_factory.mktemp("user")
    (folder / "line.py").write_text(PROGRAM)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GENSYN_HOME": str(folder / "g")}
    environ |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}

    def run(*arguments: str) -> Done:
        command = [sys.executable, "-m", "gensyn_lightning.cli.__main__", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=environ, check=False
        )

    up = run("up", "--detach", "--solvers", "2", "--verifiers", "1", "--json")
    assert up.returncode == 0, up.stderr
    yield run
    assert json.loads(run("down", "--json").stdout)["stopped"] is True


def test_a_users_day(gensyn: Callable[..., Done]) -> None:
    trained = gensyn("train", "line.py", "2", "--audit", "full", "--json")
    assert trained.returncode == 0, trained.stderr
    assert "trained to 2" in trained.stderr
    assert "VERIFIED" in trained.stderr
    name = json.loads(trained.stdout)["jobs"][0]["name"]

    listed = json.loads(gensyn("job", "ls", "--json").stdout)["jobs"]
    assert [(each["name"], each["state"]) for each in listed] == [(name, "SETTLED")]
    shown = json.loads(gensyn("job", "show", name, "--json").stdout)
    assert shown["receipt"]["job"] == shown["job"]
    lines = gensyn("job", "events", name, "--json").stdout.splitlines()
    kinds = [json.loads(each)["kind"] for each in lines]
    assert (kinds[0], kinds[-1]) == ("submitted", "settled")
    assert gensyn("job", "wait", name).returncode == 0
    assert gensyn("job", "cancel", name).returncode == 1

    verified = gensyn("verify", "report.json", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["verdict"] == "verified"
    assert gensyn("report", "report.json", "--html", "report.html").returncode == 0


def test_a_factory_is_trained_with_the_arguments_after_it(gensyn: Callable[..., Done]) -> None:
    trained = gensyn("train", "line.py:make", "1", "--audit", "none", "--quiet", "--json")
    assert trained.returncode == 0, trained.stderr
    assert len(json.loads(trained.stdout)["jobs"]) == 1
    assert "gensyn:" not in trained.stderr


def test_a_doctor_finds_a_running_network_well(gensyn: Callable[..., Done]) -> None:
    done = gensyn("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each["state"] for each in json.loads(done.stdout)["findings"]}
    assert found["coordinator"] == found["solver-1"] == found["key submitter"] == "ok"
