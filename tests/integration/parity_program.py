"""One fit and everything done after it, written down group by group: run here or on the network.

Called as a program: `parity_program.py FLAVOUR WHERE FOLDER`, where WHERE is `local`, `segments`
(runners without a network) or `network`; it prints one JSON object whose members are digests and
plain values per group.
"""

import hashlib
import importlib
import json
import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gensyn_lightning.network import Network
from gensyn_lightning.training import normal

FLAVOUR = sys.argv[1] if __name__ == "__main__" else "pytorch_lightning"
pl = importlib.import_module(FLAVOUR)
pipe = importlib.import_module("pipe")  # beside this file
callbacks = importlib.import_module(f"{FLAVOUR}.callbacks")
loggers = importlib.import_module(f"{FLAVOUR}.loggers")


class Data(pl.LightningDataModule):
    """Random rows with labels; made in `setup`, as most data modules do."""

    def setup(self, stage: str) -> None:
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(96, 6, generator=generator)
        self.rows = TensorDataset(x, (x.sum(1) > 0).long())

    def loader(self, shuffle: bool) -> DataLoader:
        return DataLoader(self.rows, batch_size=16, shuffle=shuffle)

    def train_dataloader(self) -> DataLoader:
        return self.loader(True)

    def val_dataloader(self) -> DataLoader:
        return self.loader(False)

    def test_dataloader(self) -> DataLoader:
        return self.loader(False)

    def predict_dataloader(self) -> DataLoader:
        return self.loader(False)


class Model(pl.LightningModule):
    """Dropout, batch norm, a scheduler by step, and attributes of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters({"width": 12, "rate": 0.02})
        self.net = nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 2)
        )
        self.history: list[float] = []
        self.notes: dict[str, Any] = {"epochs": 0}

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = batch
        noise = random.random() + float(numpy.random.rand())
        loss = nn.functional.cross_entropy(self.net(x + 0.01 * noise), y)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.history.append(float(loss.detach()))
        return loss

    def on_train_epoch_end(self) -> None:
        self.notes["epochs"] += 1
        self.notes["last"] = self.history[-1]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.score(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.score(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.net(batch[0])

    def score(self, batch: Any, stage: str) -> None:
        x, y = batch
        out = self.net(x)
        self.log(f"{stage}_loss", nn.functional.cross_entropy(out, y), prog_bar=True)
        self.log(f"{stage}_accuracy", (out.argmax(1) == y).float().mean())

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams["rate"])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Counting(callbacks.Callback):
    """A user's callback with attributes and a state of its own."""

    def __init__(self) -> None:
        self.batches = 0
        self.seen: list[int] = []
        self.best = {"loss": float("inf")}

    def on_train_batch_end(self, *args: Any) -> None:
        self.batches += 1

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        self.seen.append(trainer.global_step)
        self.best["loss"] = min(self.best["loss"], float(trainer.callback_metrics["val_loss"]))

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches = state["batches"]


def build(strategy: Any, folder: Path, **options: Any) -> tuple[Any, Model, Data]:
    """Return a trainer, a model and data, everything seeded."""
    pl.seed_everything(11, verbose=False)
    made = [
        callbacks.ModelCheckpoint(monitor="val_loss", save_top_k=2, save_last=True),
        callbacks.EarlyStopping("val_loss", patience=3, min_delta=10.0),
        callbacks.LearningRateMonitor("step"),
        Counting(),
    ]
    settings = {
        "accelerator": "cpu",
        "max_epochs": 8,
        "callbacks": made,
        "logger": loggers.CSVLogger(folder, name="logs"),
        "default_root_dir": folder,
        "log_every_n_steps": 2,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(strategy=strategy, **(settings | options)), Model(), Data()


def digest(value: Any) -> Any:
    """Return a plain value that is equal exactly when `value` is bit for bit the same."""
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
        shape = (str(value.dtype), list(value.shape), list(value.stride()))
        return ["tensor", *shape, hashlib.sha256(data).hexdigest()]
    if isinstance(value, numpy.ndarray):
        return ["array", str(value.dtype), hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, dict):
        items = [[repr(key), digest(each)] for key, each in value.items()]
        return {"type": type(value).__name__, "items": items, "beside": digest(beside(value))}
    if isinstance(value, list | tuple | set):
        return [type(value).__name__, *map(digest, value)]
    if isinstance(value, int | str | type(None)):
        return value
    return value.hex() if isinstance(value, float) else repr(value)


def beside(value: dict[Any, Any]) -> list[Any]:
    """Return a dict's own attributes: a `state_dict` has some."""
    return sorted(getattr(value, "__dict__", {}).items())


def files(folder: Path) -> dict[str, Any]:
    """Return every file under `folder`: its name, and its bytes or what a checkpoint holds."""
    found = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = str(path.relative_to(folder))
        if name == "report.json":  # the one file a network adds
            continue
        if path.suffix == ".ckpt":
            found[name] = digest(torch.load(path, weights_only=False))
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def after_fit(trainer: Any, model: Model, folder: Path) -> dict[str, Any]:
    """Return what a user can see once `fit` has returned, by group."""
    checkpoint = trainer.checkpoint_callback
    stopping = trainer.early_stopping_callback
    counting = next(each for each in trainer.callbacks if isinstance(each, Counting))
    monitor = next(each for each in trainer.callbacks if hasattr(each, "lrs"))
    loops = trainer.fit_loop.state_dict()
    optimizer = trainer.optimizers[0]
    return {
        "weights": digest(dict(model.state_dict())),
        "requires_grad": [each.requires_grad for each in model.parameters()],
        "training mode": [each.training for each in model.modules()],
        "optimizer state": digest(optimizer.state_dict()),
        "optimizer steps the model": all(
            any(each is own for own in model.parameters())
            for each in optimizer.param_groups[0]["params"]
        ),
        "learning rate": [group["lr"].hex() for group in optimizer.param_groups],
        "scheduler": digest(trainer.lr_scheduler_configs[0].scheduler.state_dict()),
        "torch generator": digest(torch.get_rng_state()),
        "python generator": hashlib.sha256(repr(random.getstate()).encode()).hexdigest(),
        "numpy generator": digest(list(numpy.random.get_state())),
        "current epoch": trainer.current_epoch,
        "global step": trainer.global_step,
        "loop progress": digest(loops),
        "batches that stepped": trainer.fit_loop.epoch_loop._batches_that_stepped,
        "callback metrics": digest(dict(trainer.callback_metrics)),
        "logged metrics": digest(dict(trainer.logged_metrics)),
        "progress bar metrics": digest(dict(trainer.progress_bar_metrics)),
        "best model path": checkpoint.best_model_path,
        "best model is there": Path(checkpoint.best_model_path).is_file(),
        "best model score": digest(checkpoint.best_model_score),
        "best k models": digest(checkpoint.best_k_models),
        "last model path": checkpoint.last_model_path,
        "checkpoint state": digest(checkpoint.state_dict()),
        "early stopping": digest(stopping.state_dict()),
        "stopped epoch": stopping.stopped_epoch,
        "stopping reason": repr(getattr(stopping, "stopping_reason", None)),
        "should stop": trainer.should_stop,
        "status": [trainer.state.status.name, str(trainer.state.fn), trainer.training],
        "stage": repr(trainer.state.stage),
        "module attributes": digest([model.history, model.notes]),
        "hyper-parameters": digest(dict(model.hparams)),
        "callback attributes": digest([counting.batches, counting.seen, counting.best]),
        "learning rate monitor": digest(monitor.lrs),
        "training batches": trainer.num_training_batches,
        "validation batches": trainer.num_val_batches,
        "loaders": [len(trainer.train_dataloader), len(trainer.val_dataloaders)],
        "links": [model.trainer is trainer, trainer.lightning_module is model],
        "datamodule": trainer.datamodule is not None and len(trainer.datamodule.rows),
        "ckpt path": trainer.ckpt_path and str(trainer.ckpt_path),
        "log dir": trainer.log_dir,
        "files": files(folder),
        "random numbers afterwards": [
            random.random().hex(),
            float(numpy.random.rand()).hex(),
            digest(torch.rand(3)),
        ],
    }


def everything(make: Any, folder: Path) -> dict[str, Any]:
    """Fit, look, use the trainer further, resume, and fit again; return all groups."""
    trainer, model, data = build(make(), folder / "first")
    trainer.fit(model, datamodule=data)
    groups = after_fit(trainer, model, folder / "first")
    saved = folder / "saved.ckpt"
    trainer.save_checkpoint(saved)
    groups["saved checkpoint"] = digest(torch.load(saved, weights_only=False))
    groups["validate"] = digest(trainer.validate(model, datamodule=data, verbose=False))
    groups["test best"] = digest(
        trainer.test(model, datamodule=data, ckpt_path="best", verbose=False, weights_only=False)
    )
    groups["predict"] = digest(trainer.predict(model, datamodule=data))

    last = trainer.checkpoint_callback.last_model_path
    resumed, fresh, data = build(make(), folder / "second", max_epochs=10)
    resumed.early_stopping_callback.patience = 100
    resumed.fit(fresh, datamodule=data, ckpt_path=last, weights_only=False)
    groups |= {f"resumed: {k}": v for k, v in after_fit(resumed, fresh, folder / "second").items()}

    twice, model, data = build(make(), folder / "third", max_epochs=2)
    twice.fit(model, datamodule=data)
    twice.fit_loop.max_epochs = 4
    twice.fit(model, datamodule=data)
    groups |= {f"twice: {k}": v for k, v in after_fit(twice, model, folder / "third").items()}
    return groups


def main() -> None:
    """Print the groups of one way of fitting as JSON, in the settings every runner has."""
    where, folder = sys.argv[2], Path(sys.argv[3])
    normal.enter(threads=1)
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if where == "local":
        groups = everything(lambda: "auto", folder)
    elif where == "network":
        try:
            groups = everything(lambda: "gensyn", folder)
        finally:
            Network.stop(Path(os.environ["GENSYN_HOME"]))
    else:
        with pipe.zygote(folder.parent) as runner:
            groups = everything(lambda: pipe.strategy(FLAVOUR, runner), folder)
    print("PARITY " + json.dumps(groups))


if __name__ == "__main__":
    main()
