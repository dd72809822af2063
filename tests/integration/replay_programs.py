"""Programs that are hard to cut: each has something that a checkpoint of Lightning would lose."""

from __future__ import annotations

import functools
import importlib
import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchmetrics
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

Fit = tuple[Any, tuple[Any, ...], dict[str, Any]]


class Augmented(Dataset[Any]):
    """Points with noise from all three generators."""

    def __init__(self, count: int = 28) -> None:
        generator = torch.Generator().manual_seed(3)
        self.x = torch.randn(count, 8, generator=generator)
        self.y = (self.x.sum(1) > 0).long()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        noise = 0.1 * torch.randn(8) + 0.1 * random.random() + float(0.1 * np.random.rand())
        return self.x[index] + noise, self.y[index]


class Stream(IterableDataset[Any]):
    """A stream without a length that remembers what it drew."""

    def __iter__(self) -> Any:
        level = torch.zeros(8)
        for _ in range(random.Random(1).randint(20, 21)):
            level = 0.5 * level + torch.randn(8)
            yield level.clone(), torch.tensor(random.randint(0, 1))


class Harder(Augmented):
    """A dataset that a callback makes harder, and that counts what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.level = 0
        self.asked: list[int] = []
        self.own = np.random.default_rng(5)

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        x, y = super().__getitem__(index)
        return x + 0.1 * self.level * float(self.own.random()) + 0.001 * len(self.asked), y


def plain(count: int = 28) -> TensorDataset:
    """Return the points as they are."""
    data = Augmented(count)
    return TensorDataset(data.x, data.y)


def images(count: int = 16) -> TensorDataset:
    """Return small images of two classes."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(count, 3, 8, 8, generator=generator)
    return TensorDataset(x, (x.mean((1, 2, 3)) > 0).long())


def sequences(count: int = 16) -> TensorDataset:
    """Return sequences of tokens."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(0, 11, (count, 6), generator=generator)
    return TensorDataset(x, x[:, -1] % 2)


def build(name: str, flavour: str, folder: Path) -> Fit:
    """Return the trainer, the arguments and the keyword arguments of a fit."""
    pl = importlib.import_module(flavour)
    pl.seed_everything(11, verbose=False)
    return {**PROGRAMS, **ODD}[name](pl, _kinds(flavour), folder)


def _trainer(pl: Any, folder: Path, **options: Any) -> Any:
    given = {
        "max_epochs": 3,
        "accelerator": "cpu",
        "default_root_dir": folder,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
        "log_every_n_steps": 2,
    }
    return pl.Trainer(**{**given, **options})


def _loaders(train: Any, count: int = 9, **options: Any) -> tuple[Any, Any]:
    return (
        DataLoader(train, batch_size=4, shuffle=True, **options),
        DataLoader(plain(count), batch_size=4),
    )


@functools.cache
def _kinds(flavour: str) -> Any:  # noqa: C901 - a row of small classes
    pl = importlib.import_module(flavour)

    class Net(pl.LightningModule):  # type: ignore[misc, name-defined]
        """Dropout, batch norm, metrics, logged means, and attributes of its own."""

        def __init__(self, schedule: Callable[[Any, Any], Any] | None = None) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 2)
            )
            self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=2)
            self.mean = torchmetrics.MeanMetric()
            self.schedule = schedule
            self.counter = 0
            self.history: list[float] = []
            self.average: dict[str, torch.Tensor] = {}
            self.seen = SimpleNamespace(epochs=set(), last=None)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            output = self.net(x)
            loss = functional.cross_entropy(output, y)
            self.counter += 1
            self.history.append(float(loss))
            self.seen.epochs.add(self.current_epoch)
            self.seen.last = ("batch", batch_idx)
            for key, value in self.net.state_dict().items():
                before = self.average.get(key, value.float())
                self.average[key] = 0.9 * before + 0.1 * value.float()
            self.mean(loss.detach())
            self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            self.log("mean", self.mean, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            x, y = batch
            output = self.net(x)
            self.accuracy(output, y)
            self.log("val_loss", functional.cross_entropy(output, y))
            self.log("accuracy", self.accuracy)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
            return self.schedule(self, optimizer) if self.schedule else optimizer

    class Gan(pl.LightningModule):  # type: ignore[misc, name-defined]
        """Two optimizers, stepped by hand."""

        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator = nn.Linear(4, 8)
            self.critic = nn.Sequential(nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 1))

        def training_step(self, batch: Any, batch_idx: int) -> None:
            x, _ = batch
            makes, judges = self.optimizers()
            noise = torch.randn(len(x), 4)
            self.toggle_optimizer(makes)
            loss = functional.softplus(-self.critic(self.generator(noise))).mean()
            self.log("made", loss, on_step=True, on_epoch=True)
            makes.zero_grad()
            self.manual_backward(loss)
            makes.step()
            self.untoggle_optimizer(makes)
            self.toggle_optimizer(judges)
            loss = functional.softplus(-self.critic(x)).mean()
            loss = loss + functional.softplus(self.critic(self.generator(noise).detach())).mean()
            self.log("judged", loss)
            self.manual_backward(loss)
            if batch_idx % 2:
                judges.step()
                judges.zero_grad()
            self.untoggle_optimizer(judges)

        def configure_optimizers(self) -> Any:
            return (
                torch.optim.Adam(self.generator.parameters(), 1e-2),
                torch.optim.Adam(self.critic.parameters(), 1e-2),
            )

    class Recurrent(pl.LightningModule):  # type: ignore[misc, name-defined]
        """An LSTM that carries its hidden state from batch to batch, embedding tied to output."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(11, 8)
            self.lstm = nn.LSTM(8, 8, batch_first=True, num_layers=2, dropout=0.2)
            self.head = nn.Linear(8, 11, bias=False)
            self.head.weight = self.embed.weight
            self.hidden: Any = None

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, _ = batch
            output, hidden = self.lstm(self.embed(x[:, :-1]), self.hidden)
            self.hidden = tuple(each.detach() for each in hidden)
            loss = functional.cross_entropy(self.head(output).flatten(0, 1), x[:, 1:].flatten())
            self.log("loss", loss, on_epoch=True)
            return loss

        def on_train_epoch_start(self) -> None:
            self.hidden = None

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, nesterov=True)

    class Convolutional(pl.LightningModule):  # type: ignore[misc, name-defined]
        """A convolutional network whose memory lies channels last."""

        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 3)
            ).to(memory_format=torch.channels_last)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            x = x.to(memory_format=torch.channels_last)
            loss = functional.cross_entropy(self.net(x).mean((2, 3)), y)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.RMSprop(self.parameters(), lr=0.01, momentum=0.5)
            return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)]

    class Data(pl.LightningDataModule):  # type: ignore[misc, name-defined]
        """A datamodule that splits at random and counts."""

        def __init__(self) -> None:
            super().__init__()
            self.asked = 0

        def setup(self, stage: str) -> None:
            full = Augmented(36)
            self.train, self.rest = torch.utils.data.random_split(full, [26, 10])

        def train_dataloader(self) -> Any:
            self.asked += 1
            return DataLoader(self.train, batch_size=4, shuffle=True)

        def val_dataloader(self) -> Any:
            return DataLoader(self.rest, batch_size=4)

    class Iterating(Net):
        """Draws its own batches, two ahead of Lightning's count."""

        def training_step(self, dataloader_iter: Any) -> Any:
            batch, _, _ = next(dataloader_iter)
            loss = functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss, on_epoch=True, batch_size=len(batch[0]))
            return loss

    class Raises(pl.Callback):  # type: ignore[misc, name-defined]
        """Makes the dataset harder each epoch."""

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            trainer.train_dataloader.dataset.level += 1

    class Unfreezes(pl.callbacks.BaseFinetuning):  # type: ignore[misc, name-defined]
        """Trains the head first, then the rest in a group of its own."""

        def freeze_before_training(self, module: Any) -> None:
            self.freeze(module.net[0])

        def finetune_function(self, module: Any, epoch: int, optimizer: Any) -> None:
            if epoch == 1:
                self.unfreeze_and_add_param_group(module.net[0], optimizer, lr=0.001)

    class Clock(pl.Callback):  # type: ignore[misc, name-defined]
        """Reads the clock, and changes what the program does by it."""

        def __init__(self) -> None:
            self.readings: list[float] = []

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            self.readings.append(time.perf_counter())
            module.net[4].bias.data += 1e-3 * (time.time() % 1)

    return SimpleNamespace(
        Net=Net,
        Gan=Gan,
        Recurrent=Recurrent,
        Convolutional=Convolutional,
        Data=Data,
        Clock=Clock,
        Iterating=Iterating,
        Raises=Raises,
        Unfreezes=Unfreezes,
    )


def _one_cycle(module: Any, optimizer: Any) -> Any:
    steps = int(module.trainer.estimated_stepping_batches)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _plateau(module: Any, optimizer: Any) -> Any:
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"},
    }


def _sequential(module: Any, optimizer: Any) -> Any:
    schedulers = torch.optim.lr_scheduler
    parts = [
        schedulers.LinearLR(optimizer, 0.1, total_iters=4),
        schedulers.LambdaLR(optimizer, lambda step: 0.95**step),
    ]
    scheduler = schedulers.SequentialLR(optimizer, parts, milestones=[5])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _net(schedule: Any = None, data: Any = None, **options: Any) -> Callable[..., Fit]:
    def make(pl: Any, kinds: Any, folder: Path) -> Fit:
        loaders = _loaders(Augmented() if data is None else data())
        return _trainer(pl, folder, **options), (kinds.Net(schedule), *loaders), {}

    return make


def _workers(persistent: bool) -> Callable[..., Fit]:
    def make(pl: Any, kinds: Any, folder: Path) -> Fit:
        loaders = _loaders(Augmented(), num_workers=2, persistent_workers=persistent)
        return _trainer(pl, folder), (kinds.Net(), *loaders), {}

    return make


def _gan(pl: Any, kinds: Any, folder: Path) -> Fit:
    return _trainer(pl, folder), (kinds.Gan(), _loaders(Augmented())[0]), {}


def _recurrent(pl: Any, kinds: Any, folder: Path) -> Fit:
    data = DataLoader(sequences(), batch_size=4, shuffle=True)
    return _trainer(pl, folder, gradient_clip_val=0.5), (kinds.Recurrent(), data), {}


def _channels_last(pl: Any, kinds: Any, folder: Path) -> Fit:
    data = DataLoader(images(), batch_size=4, shuffle=True)
    return _trainer(pl, folder), (kinds.Convolutional(), data), {}


def _stream(pl: Any, kinds: Any, folder: Path) -> Fit:
    data = DataLoader(Stream(), batch_size=3)
    return _trainer(pl, folder), (kinds.Net(), data, _loaders(plain())[1]), {}


def _datamodule(pl: Any, kinds: Any, folder: Path) -> Fit:
    trainer = _trainer(pl, folder, reload_dataloaders_every_n_epochs=1)
    return trainer, (kinds.Net(),), {"datamodule": kinds.Data()}


def _growing(pl: Any, kinds: Any, folder: Path) -> Fit:
    class Growing(kinds.Data):  # type: ignore[misc, name-defined]
        """Makes larger batches each time it is asked for a loader, and remembers that it was."""

        def __init__(self) -> None:
            super().__init__()
            self.size = 2
            self.asked: list[int] = []

        def train_dataloader(self) -> Any:
            self.size += 1
            self.asked.append(self.size)
            return DataLoader(plain(), batch_size=self.size, shuffle=True, drop_last=True)

    trainer = _trainer(pl, folder, reload_dataloaders_every_n_epochs=1)
    return trainer, (kinds.Net(),), {"datamodule": Growing()}


def _several(pl: Any, kinds: Any, folder: Path) -> Fit:
    class Pair(kinds.Net):  # type: ignore[misc, name-defined]
        """Takes a batch from each of two loaders of unlike length."""

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch["long"], batch_idx) + 0 * batch["short"][0].sum()

    loaders = {"long": _loaders(Augmented())[0], "short": _loaders(plain(10))[0]}
    return _trainer(pl, folder), (Pair(), loaders, _loaders(plain())[1]), {}


def _timer(pl: Any, kinds: Any, folder: Path) -> Fit:
    timer = pl.callbacks.Timer(duration=timedelta(milliseconds=120))
    trainer = _trainer(pl, folder, max_epochs=40, callbacks=[timer, kinds.Clock()])
    return trainer, (kinds.Net(), *_loaders(Augmented())), {}


def _callbacks(pl: Any, kinds: Any, folder: Path) -> Fit:
    kept = pl.callbacks.ModelCheckpoint(
        folder / "kept", monitor="val_loss", save_top_k=2, save_last=True, filename="{epoch}-{step}"
    )
    stop = pl.callbacks.EarlyStopping("val_loss", patience=1, min_delta=0.02)
    trainer = _trainer(
        pl,
        folder,
        max_epochs=6,
        enable_checkpointing=True,
        callbacks=[kept, stop, pl.callbacks.LearningRateMonitor()],
        logger=pl.loggers.CSVLogger(folder, name="logs"),
        val_check_interval=0.5,
    )
    return trainer, (kinds.Net(_plateau), *_loaders(Augmented())), {}


def _averaging(pl: Any, kinds: Any, folder: Path) -> Fit:
    average = pl.callbacks.StochasticWeightAveraging(0.01, swa_epoch_start=1, annealing_epochs=1)
    schedule = pl.callbacks.GradientAccumulationScheduler({1: 2})
    trainer = _trainer(pl, folder, max_epochs=4, callbacks=[average, schedule])
    return trainer, (kinds.Net(), *_loaders(Augmented())), {}


def _tensors_and_workers(pl: Any, kinds: Any, folder: Path) -> Fit:
    return _trainer(pl, folder), (kinds.Net(), *_loaders(plain(), num_workers=2)), {}


def _tuned(pl: Any, kinds: Any, folder: Path) -> Fit:
    class Tuned(kinds.Net):  # type: ignore[misc, name-defined]
        """Has its learning rate found before it is trained."""

        def __init__(self) -> None:
            super().__init__()
            self.lr = 0.01

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    finder = pl.callbacks.LearningRateFinder(num_training_steps=6)
    return _trainer(pl, folder, callbacks=[finder]), (Tuned(), *_loaders(Augmented())), {}


def _resumed(pl: Any, kinds: Any, folder: Path) -> Fit:
    before = _trainer(pl, folder, limit_train_batches=4, max_epochs=2)
    before.fit(kinds.Net(_one_cycle), *_loaders(Augmented()))
    before.save_checkpoint(folder / "before.ckpt")
    pl.seed_everything(12, verbose=False)
    trainer = _trainer(pl, folder, max_epochs=4)
    given = {"ckpt_path": str(folder / "before.ckpt"), "weights_only": False}
    return trainer, (kinds.Net(_plateau), *_loaders(Augmented())), given


def _own_iteration(pl: Any, kinds: Any, folder: Path) -> Fit:
    return _trainer(pl, folder), (kinds.Iterating(), *_loaders(Augmented())), {}


def _harder(pl: Any, kinds: Any, folder: Path) -> Fit:
    generator = torch.Generator().manual_seed(8)
    data = DataLoader(Harder(), batch_size=4, shuffle=True, generator=generator)
    trainer = _trainer(pl, folder, callbacks=[kinds.Raises()])
    return trainer, (kinds.Net(), data, _loaders(plain())[1]), {}


def _weighted(pl: Any, kinds: Any, folder: Path) -> Fit:
    weights = torch.linspace(0.1, 1, 28)
    sampler = torch.utils.data.WeightedRandomSampler(weights.tolist(), 30)
    data = DataLoader(Augmented(), batch_size=4, sampler=sampler)
    return _trainer(pl, folder, limit_train_batches=6), (kinds.Net(), data), {}


def _finetuning(pl: Any, kinds: Any, folder: Path) -> Fit:
    trainer = _trainer(pl, folder, callbacks=[kinds.Unfreezes()])
    return trainer, (kinds.Net(), *_loaders(Augmented())), {}


def _lbfgs(pl: Any, kinds: Any, folder: Path) -> Fit:
    class Quasi(kinds.Net):  # type: ignore[misc, name-defined]
        """Steps with a closure that is called several times."""

        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)

    return _trainer(pl, folder, max_epochs=2), (Quasi(), *_loaders(Augmented())), {}


def _moving_average(pl: Any, kinds: Any, folder: Path) -> Fit:
    average = pl.callbacks.EMAWeightAveraging(decay=0.9, update_starting_at_step=3)
    trainer = _trainer(pl, folder, callbacks=[average])
    return trainer, (kinds.Net(), *_loaders(Augmented())), {}


PROGRAMS: dict[str, Callable[..., Fit]] = {
    "two validations an epoch": _net(val_check_interval=0.5),
    "accumulation": _net(accumulate_grad_batches=3),
    "manual optimization": _gan,
    "two workers": _workers(False),
    "persistent workers": _workers(True),
    "recurrent, tied": _recurrent,
    "one cycle by batch": _net(_one_cycle),
    "plateau by epoch": _net(_plateau),
    "schedulers in sequence": _net(_sequential),
    "channels last": _channels_last,
    "timer": _timer,
    "callbacks and logger": _callbacks,
    "tensors in memory": _net(data=plain),
    "validation by batches": _net(val_check_interval=5, check_val_every_n_epoch=None),
    "validation every other epoch": _net(check_val_every_n_epoch=2, num_sanity_val_steps=0),
    "limited batches": _net(limit_train_batches=5, limit_val_batches=1, max_epochs=4),
    "steps": _net(max_epochs=-1, max_steps=17),
    "stream without length": _stream,
    "datamodule reloaded": _datamodule,
    "batches that grow": _growing,
    "several loaders": _several,
    "averaged weights": _averaging,
    "moving average": _moving_average,
    "tensors and two workers": _tensors_and_workers,
    "tuned first": _tuned,
    "resumed from a checkpoint": _resumed,
    "own iteration": _own_iteration,
    "dataset that changes": _harder,
    "weighted sampler": _weighted,
    "finetuning": _finetuning,
    "quasi-newton": _lbfgs,
    "bf16 mixed": _net(precision="bf16-mixed"),
}


def _with_batch_end(act: Callable[[Any, Any, int], None]) -> Callable[..., Fit]:
    """Return a program that acts after each training batch."""

    def make(pl: Any, kinds: Any, folder: Path) -> Fit:
        class Acting(pl.Callback):  # type: ignore[misc, name-defined]
            """Acts after each training batch."""

            def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
                act(self, trainer, module.counter)

        trainer = _trainer(pl, folder, callbacks=[Acting()])
        return trainer, (kinds.Net(), *_loaders(Augmented())), {}

    return make


def _raise_at_nine(callback: Any, trainer: Any, count: int) -> None:
    if count == 9:
        raise LookupError(f"nine, and random {random.random()}")


def _keep_a_lock_at_nine(callback: Any, trainer: Any, count: int) -> None:
    if count == 9:
        callback.guard = threading.Lock()


def _write_files(callback: Any, trainer: Any, count: int) -> None:
    root = Path(trainer.default_root_dir)
    with open(root / "log.txt", "a") as file:
        file.write(f"{count} of {len(list(root.iterdir()))}\n")
    (root / f"{count % 3}.txt").write_text(str(count))
    (root / f"{(count + 1) % 3}.txt").unlink(missing_ok=True)
    print("batch", count)


def _ask_often(callback: Any, trainer: Any, count: int) -> None:
    callback.asked = [time.time() for _ in range(2)], uuid.uuid4().hex


ODD: dict[str, Callable[..., Fit]] = {
    "raises": _with_batch_end(_raise_at_nine),
    "keeps a lock": _with_batch_end(_keep_a_lock_at_nine),
    "writes files": _with_batch_end(_write_files),
    "asks often": _with_batch_end(_ask_often),
}
