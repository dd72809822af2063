"""Teaches both Lightning packages the strategy name `gensyn` as soon as they are imported.

Installed as a `torch.backends` entry point, so it runs at the end of `import torch`: it imports
the standard library only, and whatever goes wrong in here must not become torch's problem.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType
from typing import Any

from gensyn_lightning._imports import Watch

NAME = "gensyn"
DESCRIPTION = "Trains on machines you do not own, and checks the result."
MODULES = ("pytorch_lightning.strategies", "lightning.pytorch.strategies")

failures: list[str] = []  # what went wrong in here; `gensyn doctor` shows it


def install() -> None:
    """Register the strategy now where Lightning is imported, and later where it is not yet."""
    try:
        _install()
    except Exception as error:
        _failed(error)


def _install() -> None:
    for name in MODULES:
        if name in sys.modules:
            _register(sys.modules[name])
    if not any(getattr(each, "names", None) == MODULES for each in sys.meta_path):
        sys.meta_path.insert(0, Watch(MODULES, _register, _failed))


def _register(module: ModuleType) -> None:
    registry = getattr(module, "StrategyRegistry", None)
    if registry is not None and NAME not in registry:
        flavour = module.__name__.removesuffix(".strategies")
        registry.register(NAME, functools.partial(_build, flavour), description=DESCRIPTION)


def _build(flavour: str) -> Any:
    # By name, because the strategy stands layers above this module and loads torch.
    return importlib.import_module("gensyn_lightning.strategy").flavoured(flavour)()


def _failed(error: Exception) -> None:
    failures.append(f"{type(error).__name__}: {error}")
