"""An honest report as a file, and the pins of the network on paper that made it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PAPER = Path(__file__).parent.parent / "report/conftest.py"


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    spec = importlib.util.spec_from_file_location("gensyn_test_paper", PAPER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    played = module.Paper()
    path = tmp_path_factory.mktemp("honest") / "report.json"
    path.write_bytes(played.report())
    return path, played.pins()
