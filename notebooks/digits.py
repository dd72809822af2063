"""A convolutional classifier of handwritten digits, trained wherever `strategy` says.

Run it as it is to train on a verified network of this machine, or with `--strategy auto` to train
right here; nothing else changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy


class Digits(pl.LightningDataModule):
    """1,797 images of 8x8 pixels, split into 1,257 to train on, 270 to validate, 270 held out."""

    def __init__(self, batch_size: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size
        images, labels = load_digits(return_X_y=True)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(2024))
        x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
        y = torch.tensor(labels)[order]
        self.parts = {
            "train": TensorDataset(x[:1257], y[:1257]),
            "validate": TensorDataset(x[1257:1527], y[1257:1527]),
            "test": TensorDataset(x[1527:], y[1527:]),
        }

    def train_dataloader(self) -> DataLoader:
        """Return the training batches, shuffled anew each epoch."""
        return DataLoader(self.parts["train"], batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """Return the validation batches."""
        return DataLoader(self.parts["validate"], batch_size=135)

    def test_dataloader(self) -> DataLoader:
        """Return the held-out batches."""
        return DataLoader(self.parts["test"], batch_size=135)


class Classifier(pl.LightningModule):
    """Two convolutions with batch norm, dropout and a linear head; `width` scales all of them."""

    def __init__(self, width: int = 48, rate: float = 2e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * width * 16, 10),
        )
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return the loss of one batch."""
        images, labels = batch
        loss = nn.functional.cross_entropy(self.body(images), labels)
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Log loss and accuracy on the validation images."""
        self.score(batch, "val")

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Log loss and accuracy on the held-out images."""
        self.score(batch, "test")

    def score(self, batch: list[torch.Tensor], stage: str) -> None:
        """Log how well the model does on one batch of `stage`."""
        images, labels = batch
        scores = self.body(images)
        self.log(f"{stage}_loss", nn.functional.cross_entropy(scores, labels), prog_bar=True)
        self.accuracy(scores, labels)
        self.log(f"{stage}_accuracy", self.accuracy, prog_bar=True)

    def configure_optimizers(self) -> dict[str, object]:
        """Return AdamW under a schedule that warms up and cools down once, by batch."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams["rate"])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams["rate"], steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def build(
    strategy: object = "gensyn",
    *,
    folder: Path = Path("build/digits"),
    epochs: int = 12,
    width: int = 48,
    **trainer_options: object,
) -> tuple[pl.Trainer, Classifier, Digits]:
    """Return trainer, model and data; `strategy` is the one thing a user changes."""
    pl.seed_everything(7, verbose=False)
    callbacks = [
        ModelCheckpoint(monitor="val_loss", save_last=True),
        EarlyStopping(monitor="val_loss", patience=6),
    ]
    settings = {
        "accelerator": "cpu",
        "max_epochs": epochs,
        "callbacks": callbacks,
        "logger": CSVLogger(folder, name="logs"),
        "default_root_dir": folder,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(strategy=strategy, **(settings | trainer_options))
    return trainer, Classifier(width), Digits()


def main() -> None:
    """Train, then score the best checkpoint on the held-out digits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", default="gensyn")
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    trainer, model, data = build(options.strategy, epochs=options.epochs)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, ckpt_path="best")


if __name__ == "__main__":
    main()
