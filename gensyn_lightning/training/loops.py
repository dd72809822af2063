"""Lightning's own loops, with a place to stop after every batch and to go on from there.

Nothing of Lightning is copied or replaced: each object of the trainer becomes an instance of a
subclass that tells the run what happens (`gensyn_run`) and, when a fit goes on in the middle of
an epoch, leaves out the parts that belong to the epoch's beginning.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gensyn_lightning.training.run import Run

ATTRIBUTE = "gensyn_run"


def attach(trainer: Any, flavour: str, run: Run) -> None:
    """Make the trainer's loops, strategy and logger connector report to `run`."""
    fit = trainer.fit_loop
    for each, name in (
        (fit, "fit"),
        (fit.epoch_loop, "epoch"),
        (fit.epoch_loop.val_loop, "validation"),
        (trainer._logger_connector, "connector"),
    ):
        vars(each)[ATTRIBUTE] = run
        each.__class__ = _KINDS[name](flavour)
    strategy = trainer.strategy
    vars(strategy)[ATTRIBUTE] = run
    parent: Any = type(strategy)
    strategy.__class__ = _strategy(parent)


@functools.cache
def _fit(flavour: str) -> type:
    parent = importlib.import_module(f"{flavour}.loops.fit_loop")._FitLoop

    class FitLoop(parent):  # type: ignore[misc, valid-type]
        """The loop over epochs."""

        gensyn_run: Run

        def run(self) -> None:
            with self.gensyn_run.looping():
                super().run()

        @property
        def done(self) -> bool:
            # An epoch under way is finished first, even if the fit is to stop after it.
            return not self.gensyn_run.goes_on and bool(super().done)

        def setup_data(self) -> None:
            is_due = self._combined_loader is None or self._should_reload_train_dl
            self.gensyn_run.loaders.built("training", is_due)
            super().setup_data()

        def on_run_start(self) -> None:
            super().on_run_start()
            self.gensyn_run.training_begins()

        def on_advance_start(self) -> None:
            if not self.gensyn_run.goes_on:
                super().on_advance_start()

        def on_advance_end(self) -> None:
            super().on_advance_end()
            self.gensyn_run.epoch_ended()

    return FitLoop


@functools.cache
def _epoch(flavour: str) -> type:
    parent = importlib.import_module(f"{flavour}.loops.training_epoch_loop")._TrainingEpochLoop

    class TrainingEpochLoop(parent):  # type: ignore[misc, valid-type]
        """The loop over an epoch's batches."""

        gensyn_run: Run

        def reset(self) -> None:
            if not self.gensyn_run.goes_on:
                super().reset()

        def on_run_start(self, data_fetcher: Any) -> None:
            if self.gensyn_run.goes_on:
                self.gensyn_run.goes_on = False
            else:
                super().on_run_start(data_fetcher)
            self.gensyn_run.epoch_began()

        def advance(self, data_fetcher: Any) -> None:
            super().advance(data_fetcher)
            self.gensyn_run.batch_trained()

        def on_advance_end(self, data_fetcher: Any) -> None:
            super().on_advance_end(data_fetcher)
            self.gensyn_run.batch_ended()

    return TrainingEpochLoop


@functools.cache
def _validation(flavour: str) -> type:
    parent = importlib.import_module(f"{flavour}.loops.evaluation_loop")._EvaluationLoop

    class EvaluationLoop(parent):  # type: ignore[misc, valid-type]
        """The loop over validation batches inside a fit."""

        gensyn_run: Run

        def setup_data(self) -> None:
            is_due = self._combined_loader is None or self._should_reload_val_dl
            self.gensyn_run.loaders.built("validation", is_due)
            super().setup_data()

        def _evaluation_step(self, *args: Any) -> None:
            super()._evaluation_step(*args)
            self.gensyn_run.batch_validated()

    return EvaluationLoop


@functools.cache
def _connector(flavour: str) -> type:
    name = f"{flavour}.trainer.connectors.logger_connector.logger_connector"
    parent = importlib.import_module(name)._LoggerConnector

    class LoggerConnector(parent):  # type: ignore[misc, valid-type]
        """What gathers logged values."""

        gensyn_run: Run

        def on_batch_start(self, batch: Any, dataloader_idx: int | None = None) -> None:
            super().on_batch_start(batch, dataloader_idx)
            self.gensyn_run.batch_begins(batch)

    return LoggerConnector


@functools.lru_cache
def _strategy(parent: Any) -> type:
    class Strategy(parent):  # type: ignore[misc]
        """The strategy of a runner."""

        gensyn_run: Run

        def barrier(self, name: str | None = None) -> None:
            super().barrier(name)
            if name == "run-stage":
                self.gensyn_run.set_up()

        def process_dataloader(self, dataloader: object) -> object:
            return self.gensyn_run.loaders.follow(super().process_dataloader(dataloader))

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            output = super().training_step(*args, **kwargs)
            self.gensyn_run.step_output(output)
            return output

        def validation_step(self, *args: Any, **kwargs: Any) -> Any:
            output = super().validation_step(*args, **kwargs)
            self.gensyn_run.step_output(output)
            return output

    Strategy.__name__ = parent.__name__
    Strategy.__qualname__ = parent.__qualname__
    return Strategy


_KINDS = {"fit": _fit, "epoch": _epoch, "validation": _validation, "connector": _connector}
