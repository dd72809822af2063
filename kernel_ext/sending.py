"""Makes a trainer's fits leave for the network, whatever strategy it was built with."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from gensyn_lightning.errors import ConfigError
from kernel_ext.target import FLAVOURS, flavour_of


def adopt(trainer: Any, options: Mapping[str, Any]) -> Any:
    """Give `trainer` a `GensynStrategy` with `options` and return it; its plugins stay."""
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
    strategy: Any = GensynStrategy(flavour=flavour, **options)
    connector = trainer._accelerator_connector
    connector.strategy = connector._strategy_flag = strategy
    connector._lazy_init_strategy()  # as if the trainer had been built with it
    return strategy


@contextmanager
def every_fit(options: Mapping[str, Any], heard: Callable[[Any], None]) -> Iterator[None]:
    """Send every `Trainer.fit` of the block to the network; `heard` then gets the trainer."""
    classes = [sys.modules[each].Trainer for each in FLAVOURS if each in sys.modules]
    originals = [(kind, kind.fit) for kind in classes]
    for kind, original in originals:
        kind.fit = _sending(original, options, heard)
    try:
        yield
    finally:
        for kind, original in originals:
            kind.fit = original


def _sending(
    fit: Callable[..., Any], options: Mapping[str, Any], heard: Callable[[Any], None]
) -> Callable[..., Any]:
    @wraps(fit)
    def sending(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        adopt(trainer, options)
        done = fit(trainer, *args, **kwargs)
        heard(trainer)
        return done

    return sending
