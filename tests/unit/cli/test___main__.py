"""The command line: what goes where, and with which exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Gensyn = Callable[..., subprocess.CompletedProcess[str]]
Documents = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def gensyn(tmp_path: Path) -> Gensyn:
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


def test_people_read_stderr_and_programs_stdout(gensyn: Gensyn) -> None:
    done = gensyn("config", "show", "--json", GENSYN_SOLVERS="3")
    assert done.returncode == 0
    assert "solvers" in done.stderr
    settings = json.loads(done.stdout)["settings"]
    assert settings["solvers"] == {"value": 3, "from": "environment"}
    assert gensyn("config", "show").stdout == ""


def test_an_error_is_one_line_with_a_hint(gensyn: Gensyn) -> None:
    done = gensyn("job", "show", "job-0123456789abcdef")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "gensyn up" in done.stderr


def test_an_error_is_a_document_too_when_asked(gensyn: Gensyn, documents: Documents) -> None:
    done = gensyn("job", "show", "nonsense", "--json", GENSYN_SOLVERS="many")
    assert done.returncode == 1
    (document,) = documents(done.stdout)
    assert document["error"]["code"] == "config"
    assert "solvers" in document["error"]["message"]


@pytest.mark.parametrize("arguments", [("dance",), ("up", "--colour"), ("job", "show")])
def test_wrong_usage_is_exit_2(gensyn: Gensyn, arguments: tuple[str, ...]) -> None:
    done = gensyn(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--help" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        (("dance", "--json"), ("usage", 2)),
        (("job", "--json"), ("usage", 2)),
        (("job", "wait", "job-0123456789abcdef", "--timeout", "soon", "--json"), ("usage", 2)),
        (("node", "ls", "--json"), ("config", 1)),
        (("node", "start", "--role", "chef", "--json"), ("config", 1)),
        (("node", "start", "--coordinator", "192.0.2.1:5", "--json"), ("sandbox", 1)),
        (("verify", "nothing.json", "--json"), ("config", 1)),
        (("config", "set", "audit", "5", "--json"), ("config", 1)),
        (("config", "get", "colour", "--json"), ("config", 1)),
        (("train", "raises.py", "--json"), ("exception", 1)),
    ],
)
def test_every_failure_is_a_document_when_asked(
    gensyn: Gensyn,
    documents: Documents,
    tmp_path: Path,
    arguments: tuple[str, ...],
    failure: tuple[str, int],
) -> None:
    (tmp_path / "raises.py").write_text("raise ValueError('no')")
    done = gensyn(*arguments)
    (document,) = documents(done.stdout)
    assert document["schema"] == "gensyn-error/1"
    assert (document["error"]["code"], done.returncode) == failure


@pytest.mark.parametrize(
    ("arguments", "schema"),
    [
        (("config", "show"), "gensyn-config/1"),
        (("config", "get", "home"), "gensyn-setting/1"),
        (("config", "set", "budget", "7"), "gensyn-setting/1"),
        (("down",), "gensyn-down/1"),
        (("job", "ls"), "gensyn-jobs/1"),
        (("train", "empty.py"), "gensyn-train/1"),
    ],
)
def test_every_document_is_as_its_schema_says(
    gensyn: Gensyn, documents: Documents, tmp_path: Path, arguments: tuple[str, ...], schema: str
) -> None:
    (tmp_path / "empty.py").write_text("")
    done = gensyn(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    (document,) = documents(done.stdout)
    assert document["schema"] == schema


def test_a_setting_that_is_set_is_in_force_and_says_so_when_it_is_not(
    gensyn: Gensyn, tmp_path: Path
) -> None:
    assert gensyn("config", "set", "solvers", "3").returncode == 0
    assert gensyn("config", "get", "solvers").stdout == "3\n"
    assert (tmp_path / ".config/gensyn/config.toml").read_text() == "solvers = 3\n"
    overruled = gensyn("config", "set", "solvers", "4", GENSYN_SOLVERS="1")
    assert "environment goes first" in overruled.stderr


def test_a_fault_that_does_not_exist_is_refused_before_anything_starts(
    gensyn: Gensyn, tmp_path: Path
) -> None:
    done = gensyn("up", "--fault", "solver-1=dance@3")
    assert done.returncode == 1
    assert "bit-flip" in done.stderr
    assert not (tmp_path / "g/network.json").exists()


def test_down_without_a_network_says_so(gensyn: Gensyn) -> None:
    done = gensyn("down", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["stopped"] is False


def test_no_jobs_are_an_empty_list(gensyn: Gensyn) -> None:
    done = gensyn("job", "ls", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["jobs"] == []


def test_training_what_is_not_there_is_an_error(gensyn: Gensyn) -> None:
    assert "no file" in gensyn("train", "nothing.py").stderr


def test_the_version_is_printed(gensyn: Gensyn) -> None:
    assert gensyn("--version").stdout.strip()[0].isdigit()
