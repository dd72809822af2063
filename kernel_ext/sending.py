"""Makes a trainer's fits leave for the network, whatever strategy it was built with."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

from gensyn_lightning.errors import ConfigError
from kernel_ext.target import FLAVOURS, flavour_of


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
def every_fit(around: Callable[[Any, Callable[[], Any]], Any], source: str = "") -> Iterator[None]:
    """Have `around(trainer, fit)` in the place of every `Trainer.fit` of the block.

    `fit` calls the original with the same arguments; `around` returns what the call then returns.
    `source` is the text of what runs in the block: the packages it names are loaded before.
    """
    for each in FLAVOURS:
        package = each.partition(".")[0]
        if re.search(rf"\b{package}\b", source) and importlib.util.find_spec(package):
            importlib.import_module(each)
    classes = [sys.modules[each].Trainer for each in FLAVOURS if each in sys.modules]
    originals = [(kind, kind.fit) for kind in classes]
    for kind, original in originals:
        kind.fit = _around(original, around)
    try:
        yield
    finally:
        for kind, original in originals:
            kind.fit = original


def _around(
    fit: Callable[..., Any], around: Callable[[Any, Callable[[], Any]], Any]
) -> Callable[..., Any]:
    @wraps(fit)
    def instead(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        return around(trainer, partial(fit, trainer, *args, **kwargs))

    return instead
