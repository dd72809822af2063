"""Teaches both Lightning packages the strategy name `gensyn` as soon as they are imported.

Installed as a `torch.backends` entry point, so it runs at the end of `import torch`: it imports
the standard library only, and whatever goes wrong in here must not become torch's problem.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME = "gensyn"
DESCRIPTION = "Trains on machines you do not own, and checks the result."
MODULES = ("pytorch_lightning.strategies", "lightning.pytorch.strategies")

failures: list[str] = []  # what went wrong in here; `gensyn doctor` shows it


def install() -> None:
    """Register the strategy now where Lightning is imported, and later where it is not yet."""
    _quietly(_install)


class _Finder:
    """Finds the strategies modules of Lightning as usual, and sees to it that they are taught."""

    searching = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec the other finders give, with a loader that registers the strategy."""
        if name not in MODULES or self.searching:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            _quietly(_extend, spec.loader)
        return spec


def _install() -> None:
    for name in MODULES:
        if name in sys.modules:
            _register(sys.modules[name])
    if not any(type(each).__qualname__ == _Finder.__qualname__ for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _extend(loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        _quietly(_register, module)

    loader.exec_module = exec_module


def _register(module: ModuleType) -> None:
    registry = getattr(module, "StrategyRegistry", None)
    if registry is not None and NAME not in registry:
        flavour = module.__name__.removesuffix(".strategies")
        registry.register(NAME, functools.partial(_build, flavour), description=DESCRIPTION)


def _build(flavour: str) -> Any:
    # By name, because the strategy stands layers above this module and loads torch.
    return importlib.import_module("gensyn_lightning.strategy").flavoured(flavour)()


def _quietly(call: Callable[..., None], *args: Any) -> None:
    try:
        call(*args)
    except Exception as error:
        failures.append(f"{type(error).__name__}: {error}")
