"""The command line: what goes where, and with which exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def gensyn(tmp_path: Path):  # type: ignore[no-untyped-def]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GENSYN_HOME": str(tmp_path / "g"),
    }

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gensyn_lightning.cli.__main__", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environ | more, check=False
        )

    return run


def test_people_read_stderr_and_programs_stdout(gensyn) -> None:  # type: ignore[no-untyped-def]
    done = gensyn("config", "show", "--json", GENSYN_SOLVERS="3")
    assert done.returncode == 0
    assert "solvers" in done.stderr
    settings = json.loads(done.stdout)["settings"]
    assert settings["solvers"] == {"value": 3, "from": "environment"}
    assert gensyn("config", "show").stdout == ""


def test_an_error_is_one_line_with_a_hint(gensyn) -> None:  # type: ignore[no-untyped-def]
    done = gensyn("job", "show", "job-0123456789abcdef")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "gensyn up" in done.stderr


def test_an_error_is_a_document_too_when_asked(gensyn) -> None:  # type: ignore[no-untyped-def]
    done = gensyn("job", "show", "nonsense", "--json", GENSYN_SOLVERS="many")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "config"
    assert "GENSYN_SOLVERS" in done.stderr or "solvers" in error["message"]


@pytest.mark.parametrize("arguments", [("dance",), ("up", "--colour"), ("job", "show")])
def test_wrong_usage_is_exit_2(gensyn, arguments: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    assert gensyn(*arguments).returncode == 2


def test_a_fault_that_does_not_exist_is_refused_before_anything_starts(gensyn, tmp_path) -> None:  # type: ignore[no-untyped-def]
    done = gensyn("up", "--fault", "solver-1=dance@3")
    assert done.returncode == 1
    assert "bit-flip" in done.stderr
    assert not (tmp_path / "g/network.json").exists()


def test_down_without_a_network_says_so(gensyn) -> None:  # type: ignore[no-untyped-def]
    done = gensyn("down", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["stopped"] is False


def test_no_jobs_are_an_empty_list(gensyn) -> None:  # type: ignore[no-untyped-def]
    done = gensyn("job", "ls", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["jobs"] == []


def test_training_what_is_not_there_is_an_error(gensyn) -> None:  # type: ignore[no-untyped-def]
    assert "no file" in gensyn("train", "nothing.py").stderr


def test_the_version_is_printed(gensyn) -> None:  # type: ignore[no-untyped-def]
    assert gensyn("--version").stdout.strip()[0].isdigit()
