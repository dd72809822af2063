"""A notebook trains with the magics; its report is verified, replayed and shown by the command."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from gensyn_lightning import config
from gensyn_lightning.network import Network
from gensyn_lightning.report.finding import Exit
from gensyn_lightning.report.trust import read
from gensyn_lightning.report.verify import verify

KERNEL_S = 240
CELLS = (
    "%load_ext kernel_ext",
    """
import lightning.pytorch as pl, torch
from torch.utils.data import DataLoader, TensorDataset

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
    def training_step(self, batch, index):
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("loss", loss)
        return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

torch.manual_seed(0)
data = DataLoader(TensorDataset(torch.randn(64, 4), torch.randn(64, 2)), batch_size=4)
trainer = pl.Trainer(max_epochs=2, logger=False, enable_progress_bar=False,
                     enable_model_summary=False, default_root_dir="first")
job = (trainer, Net(), data)
""",
    "%gensyn_train job --audit full -o outcome",
    "print(outcome.verdict, trainer.current_epoch, trainer.global_step)",
    """%%gensyn_train --audit full --quiet -o second
model = Net()
again = pl.Trainer(max_epochs=1, logger=False, enable_progress_bar=False,
                   enable_model_summary=False, default_root_dir="second")
again.fit(model, data)
""",
    "print(second.verdict, again.global_step)",
    "%gensyn_status",
    "%gensyn_report --html page.html",
    "%gensyn_train jbo",
)
TRAINED, SAID, QUIET, AGAIN, STATUS, REPORT, MISTAKE = range(2, 9)


@dataclass(frozen=True)
class Ran:
    """A notebook that was executed in `folder`, against the network of `home`."""

    cells: list[Any]
    folder: Path
    home: Path

    def text(self, cell: int) -> str:
        return "".join(str(each.get("text", "")) for each in self.cells[cell].outputs)

    def shown(self, cell: int) -> dict[str, str]:
        found: list[dict[str, str]] = [
            each.data for each in self.cells[cell].outputs if "data" in each
        ]
        return found[-1]

    def gensyn(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gensyn_lightning.cli.__main__", *words],
            cwd=self.folder,
            env=os.environ | {"GENSYN_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebook")
    before = os.environ.get("GENSYN_HOME")
    os.environ["GENSYN_HOME"] = str(home)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    notebook.cells[MISTAKE].metadata["tags"] = ["raises-exception"]
    client = nbclient.NotebookClient(
        notebook,
        timeout=KERNEL_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
        yield Ran(notebook.cells, folder, home)
    finally:
        Network.stop(config.resolve({"home": home}).home)
        os.environ.pop("GENSYN_HOME")
        if before is not None:
            os.environ["GENSYN_HOME"] = before


def test_the_line_magic_trains_and_leaves_its_report(ran: Ran) -> None:
    shown = ran.shown(TRAINED)
    assert shown["text/plain"].startswith("✔ VERIFIED")
    assert "<script" not in shown["text/html"]
    assert ran.text(SAID).split() == ["VERIFIED", "2", "32"]


def test_the_cell_magic_sends_the_fits_of_its_cell(ran: Ran) -> None:
    assert "gensyn:" not in ran.text(QUIET), "quiet means quiet"
    assert ran.text(AGAIN).split() == ["VERIFIED", "16"]


def test_status_lists_the_network_and_its_jobs(ran: Ran) -> None:
    lines = ran.text(STATUS).splitlines()
    assert lines[0].startswith("network: 127.0.0.1:")
    assert len([each for each in lines if each.startswith("job-")]) == 2
    assert lines[-1].endswith("VERIFIED")


def test_the_report_magic_shows_the_last_report(ran: Ran) -> None:
    assert ran.shown(REPORT)["text/plain"].startswith("✔ VERIFIED")
    assert (ran.folder / "page.html").read_text().startswith("<!DOCTYPE html>")


def test_a_mistake_is_one_line(ran: Ran) -> None:
    [shown] = ran.cells[MISTAKE].outputs
    assert shown.output_type == "error"
    assert shown.traceback == ["gensyn: there is no jbo (did you mean job?)"]


def test_no_widget_state_is_left_behind(ran: Ran) -> None:
    for cell in ran.cells:
        for output in cell.outputs:
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


def test_the_command_verifies_the_model_and_replays_segments(ran: Ran) -> None:
    [checkpoint] = (ran.folder / "first").rglob("*.ckpt")
    done = ran.gensyn(
        "verify", "first/report.json", "--model", str(checkpoint), "--replay", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)["checks"]
    assert {each["level"] for each in checks} == {0, 1, 2, 3, 4}
    open_ends = [each["name"] for each in checks if each["result"] != "PASS"]
    assert open_ends == ["numbers stand under their outputs roots"]  # the program logs none
    assert "the receipt is on the chain" in {each["name"] for each in checks}


def test_another_model_does_not_pass_for_this_one(ran: Ran) -> None:
    [checkpoint] = (ran.folder / "second").rglob("*.ckpt")
    done = ran.gensyn("verify", "first/report.json", "--model", str(checkpoint))
    assert done.returncode == 3, done.stderr


def test_no_byte_of_a_real_report_may_change(ran: Ran) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    report, pins = (ran.folder / "first/report.json").read_bytes(), read(ran.home / "trust.json")
    assert verify(report, pins).exit_code() is Exit.VERIFIED
    for _ in range(500):
        place, mask = dice.randrange(len(report)), 1 << dice.randrange(8)
        changed = report[:place] + bytes([report[place] ^ mask]) + report[place + 1 :]
        assert verify(changed, pins).exit_code() is Exit.MISMATCH, place


def test_a_report_is_made_anew_from_the_network(ran: Ran) -> None:
    report = json.loads((ran.folder / "first/report.json").read_text())
    name = "job-" + report["body"]["dossier"]["job"]["id"][:16]
    done = ran.gensyn("report", name, "-o", "again.json")
    assert done.returncode == 0, done.stderr
    again = json.loads((ran.folder / "again.json").read_text())
    assert again["body"]["summary"] == report["body"]["summary"]
    assert ran.gensyn("verify", "again.json").returncode == 0


def test_elsewhere_the_signers_are_unknown(ran: Ran, tmp_path: Path) -> None:
    stranger = Ran(ran.cells, ran.folder, tmp_path)
    assert stranger.gensyn("verify", "first/report.json").returncode == 4
    known = str(ran.home / "trust.json")
    assert stranger.gensyn("verify", "first/report.json", "--trust", known).returncode == 0


def test_what_is_shown_names_who_did_what(ran: Ran) -> None:
    done = ran.gensyn("report", "first/report.json")
    for name in ("submitter", "coordinator", "solver-", "✔ same bits", "Not checked"):
        assert name in done.stderr
