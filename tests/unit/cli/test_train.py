"""What `gensyn train` makes of a file, without a network: scripts and factories."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
print(__name__, sys.argv[1:], os.environ["PL_TRAINER_STRATEGY"], sys.path[0])
"""
FACTORY = """
class Trainer:
    def fit(self, model, data):
        print("fitted", model, data, type(self).__module__ in __import__("sys").modules)

def make():
    return Trainer(), "model", "data"

def nothing():
    return None
"""


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / "project").mkdir()
    (tmp_path / "project/script.py").write_text(SCRIPT)
    (tmp_path / "project/factory.py").write_text(FACTORY)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GENSYN_HOME": str(tmp_path / "g"),
    }

    def gensyn(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gensyn_lightning.cli.__main__", "train", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environ, check=False
        )

    return gensyn


def test_a_script_runs_as_itself_with_its_own_arguments(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run("project/script.py", "--lr", "3", "deep")
    assert done.returncode == 0
    expected = f"__main__ ['--lr', '3', 'deep'] gensyn {tmp_path / 'project'}"
    assert done.stdout.strip() == expected
    assert "trained nothing on the network" in done.stderr


def test_documents_are_not_mixed_with_what_a_script_prints(run) -> None:  # type: ignore[no-untyped-def]
    done = run("project/script.py", "--json")
    assert json.loads(done.stdout)["jobs"] == []
    assert "__main__" in done.stderr


def test_a_factory_is_called_and_fitted(run) -> None:  # type: ignore[no-untyped-def]
    done = run("project/factory.py:make")
    assert done.returncode == 0
    assert "fitted model data True" in done.stdout


@pytest.mark.parametrize("name", ["absent", "nothing"])
def test_what_is_no_factory_is_refused(run, name: str) -> None:  # type: ignore[no-untyped-def]
    done = run(f"project/factory.py:{name}")
    assert done.returncode == 1
    assert name in done.stderr
