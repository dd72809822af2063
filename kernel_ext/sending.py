"""Makes a trainer's fits leave for the network, whatever strategy it was built with."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from types import ModuleType
from typing import Any

from gensyn_lightning._imports import Watch
from gensyn_lightning.errors import ConfigError
from kernel_ext.target import TRAINERS, flavour_of


def adopt(trainer: Any) -> Any:
    """Give `trainer` a `GensynStrategy`, unless it has one, and return it; its plugins stay."""
    from gensyn_lightning.strategy import GensynStrategy

    before = trainer.strategy
    if isinstance(before, GensynStrategy):
        return before
    flavour = flavour_of(trainer)
    single = importlib.import_module(f"{flavour}.strategies").SingleDeviceStrategy
    if type(before) is not single:
        raise ConfigError(
            f"the trainer has the strategy {type(before).__name__}",
            hint="the network trains on one device: build the trainer with devices=1",
        )
    strategy: Any = GensynStrategy(flavour=flavour)
    connector = trainer._accelerator_connector
    connector.strategy = connector._strategy_flag = strategy
    connector._lazy_init_strategy()  # as if the trainer had been built with it
    return strategy


@contextmanager
def every_fit(around: Callable[[Any, Callable[[], Any]], Any]) -> Iterator[None]:
    """Have `around(trainer, fit)` in the place of every `Trainer.fit` of the block.

    `fit` calls the original with the same arguments; `around` returns what the call then returns.
    A Lightning package that is first imported inside the block is changed as well.
    """
    originals: list[tuple[Any, Callable[..., Any]]] = []

    def replace(module: ModuleType) -> None:
        kind: Any = vars(module)["Trainer"]
        originals.append((kind, kind.fit))
        kind.fit = _around(kind.fit, around)

    watch = Watch(TRAINERS, replace, _stop)
    for each in TRAINERS:
        if each in sys.modules:
            replace(sys.modules[each])
    sys.meta_path.insert(0, watch)
    try:
        yield
    finally:
        sys.meta_path.remove(watch)
        for kind, original in originals:
            kind.fit = original


def _stop(error: Exception) -> None:
    """Let nothing be trained here that was to be sent."""
    raise ConfigError(
        "this Lightning cannot be told to send its fits", hint="import it before the cell"
    ) from error


def _around(
    fit: Callable[..., Any], around: Callable[[Any, Callable[[], Any]], Any]
) -> Callable[..., Any]:
    @wraps(fit)
    def instead(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        return around(trainer, partial(fit, trainer, *args, **kwargs))

    return instead
