"""What it takes to ship data: a first and a second submission of one big dataset, against `cp`.

The dataset lies in memory, as tensors or as one NumPy array; client, network and runners share this
machine. Peaks of memory are above the idle process: the client's before it made the dataset, so
that the dataset counts, the coordinator's after a small job. Runners are looked at every 20 ms:
`anonymous` is memory of their own, the rest of `resident` are pages of files that all of them
share. The second submission is of the same data with another learning rate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GB = 1_000_000_000
WIDTH = 1000
LOOK_EVERY_S = 0.02
KINDS = ("tensors", "array")


def main() -> None:
    """Print one JSON document; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the dataset")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(json.loads(options.run))))
        return
    length = int(options.gigabytes * GB)
    with tempfile.TemporaryDirectory(prefix="gensyn-bench-") as home:
        copied_s = copied(length, Path(home))
        measured = {kind: timed({"kind": kind, "bytes": length}, Path(home)) for kind in KINDS}
    for each in measured.values():
        for one in ("first", "second"):
            each[one]["against_cp"] = round(each[one]["seconds"] / copied_s, 2)
    print(json.dumps({"bytes": length, "cp_s": round(copied_s, 3), **measured}))


def copied(length: int, folder: Path) -> float:
    """Return how many seconds `cp` takes for a file of that length."""
    block = os.urandom(1 << 20)
    with (folder / "file").open("wb") as file:
        for start in range(0, length, len(block)):
            file.write(block[: length - start])
    began = time.perf_counter()
    subprocess.run(["cp", folder / "file", folder / "copy"], check=True)
    seconds = time.perf_counter() - began
    for each in ("file", "copy"):
        (folder / each).unlink()
    print(f"cp: {seconds:.2f} s", file=sys.stderr)
    return seconds


def timed(job: dict[str, Any], home: Path) -> dict[str, Any]:
    """Submit in a process of its own, on a network of its own, and return what it measured."""
    place = home / job["kind"][:1]
    environment = os.environ | {"PYTHONHASHSEED": "0", "GENSYN_HOME": str(place)}
    command = [sys.executable, "-W", "ignore", __file__, "--run", json.dumps(job)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{job['kind']}: {json.dumps(measured)}", file=sys.stderr)
    return measured


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Submit one dataset twice, after a small one for which the network is started."""
    from gensyn_lightning.network import Network

    home = Path(os.environ["GENSYN_HOME"])
    try:
        fit(dataset(job["kind"], 64 * WIDTH), 0.1)
        processes = Network.find(home).processes
        idle = memory_of(os.getpid(), "VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        before = memory_of(processes["coordinator"], "VmRSS")
        data = dataset(job["kind"], job["bytes"])
        made = memory_of(os.getpid(), "VmHWM") - idle
        found = {"idle": idle, "dataset_over_idle": made}
        for name, rate in (("first", 0.1), ("second", 0.05)):
            with Runners(processes["zygote"]) as runners:
                measured = fit(data, rate)
            peak = memory_of(os.getpid(), "VmHWM") - idle
            coordinator = memory_of(processes["coordinator"], "VmHWM") - before
            found[name] = measured | {
                "client_peak_over_idle": peak,
                "client_peak_ratio": round(peak / job["bytes"], 3),
                "coordinator_peak_over_idle": coordinator,
                "runner_resident": runners.resident,
                "runner_anonymous": runners.anonymous,
            }
        return found
    finally:
        Network.stop(home)


def dataset(kind: str, length: int) -> Any:
    """Return a dataset of about so many bytes, in memory."""
    import numpy
    import torch
    from torch.utils.data import TensorDataset

    rows = length // WIDTH
    if kind == "array":
        return Rows(numpy.random.default_rng(1).integers(0, 255, (rows, WIDTH), numpy.uint8))
    pictures = torch.empty(rows // 2, WIDTH, dtype=torch.uint8).random_(
        generator=torch.Generator().manual_seed(1)
    )
    numbers = torch.empty(rows // 2, WIDTH // 4).uniform_(
        generator=torch.Generator().manual_seed(2)
    )
    return TensorDataset(pictures, numbers)


class Rows:
    """A dataset over one NumPy array."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        """Return one row, twice."""
        return self.rows[index], self.rows[index, :10].astype("float32")


def fit(data: Any, rate: float) -> dict[str, Any]:
    """Train a small model on a few batches of `data` and return what the submission took."""
    import pytorch_lightning as pl
    import torch
    from torch.utils.data import DataLoader

    from gensyn_lightning import GensynStrategy

    class Model(pl.LightningModule):
        """As little computation as possible: what is measured is the shipping."""

        def __init__(self, rate: float) -> None:
            super().__init__()
            self.rate = rate
            self.layer = torch.nn.Linear(WIDTH, 10)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            pictures, numbers = batch
            return torch.nn.functional.mse_loss(self.layer(pictures.float() / 255), numbers[:, :10])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), self.rate)

    torch.manual_seed(7)
    clock = Clock()
    trainer = pl.Trainer(
        strategy=GensynStrategy(
            audit="default", quiet=True, on_event=clock.hear, flavour="pytorch_lightning"
        ),
        max_steps=8,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tempfile.mkdtemp(prefix="gensyn-bench-fit-"),
    )
    trainer.fit(Model(rate), DataLoader(data, batch_size=32, shuffle=True))
    return clock.times() | {"bytes_moved": trainer.strategy.outcome.bytes_moved}


class Clock:
    """Notes when a job stood open, when its first batch was trained, and when all was back."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._submitted = self._trained = 0.0

    def hear(self, entry: Any) -> None:
        """Take in an entry of the job's log."""
        now = time.perf_counter() - self._began
        self._submitted = self._submitted or now
        said = (entry.body.get("solve") or {}).get("said") or {}
        if said.get("batch") or entry.kind == "committed":
            self._trained = self._trained or now

    def times(self) -> dict[str, float]:
        """Return seconds until the job stood open, until its first batch, and in all."""
        total = time.perf_counter() - self._began
        return {
            "seconds": round(self._submitted, 3),
            "first_batch_s": round(self._trained, 3),
            "fit_s": round(total, 3),
        }


class Runners:
    """Looks at the runners below a zygote now and then, and remembers the most it saw of one."""

    def __init__(self, zygote: int) -> None:
        self._zygote, self._done = zygote, threading.Event()
        self.resident = self.anonymous = 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Runners:
        """Start to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        import psutil

        zygote = psutil.Process(self._zygote)
        while not self._done.wait(LOOK_EVERY_S):
            for each in zygote.children(recursive=True):
                self.resident = max(self.resident, memory_of(each.pid, "VmHWM"))
                self.anonymous = max(self.anonymous, memory_of(each.pid, "RssAnon"))


def memory_of(process: int, what: str) -> int:
    """Return one line of a process's memory in bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((1024 * int(each.split()[1]) for each in lines if each.startswith(what)), 0)


if __name__ == "__main__":
    main()
