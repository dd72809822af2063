"""The simulated network, borrowed: a real engine over a store in memory, its own clock."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

WORLD = Path(__file__).parents[2] / "simulation/conftest.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated_network", WORLD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def simulated() -> ModuleType:
    """The simulation's module: `World`, `Node`, the toy program."""
    return _load()


@pytest.fixture
def world(simulated: ModuleType) -> Any:
    """A network with two solvers and a verifier, and a job that may be trained."""
    made = simulated.World(11)
    for name in ("solver-1", "solver-2"):
        simulated.Node(made, name, verifies=False)
    simulated.Node(made, "verifier-1", solves=False)
    made.submit()
    made.errands()
    return made
