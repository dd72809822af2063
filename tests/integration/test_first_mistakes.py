"""What people get wrong on their first day, and the one line that tells each of them the way out.

1. The strategy's name is misspelt.
2. Several devices are asked for.
3. A GPU is asked for.
4. The data set holds a lock, which cannot travel.
5. The module holds a file open for writing, which cannot travel.
6. A file is read inside the fit; it is not there.
7. A file that lay in the trainer's folder before is added to; what was in it did not travel.
8. An environment variable is read inside the fit; it is not set there.
9. A tensor is moved to "cuda" by hand in `training_step`.
10. An operator has no reproducible definition.
11. What the program counts in a global is lost when the fit is cut.
12. The model is given parameters while it trains.
13. `audit` is none of its words and no share.
14. The budget is above the balance.
15. The coordinator's address is wrong.
16. No network runs.
17. `gensyn verify` is given a file that is not there.
18. `gensyn verify` is given a file that is no report.
19. A job is called by another name than its own.
20. The script is misspelt.
21. A variable is misspelt in a notebook.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = """
import os
import sys
import threading
import pytorch_lightning as pl
import torch
import torch.nn.utils.prune
from torch.utils.data import DataLoader, TensorDataset

MISTAKE = sys.argv[1]
STEPS = []

class Locked(TensorDataset):
    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.lock = threading.Lock()

class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(4, 2)
        if MISTAKE == "handle":
            self.notes = open("notes.txt", "w")

    def training_step(self, batch, batch_idx):
        x, y = batch
        if MISTAKE == "read":
            open("weights.csv").read()
        if MISTAKE == "append":
            open(f"{self.trainer.default_root_dir}/history.txt", "a").write("again")
        if MISTAKE == "variable":
            x = x * float(os.environ.get("LINE_SCALE", "1"))
        if MISTAKE == "prune":
            torch.nn.utils.prune.identity(self.net, "weight")
        if MISTAKE == "cuda":
            x = x.cuda()
        out = self.net(x)
        if MISTAKE == "operator":
            out = out + torch.special.bessel_j0(out.detach())
        if MISTAKE == "global":
            STEPS.append(batch_idx)
            out = out * len(STEPS)
        return torch.nn.functional.cross_entropy(out, y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

options = {
    "name": {"strategy": "gensin"},
    "devices": {"devices": 2, "accelerator": "cpu"},
    "gpu": {"accelerator": "gpu"},
    "append": {"default_root_dir": "kept"},
}.get(MISTAKE, {})
kind = Locked if MISTAKE == "lock" else TensorDataset
data = DataLoader(kind(torch.randn(32, 4), torch.zeros(32).long()), batch_size=8)
trainer = pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False,
                     enable_progress_bar=False, enable_model_summary=False, **options)
trainer.fit(Line(), data)
"""
NOTEBOOK = """
get_ipython().run_line_magic("load_ext", "kernel_ext")
modell = None
get_ipython().run_line_magic("gensyn_train", "model")
"""
Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "line.py").write_text(PROGRAM)
    (folder / "weights.csv").write_text("1,2")
    (folder / "kept").mkdir()
    (folder / "kept/history.txt").write_text("last week")
    (folder / "notes.json").write_text('{"loss": 0.1}')
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GENSYN_HOME": str(folder / "g")}
    environ |= {"LINE_SCALE": "3"}
    environ |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}

    def run(*arguments: str, module: str = "gensyn_lightning.cli.__main__", **more: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environ | more,
            check=False,
        )

    up = run("up", "--detach", "--solvers", "1", "--verifiers", "1", "--json")
    assert up.returncode == 0, up.stderr
    yield run
    assert json.loads(run("down", "--json").stdout)["stopped"] is True


def last_line(done: Done) -> str:
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("mistake", "what", "way_out"),
    [
        ("name", "strategy='gensin'", '"gensyn"'),
        ("devices", "one device", "devices=1"),
        ("gpu", "gpu", 'accelerator="cpu"'),
        ("lock", "dataset.lock", "setup()"),
        ("handle", "notes", "setup()"),
        ("read", "weights.csv", "before `fit`"),
        ("append", "history.txt", "a new file"),
        ("cuda", "CUDA", "self.device"),
        ("operator", "special_bessel_j0", "line.py:"),
        ("variable", "LINE_SCALE", "keep the value"),
        ("prune", "net.weight_mask", "setup()"),
        ("global", "after a cut", "attributes of the module"),
    ],
)
def test_a_mistake_in_a_program(user: Run, mistake: str, what: str, way_out: str) -> None:
    done = user("train", "line.py", mistake)
    assert done.returncode == 1
    said = last_line(done)
    assert said.startswith("error: ")
    assert what in said
    assert way_out in said


@pytest.mark.parametrize(
    ("arguments", "what", "way_out"),
    [
        (("train", "line.py", "none", "--audit", "most"), "audit = 'most'", "default, full, none"),
        (("train", "line.py", "none", "--budget", "9" * 15), "the balance", "a lower budget"),
        (("train", "line.py", "none", "--coordinator", "nowhere:5"), "nowhere:5", "network.json"),
        (("train", "lime.py"), "lime.py", "gensyn train FILE.py"),
        (("verify", "report.jsn"), "report.jsn", "gensyn report JOB"),
        (("job", "show", "my-job"), "my-job", "job-0123456789abcdef"),
        (("job", "show", "job-0123456789abcdef"), "job-0123456789abcdef", "gensyn job ls"),
    ],
)
def test_a_mistake_on_the_command_line(
    user: Run, arguments: tuple[str, ...], what: str, way_out: str
) -> None:
    done = user(*arguments)
    assert done.returncode == 1
    said = last_line(done)
    assert said.startswith("error: ")
    assert what in said
    assert way_out in said


def test_a_network_that_does_not_run(user: Run, tmp_path: Path) -> None:
    done = user("job", "show", "job-0123456789abcdef", GENSYN_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "gensyn up" in done.stderr


def test_a_file_that_is_no_report(user: Run) -> None:
    done = user("verify", "notes.json")
    assert done.returncode == 3
    assert "notes.json is no report" in last_line(done)
    assert "name the report.json" in last_line(done)


def test_a_misspelt_name_in_a_notebook(user: Run) -> None:
    done = user("--no-banner", "--colors=NoColor", "-c", NOTEBOOK, module="IPython")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["gensyn: there is no model (did you mean modell?)"]
