"""Brings the user's own trainer where a fit here would have brought it, up to the first batch.

What a fit sets up (data, callbacks of the model, hooks called `setup` and `on_fit_start`,
optimizers) are objects of the program, which no state carries: they are made here, by the program
itself, once. The end state of the training is then put into them. Nothing is trained, printed or
logged; what Lightning's own callbacks do in `on_fit_start` (tuners train there) is left out.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def rehearse(
    trainer: Any,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    deaf: Sequence[Any] = (),
) -> None:
    """Set `trainer` up as `function(*args, **kwargs)`, its `fit`, would have before training.

    Meanwhile its loggers are replaced by `deaf`, if there are any.
    """
    package = _package(trainer)
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    model = given.arguments["model"]
    call = importlib.import_module(f"{package}.trainer.call")
    with _silence(), _with_loggers(trainer, deaf):
        trainer.training = True
        _attach_data(trainer, package, model, given.arguments)
        _set_limits(trainer, package)
        importlib.import_module(f"{package}.utilities.parsing").clean_namespace(
            getattr(model, "hparams", {})
        )
        trainer.strategy.connect(model)
        trainer._callback_connector._attach_model_callbacks()
        trainer._callback_connector._attach_model_logging_functions()
        trainer.strategy.setup_environment()
        trainer._data_connector.prepare_data()
        call._call_setup_hook(trainer)
        call._call_configure_model(trainer)
        trainer._logger_connector.reset_results()
        trainer._logger_connector.reset_metrics()
        trainer.strategy.setup(trainer)
        _start(trainer, package)
        _set_up_loaders(trainer)


def conclude(trainer: Any, deaf: Sequence[Any] = ()) -> None:
    """Take `trainer` down as a fit does after its last batch, hooks called `teardown` included.

    The loggers are left out: what they are told comes from the network.
    """
    package = _package(trainer)
    call = importlib.import_module(f"{package}.trainer.call")
    stage = trainer.state.fn
    with _silence(), _with_loggers(trainer, deaf):
        trainer._teardown()
        if trainer.datamodule is not None:
            call._call_lightning_datamodule_hook(trainer, "teardown", stage=stage)
        call._call_callback_hooks(trainer, "teardown", stage=stage)
        call._call_lightning_module_hook(trainer, "teardown", stage=stage)
    model = trainer.lightning_module
    model._current_fx_name = None
    model._metric_attributes = None


def finish(trainer: Any) -> None:
    """Leave the trainer in the state `fit` leaves it in when it returns."""
    package = _package(trainer)
    states = importlib.import_module(f"{package}.trainer.states")
    trainer.state.status = states.TrainerStatus.FINISHED
    trainer.state.stage = None
    trainer.training = False


def _package(trainer: Any) -> str:
    return type(trainer.fit_loop).__module__.removesuffix(".loops.fit_loop")


def _start(trainer: Any, package: str) -> None:
    """Call the program's own hooks `on_fit_start`."""
    for each in trainer.callbacks:
        if not type(each).__module__.startswith(f"{package}."):
            each.on_fit_start(trainer, trainer.lightning_module)
    call = importlib.import_module(f"{package}.trainer.call")
    call._call_lightning_module_hook(trainer, "on_fit_start")


@contextlib.contextmanager
def _with_loggers(trainer: Any, loggers: Sequence[Any]) -> Iterator[None]:
    own = trainer._loggers
    trainer._loggers = list(loggers) or own
    try:
        yield
    finally:
        trainer._loggers = own


def _attach_data(trainer: Any, package: str, model: Any, given: Mapping[str, Any]) -> None:
    train, datamodule = given["train_dataloaders"], given["datamodule"]
    if isinstance(train, importlib.import_module(package).LightningDataModule):
        train, datamodule = None, train
    trainer._data_connector.attach_data(
        model,
        train_dataloaders=train,
        val_dataloaders=given["val_dataloaders"],
        datamodule=datamodule,
    )


def _set_limits(trainer: Any, package: str) -> None:
    parse = importlib.import_module(f"{package}.loops.utilities")._parse_loop_limits
    loop = trainer.fit_loop
    limits = (trainer.min_steps, trainer.max_steps, trainer.min_epochs, trainer.max_epochs)
    loop.min_epochs, loop.max_epochs = parse(*limits, trainer)


def _set_up_loaders(trainer: Any) -> None:
    trainer.fit_loop.setup_data()
    if trainer.enable_validation and trainer.val_dataloaders is None:
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.setup_data()
        trainer.training = True


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep quiet: whatever the program says here, it said on the network already."""
    disabled = logging.root.manager.disable
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
