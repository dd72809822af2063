"""A small program to train, and a way to train it on a network while things happen to it."""

import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.client import Client, LogEntry
from gensyn_lightning.network import Home, NetworkInfo
from gensyn_lightning.network.connection import submitter
from gensyn_lightning.network.home import read_info

WAIT_S = 60.0


@dataclass
class Trained:
    """A fit that has come back: its outcome, its log, and the weights the user got."""

    outcome: Any
    log: list[LogEntry]
    weights: dict[str, Any]
    folder: Path

    def entries(self, kind: str) -> list[dict[str, Any]]:
        return [each.body for each in self.log if each.kind == kind]

    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(Path(self.outcome.report).read_text())
        return loaded


@dataclass
class Fit:
    """Trains the program on the network of `home`; `hear` is told every entry of the log."""

    home: Path
    folder: Path
    hear: Callable[[LogEntry], None] = lambda entry: None
    epochs: int = 6
    log: list[LogEntry] = field(default_factory=list)

    def __call__(self, strategy: str = "gensyn", **options: Any) -> Trained:
        import pytorch_lightning as pl
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        from gensyn_lightning import GensynStrategy

        class Slow(pl.LightningModule):
            """A small network that takes its time, so that there is some to be killed in."""

            def __init__(self) -> None:
                super().__init__()
                self.net = torch.nn.Sequential(
                    torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)
                )

            def training_step(self, batch: Any, batch_idx: int) -> Any:
                time.sleep(0.02)
                x, y = batch
                loss = torch.nn.functional.cross_entropy(self.net(x), y)
                self.log("loss", loss)
                return loss

            def configure_optimizers(self) -> Any:
                return torch.optim.Adam(self.parameters(), lr=0.01)

        pl.seed_everything(7)
        x = torch.randn(320, 8, generator=torch.Generator().manual_seed(1))
        data = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=16, shuffle=True)
        model = Slow()
        chosen: Any = strategy
        if strategy == "gensyn":
            chosen = GensynStrategy(
                home=self.home,
                on_event=self._on_event,
                quiet=True,
                audit="full",
                flavour=pl.__name__,
                **options,
            )
        trainer = pl.Trainer(
            strategy=chosen,
            max_epochs=self.epochs,
            logger=pl.loggers.CSVLogger(self.folder),
            callbacks=[pl.callbacks.ModelCheckpoint(self.folder / "checkpoints", save_last=True)],
            default_root_dir=self.folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=5,
        )
        trainer.fit(model, data)
        weights = {name: each.clone() for name, each in model.state_dict().items()}
        outcome = getattr(trainer.strategy, "outcome", None)
        return Trained(outcome, self.log, weights, self.folder)

    def _on_event(self, entry: LogEntry) -> None:
        self.log.append(entry)
        self.hear(entry)


class Assassin:
    """Kills a process of a network with SIGKILL, some time after a job has its budget.

    `victim` is a process, or `solver` or `verifier` for whichever holds work at that moment.
    """

    def __init__(self, home: Path, victim: str, delay_s: float) -> None:
        self._home, self._victim = home, victim
        self._holder = {"solver": "solver-1", "verifier": "verifier-1"}
        self._timer = threading.Timer(delay_s, self._kill)
        accounts = json.loads(Home(home).trust.read_text())["accounts"]
        self._names = {each["account"]: each["name"] for each in accounts}
        self.killed: list[str] = []

    def __call__(self, entry: LogEntry) -> None:
        if entry.kind == "leased":
            self._holder["solver"] = self._names[entry.body["solver"]]
        elif entry.kind == "replaying":
            self._holder["verifier"] = self._names[entry.body["verifier"]]
        elif entry.kind == "escrowed":
            self._timer.start()

    def _kill(self) -> None:
        info = read_info(Home(self._home))
        assert info is not None
        name = self._holder.get(self._victim, self._victim)
        os.kill(info.processes[name], signal.SIGKILL)
        self.killed.append(name)

    def done(self) -> None:
        """Wait until the deed is done; a job may end before its time comes."""
        self._timer.join()
        assert self.killed


@pytest.fixture
def assassin() -> type[Assassin]:
    return Assassin


@pytest.fixture
def fit_in() -> type[Fit]:
    return Fit


@pytest.fixture
def seed() -> int:
    """A fresh seed for whatever a test draws; printed, so that a failure can be repeated."""
    drawn = int(os.environ.get("GENSYN_TEST_SEED", secrets.randbelow(2**32)))
    print(f"GENSYN_TEST_SEED={drawn}")
    return drawn


@pytest.fixture
def connect() -> Callable[[NetworkInfo], Client]:
    def connected(info: NetworkInfo) -> Client:
        return Client(info.coordinator, submitter(info), patience_s=WAIT_S)

    return connected


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline, "it never came about"
            time.sleep(0.02)

    return wait
