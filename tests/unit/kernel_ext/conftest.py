"""A report file made on paper, for views that need one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PAPER = Path(__file__).parent.parent / "report/conftest.py"


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("gensyn_test_paper", PAPER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    path: Path = tmp_path_factory.mktemp("report") / "report.json"
    path.write_bytes(module.Paper().report())
    return path
