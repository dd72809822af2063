"""The objects of a fit that have a place of their own, and the roots from which walks begin."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import optimizing
from gensyn_lightning.training.objects import Root

FLAVOURS = ("lightning.pytorch", "pytorch_lightning")

_LOOP_WIRING = frozenset(
    {
        "trainer",
        "epoch_loop",
        "val_loop",
        "automatic_optimization",
        "manual_optimization",
        "_data_source",
        "_combined_loader",
        "_combined_loader_states_to_load",
        "_data_fetcher",
        "_results",
        "_warning_cache",
    }
)
_TRAINER_WIRING = frozenset(
    {
        "state",
        "callbacks",
        "_loggers",
        "loggers",
        "strategy",
        "profiler",
        "datamodule",
        "fit_loop",
        "validate_loop",
        "test_loop",
        "predict_loop",
        "_data_connector",
        "_accelerator_connector",
        "_logger_connector",
        "_callback_connector",
        "_checkpoint_connector",
        "_signal_connector",
        "num_sanity_val_steps",
    }
)
_CALLBACK_WIRING = frozenset({"_fs"})


def flavour_of(trainer: Any) -> str:
    """Return which of the two Lightning packages the trainer belongs to."""
    for kind in type(trainer).__mro__:
        for flavour in FLAVOURS:
            if kind.__module__.startswith(flavour + "."):
                return flavour
    raise StateError(f"{type(trainer).__name__} is no Lightning trainer")


def callbacks(trainer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the callbacks by path, in their order, but for the progress bar."""
    bar = importlib.import_module(f"{flavour_of(trainer)}.callbacks").ProgressBar
    program = [each for each in trainer.callbacks if not isinstance(each, bar)]
    for index, each in enumerate(program):
        yield f"callbacks/{index}", each


def loops(trainer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the loops of a fit by path."""
    fit = trainer.fit_loop
    yield "loops/fit", fit
    yield "loops/epoch", fit.epoch_loop
    yield "loops/validation", fit.epoch_loop.val_loop
    yield "loops/automatic", fit.epoch_loop.automatic_optimization
    yield "loops/manual", fit.epoch_loop.manual_optimization


def places(trainer: Any) -> dict[str, Any]:
    """Return the objects that are known by a path of their own."""
    model = trainer.strategy._lightning_module
    found: dict[str, Any] = {
        "trainer": trainer,
        "strategy": trainer.strategy,
        "accelerator": trainer.accelerator,
        "logs": trainer._logger_connector,
        **dict(callbacks(trainer)),
        **dict(loops(trainer)),
        **dict(optimizing.parameters(trainer)),
        **dict(optimizing.optimizers(trainer)),
    }
    if trainer.datamodule is not None:
        found["datamodule"] = trainer.datamodule
    for index, each in enumerate(trainer.loggers):
        found[f"loggers/{index}"] = each
    for index, each in enumerate(trainer.strategy._lightning_optimizers):
        found[f"stepping/{index}"] = each
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found[f"model/{name}"] = tensor
    for name, module in model.named_modules():
        found[f"model/{name}" if name else "model"] = module
    return found


def by_identity(found: dict[str, Any]) -> dict[int, str]:
    """Return paths by `id`; an object with several has the last of them."""
    return {id(each): path for path, each in found.items()}


def roots(trainer: Any) -> Iterator[Root]:
    """Yield where walks begin, in order: what is met first gives a shared object its path."""
    model = trainer.strategy._lightning_module
    for name, module in model.named_modules():
        yield Root(f"model/{name}" if name else "model", module)
    if trainer.datamodule is not None:
        yield Root("datamodule", trainer.datamodule)
    for path, each in callbacks(trainer):
        yield Root(path, each, _CALLBACK_WIRING)
    yield Root("precision", trainer.strategy.precision_plugin)
    for path, optimizer in optimizing.optimizers(trainer):
        yield Root(path, optimizer, optimizing.WIRING)
    yield Root("schedulers/configured", trainer.strategy.lr_scheduler_configs)
    for path, loop in loops(trainer):
        yield Root(path, loop, _LOOP_WIRING)
    yield Root("trainer", trainer, _TRAINER_WIRING)
    yield Root("logs", trainer._logger_connector)
