"""A small transformer that learns to write Python from the source text of Python's own library.

Run it as it is to train on a verified network of this machine, or with `--strategy auto` to train
right here; nothing else changes.
"""

from __future__ import annotations

import argparse
import math
import sysconfig
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CONTEXT = 64  # characters the model sees at once
TRAIN = "argparse configparser contextlib dataclasses inspect tempfile typing"
VALIDATE = "queue textwrap"


def source(modules: str) -> str:
    """Return the source text of modules of this Python's standard library, one after the other."""
    folder = Path(sysconfig.get_path("stdlib"))
    return "".join((folder / f"{name}.py").read_text("utf-8") for name in modules.split())


class Sources(pl.LightningDataModule):
    """Python modules in windows of 65 characters, and two that are never trained on.

    The text is read right here and not in `setup`: what a data module holds travels with a fit,
    what it would open later does not.
    """

    def __init__(self, batch_size: int = 16) -> None:
        super().__init__()
        self.batch_size = batch_size
        texts = {"train": source(TRAIN), "validate": source(VALIDATE)}
        self.alphabet = "".join(sorted(set("".join(texts.values()))))
        code = {letter: number for number, letter in enumerate(self.alphabet)}
        self.parts = {
            part: TensorDataset(windows(torch.tensor([code[letter] for letter in text])))
            for part, text in texts.items()
        }

    def train_dataloader(self) -> DataLoader:
        """Return the training batches, shuffled anew each epoch."""
        return DataLoader(
            self.parts["train"], batch_size=self.batch_size, shuffle=True, drop_last=True
        )

    def val_dataloader(self) -> DataLoader:
        """Return the batches of the modules that were held out."""
        return DataLoader(self.parts["validate"], batch_size=128)


def windows(codes: torch.Tensor) -> torch.Tensor:
    """Cut a text into rows of a context and the character after it; neighbours share that one."""
    return codes.unfold(0, CONTEXT + 1, CONTEXT).contiguous()


class Writer(pl.LightningModule):
    """A causal convolution and transformer layers; each place predicts the next character."""

    def __init__(self, alphabet: str, width: int = 64, layers: int = 2, rate: float = 4e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.letter = nn.Embedding(len(alphabet), width)
        self.place = nn.Embedding(CONTEXT, width)
        for table in (self.letter, self.place):
            nn.init.normal_(table.weight, std=0.1)
        self.nearby = nn.Conv1d(width, width, 4, padding=3)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, 0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), False)
        self.head = nn.Linear(width, len(alphabet))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Return scores of shape (batch, length, alphabet) for codes of shape (batch, length)."""
        length = codes.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=codes.device)
        letters = self.letter(codes)
        nearby = self.nearby(letters.mT)[..., :length].mT  # of each letter and the three before it
        x = letters + nearby + self.place.weight[:length]
        return self.head(self.body(x, mask=mask, is_causal=True))

    def loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        """Return the mean cross-entropy of the next character, in nats."""
        [rows] = batch
        scores = self(rows[:, :-1])
        return nn.functional.cross_entropy(scores.flatten(0, 1), rows[:, 1:].flatten())

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Return the loss of one batch."""
        loss = self.loss(batch)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Log the loss on held-out modules, and the same in bits per character."""
        loss = self.loss(batch)
        self.log("val_loss", loss, prog_bar=True)
        self.log("val_bits", loss / math.log(2))

    def configure_optimizers(self) -> dict[str, object]:
        """Return AdamW under a rate that warms up and cools down once, by step."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams["rate"])
        share = Share(int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Share:
    """What part of the full rate each of `steps` has: up for a tenth of them, then down to none."""

    def __init__(self, steps: int) -> None:
        self.steps, self.warm = steps, max(1, steps // 10)

    def __call__(self, step: int) -> float:
        """Return the part that a step has, counted from 0."""
        down = (self.steps - step) / max(1, self.steps - self.warm)
        return max(0.0, min((step + 1) / self.warm, down))


@torch.no_grad()
def sample(model: Writer, prompt: str, length: int = 400, *, heat: float = 0.7) -> str:
    """Return `prompt` and `length` characters the model wrote after it; the same ones each time.

    A lower `heat` keeps to the likelier characters. Raises ValueError where the prompt is empty or
    has a character the model has never seen.
    """
    alphabet = model.hparams["alphabet"]
    unknown = sorted(set(prompt) - set(alphabet))
    if unknown or not prompt:
        raise ValueError(f"the model cannot read {unknown}" if unknown else "the prompt is empty")
    model.eval()
    draws = torch.Generator().manual_seed(7)
    codes = [alphabet.index(letter) for letter in prompt]
    for _ in range(length):
        scores = model(torch.tensor([codes[-CONTEXT:]], device=model.device))[0, -1].cpu()
        codes.append(int(torch.multinomial((scores / heat).softmax(0), 1, generator=draws)))
    return "".join(alphabet[each] for each in codes)


def build(
    strategy: object = "gensyn",
    *,
    folder: Path = Path("build/characters"),
    epochs: int = 2,
    width: int = 64,
    **trainer_options: object,
) -> tuple[pl.Trainer, Writer, Sources]:
    """Return trainer, model and data; `strategy` is the one thing a user changes."""
    pl.seed_everything(7, verbose=False)
    settings = {
        "accelerator": "cpu",
        "max_epochs": epochs,
        "accumulate_grad_batches": 2,
        "gradient_clip_val": 1.0,
        "callbacks": [ModelCheckpoint(monitor="val_loss", save_last=True), LearningRateMonitor()],
        "logger": TensorBoardLogger(folder, name="logs"),
        "default_root_dir": folder,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(strategy=strategy, **(settings | trainer_options))
    data = Sources()
    return trainer, Writer(data.alphabet, width), data


def main() -> None:
    """Train, then let the best checkpoint write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", default="gensyn")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    trainer, model, data = build(options.strategy, epochs=options.epochs)
    trainer.fit(model, datamodule=data)
    trainer.validate(model, datamodule=data, ckpt_path="best")
    print(sample(model, "def "))


if __name__ == "__main__":
    main()
