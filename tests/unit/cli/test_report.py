from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gensyn_lightning.cli.report import report
from gensyn_lightning.errors import ConfigError

app = typer.Typer()
app.command()(report)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENSYN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def run(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(each) for each in words])


def test_a_file_is_shown_for_people(honest: Any) -> None:
    done = run(honest[0])
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "UNCONFIRMED" in done.stderr, "nobody is pinned here"


def test_html_and_json_are_written(honest: Any, documents: Any, tmp_path: Path) -> None:
    done = run(honest[0], "--html", tmp_path / "page.html", "--json")
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    (document,) = documents(done.stdout)
    assert document["schema"] == "gensyn-report/1"


def test_a_broken_report_exits_3(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    done = run(tmp_path / "report.json")
    assert done.exit_code == 3
    assert "DOES NOT HOLD" in done.stderr


@pytest.mark.parametrize("name", ["nothing", "job-0123456789abcdef", "0" * 64])
def test_a_job_needs_a_network_that_knows_it(name: str) -> None:
    done = run(name)
    assert done.exception is not None
    assert done.exception.__class__.__name__ in {"NotFound", "ConfigError"}


def test_a_place_that_cannot_be_written_is_said(honest: Any, tmp_path: Path) -> None:
    done = run(honest[0], "--html", tmp_path / "missing" / "page.html")
    assert isinstance(done.exception, ConfigError)
