"""What `%gensyn_train` is asked to fit: a trainer, a model and its data, found by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gensyn_lightning.errors import ConfigError

TRAINERS = ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer")
MODULES = ("lightning.pytorch.core.module", "pytorch_lightning.core.module")
FLAVOURS = ("lightning.pytorch", "pytorch_lightning")
_CELL_DATA = ("datamodule", "data", "train_dataloader", "train_loader")


@dataclass(frozen=True, slots=True)
class Target:
    """A fit that is ready to be sent; `data` is a datamodule, a loader, or None."""

    trainer: Any
    model: Any
    data: Any = None

    def fit(self) -> None:
        """Call the trainer's fit, as the user would."""
        if self.data is None:
            self.trainer.fit(self.model)
        elif hasattr(self.data, "train_dataloader"):
            self.trainer.fit(self.model, datamodule=self.data)
        else:
            self.trainer.fit(self.model, train_dataloaders=self.data)


def find(
    namespace: Mapping[str, Any],
    name: str,
    *,
    data: str | None = None,
    trainer: str | None = None,
    epochs: int | None = None,
) -> Target:
    """Return what `name` stands for: a model, or a tuple of trainer, model and data."""
    value = look_up(namespace, name)
    parts = list(value) if isinstance(value, tuple | list) else [value]
    models = [each for each in parts if is_model(each)]
    trainers = [each for each in parts if is_trainer(each)]
    others = [each for each in parts if not (is_model(each) or is_trainer(each))]
    if len(models) != 1 or len(trainers) > 1 or len(others) > 1:
        raise ConfigError(
            f"{name} is {type(value).__name__}, not something to fit",
            hint="name a LightningModule, or a tuple (trainer, model) or (trainer, model, data)",
        )
    if trainer:
        trainers = [look_up(namespace, trainer)]
    if data:
        others = [look_up(namespace, data)]
    return _target(models[0], trainers, others, epochs)


def left_by_cell(namespace: Mapping[str, Any], epochs: int | None = None) -> Target:
    """Return the fit a cell prepared under the usual names: model, trainer, datamodule."""
    model = next((namespace[each] for each in ("model", "module") if each in namespace), None)
    if not is_model(model):
        raise ConfigError(
            "the cell left no LightningModule called model",
            hint="or let it call trainer.fit itself",
        )
    trainers = [namespace["trainer"]] if is_trainer(namespace.get("trainer")) else []
    others = [namespace[each] for each in _CELL_DATA if namespace.get(each) is not None]
    return _target(model, trainers, others[:1], epochs)


def look_up(namespace: Mapping[str, Any], name: str) -> Any:
    """Return the variable called `name`; raise `ConfigError`, with a guess, if there is none."""
    if name not in namespace:
        known = [each for each in namespace if not each.startswith("_")]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "run the cell that defines it"
        raise ConfigError(f"there is no {name}", hint=hint)
    return namespace[name]


def is_trainer(value: Any) -> bool:
    """Whether a value is a Trainer of either Lightning package."""
    return _comes_from(value, TRAINERS, "Trainer")


def is_model(value: Any) -> bool:
    """Whether a value is a LightningModule of either Lightning package."""
    return _comes_from(value, MODULES, "LightningModule")


def flavour_of(value: Any) -> str:
    """Return which Lightning package a trainer or model comes from."""
    for kind in type(value).__mro__:
        for flavour in FLAVOURS:
            if kind.__module__.startswith(f"{flavour}."):
                return flavour
    raise ConfigError(f"{type(value).__name__} comes from neither Lightning package")


def _target(model: Any, trainers: list[Any], data: list[Any], epochs: int | None) -> Target:
    if trainers and epochs is not None:
        raise ConfigError("--epochs is for a model without a trainer", hint="set it in the trainer")
    trainer = trainers[0] if trainers else _new_trainer(model, epochs)
    return Target(trainer, model, data[0] if data else None)


def _new_trainer(model: Any, epochs: int | None) -> Any:
    import importlib

    package = importlib.import_module(flavour_of(model))
    return package.Trainer(max_epochs=epochs or 1, logger=False, enable_progress_bar=False)


def _comes_from(value: Any, modules: tuple[str, ...], name: str) -> bool:
    kinds = type(value).__mro__
    return any(kind.__module__ in modules and kind.__name__ == name for kind in kinds)
