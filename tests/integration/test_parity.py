"""A fit through the network leaves everything as a fit here would have, bit for bit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
GROUPS_MIN = 30
TIMEOUT_S = 600


def groups(flavour: str, where: str, folder: Path) -> dict[str, Any]:
    """Run the program in a process of its own; relative paths, so that both see the same ones."""
    place = folder / where
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", HERE / "parity_program.py", flavour, where, "run"],
        cwd=place,
        env=os.environ | {"PYTHONHASHSEED": "0", "GENSYN_HOME": str(folder / "gensyn")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    [line] = [each for each in done.stdout.splitlines() if each.startswith("PARITY ")]
    return dict(json.loads(line.removeprefix("PARITY ")))


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Give the groups of a plain local fit, run once for each Lightning package."""
    return cache(lambda flavour: groups(flavour, "local", tmp_path_factory.mktemp("home")))


@pytest.mark.parametrize(
    ("flavour", "where"),
    [
        ("pytorch_lightning", "segments"),
        ("lightning.pytorch", "segments"),
        ("pytorch_lightning", "network"),
    ],
)
def test_every_group_is_equal_bit_for_bit(
    at_home: Callable[[str], dict[str, Any]], flavour: str, where: str, tmp_path: Path
) -> None:
    here, there = at_home(flavour), groups(flavour, where, tmp_path)
    different = [name for name in here if here[name] != there.get(name)]
    assert not different, {name: (here[name], there.get(name)) for name in different}
    assert here.keys() == there.keys()
    assert len(here) >= GROUPS_MIN
