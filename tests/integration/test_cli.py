"""The commands of a user's day: up, train, look at the job, its report, verify, down."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

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
        print("batch", batch_idx)
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
Documents = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def gensyn(
    tmp_path_factory: pytest.TempPathFactory, documents: Documents
) -> Iterator[Callable[..., Done]]:
    folder = tmp_path_factory.mktemp("user")
    (folder / "line.py").write_text(PROGRAM)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GENSYN_HOME": str(folder / "g")}
    environ |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}

    def run(*arguments: str) -> Done:
        command = [sys.executable, "-m", "gensyn_lightning.cli.__main__", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=environ, check=False
        )

    run.command = [sys.executable, "-m", "gensyn_lightning.cli.__main__"]  # type: ignore[attr-defined]
    run.options = {"cwd": folder, "env": environ}  # type: ignore[attr-defined]
    up = run("up", "--detach", "--solvers", "2", "--verifiers", "1", "--json")
    assert up.returncode == 0, up.stderr
    documents(up.stdout)
    yield run
    assert json.loads(run("down", "--json").stdout)["stopped"] is True


def test_a_users_day(gensyn: Callable[..., Done], documents: Documents) -> None:
    trained = gensyn("train", "line.py", "2", "--audit", "full", "--json")
    assert trained.returncode == 0, trained.stderr
    assert "trained to 2" in trained.stderr
    assert "VERIFIED" in trained.stderr
    name = json.loads(trained.stdout)["jobs"][0]["name"]

    documents(trained.stdout)
    (listed,) = documents(gensyn("job", "ls", "--json").stdout)
    assert [(each["name"], each["state"]) for each in listed["jobs"]] == [(name, "SETTLED")]
    (shown,) = documents(gensyn("job", "show", name, "--json").stdout)
    assert shown["receipt"]["job"] == shown["job"]
    kinds = [each["kind"] for each in documents(gensyn("job", "events", name, "--json").stdout)]
    assert (kinds[0], kinds[-1]) == ("submitted", "settled")
    said = gensyn("job", "logs", name, "-f")
    assert [each for each in said.stdout.splitlines() if "batch" in each] == [
        f"batch {each}" for each in [*range(8), *range(8)]
    ]
    lines = documents(gensyn("job", "logs", name, "--json").stdout)
    assert [each["text"] for each in lines] == said.stdout.splitlines()
    later = documents(
        gensyn("job", "logs", name, "--json", "--since", str(lines[0]["cursor"])).stdout
    )
    assert later == [each for each in lines if each["cursor"] > lines[0]["cursor"]]
    waited = gensyn("job", "wait", name, "--json")
    assert waited.returncode == 0
    assert documents(waited.stdout) == [shown]
    cancelled = gensyn("job", "cancel", name, "--json")
    assert cancelled.returncode == 1
    assert documents(cancelled.stdout)[0]["error"]["code"] == "invalid-transition"

    verified = gensyn("verify", "report.json", "--json")
    documents(verified.stdout)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["verdict"] == "verified"
    assert gensyn("report", "report.json", "--html", "report.html").returncode == 0


def test_a_factory_is_trained_with_the_arguments_after_it(gensyn: Callable[..., Done]) -> None:
    trained = gensyn("train", "line.py:make", "1", "--audit", "none", "--quiet", "--json")
    assert trained.returncode == 0, trained.stderr
    assert len(json.loads(trained.stdout)["jobs"]) == 1
    assert "gensyn:" not in trained.stderr


def test_a_node_owners_day(gensyn: Callable[..., Done], documents: Documents) -> None:
    (listed,) = documents(gensyn("node", "ls", "--json").stdout)
    assert {each["name"] for each in listed["nodes"]} == {"solver-1", "solver-2", "verifier-1"}
    assert all(each["pid"] and each["numerics"] for each in listed["nodes"])
    (shown,) = documents(gensyn("node", "show", "verifier-1", "--json").stdout)
    assert shown["roles"] == ["verifier"]
    missing = gensyn("node", "show", "verifier-9")
    assert missing.returncode == 1
    assert "it knows" in missing.stderr

    drained = gensyn("node", "drain", "solver-2", "--wait", "--timeout", "120", "--json")
    assert drained.returncode == 0, drained.stderr
    (gone,) = documents(drained.stdout)
    assert (gone["pid"], gone["roles"], gone["numerics"]) == (None, [], [])
    assert gensyn("node", "drain", "solver-2").returncode == 1
    alone = gensyn("train", "line.py", "1", "--audit", "full", "--quiet")
    assert alone.returncode == 0, alone.stderr


def test_a_node_works_in_the_foreground_until_ctrl_c(
    gensyn: Callable[..., Done], documents: Documents
) -> None:
    taken = gensyn("node", "start", "--name", "verifier-1")
    assert taken.returncode == 1
    assert "another --name" in taken.stderr
    started = subprocess.Popen(
        [*gensyn.command, "node", "start", "--role", "verifier", "--name", "bob", "--json"],  # type: ignore[attr-defined]
        **gensyn.options,  # type: ignore[attr-defined]
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert started.stdout is not None
    (bob,) = documents(started.stdout.readline())
    assert (bob["name"], bob["roles"]) == ("bob", ["verifier"])
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 0
    started.stdout.close()
    (after,) = documents(gensyn("node", "show", "bob", "--json").stdout)
    assert (after["pid"], after["roles"]) == (None, [])


def test_a_doctor_finds_a_running_network_well(
    gensyn: Callable[..., Done], documents: Documents
) -> None:
    done = gensyn("doctor", "--json")
    assert done.returncode == 0, done.stderr
    (document,) = documents(done.stdout)
    found = {each["name"]: each["state"] for each in document["findings"]}
    assert found["coordinator"] == found["solver-1"] == found["key submitter"] == "ok"
