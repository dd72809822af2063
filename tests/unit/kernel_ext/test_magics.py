from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from pytorch_lightning import LightningModule, Trainer

from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.digest import parse_digest
from gensyn_lightning.protocol.job import JobId, display_id
from gensyn_lightning.report import form
from kernel_ext.magics import GensynMagics
from kernel_ext.sent import Sent
from kernel_ext.view import ReportView, Told


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("GENSYN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance(colors="nocolor")
    made.history_manager.enabled = False
    made.extension_manager.load_extension("kernel_ext")
    yield made
    made.history_manager.end_session()
    InteractiveShell.clear_instance()


JOBS = [JobId(parse_digest(each * 4)) for each in ("00000000aaaaaaaa", "0123456789abcdef")]
ALL = {"gensyn_train", "gensyn_status", "gensyn_wait", "gensyn_stop", "gensyn_report"}


def names(shell: InteractiveShell) -> set[str]:
    found = shell.magics_manager.magics
    return {name for kind in found.values() for name in kind if name.startswith("gensyn")}


def test_the_extension_loads_twice_and_unloads(shell: InteractiveShell) -> None:
    assert names(shell) == ALL
    shell.extension_manager.reload_extension("kernel_ext")
    assert names(shell) == ALL
    shell.extension_manager.unload_extension("kernel_ext")
    assert names(shell) == set()


def test_an_unknown_flag_is_a_usage_error(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="--nodez"):
        shell.run_line_magic("gensyn_train", "model --nodez 3")


def test_help_names_every_flag(shell: InteractiveShell) -> None:
    text = shell.find_line_magic("gensyn_train").__doc__ or ""
    for flag in (
        "--data",
        "--trainer",
        "--epochs",
        "--audit",
        "--coordinator",
        "--detach",
        "--attach",
        "--quiet",
    ):
        assert flag in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%gensyn_train modell", "there is no modell (did you mean model?)"),
        ("%gensyn_train model", "model is str, not something to fit"),
        ("%gensyn_train", "nothing to train"),
        ("%gensyn_report", "nothing was trained in this notebook"),
        ("%gensyn_train model --detach --attach job-1", "--detach leaves a job"),
        ("%gensyn_wait", "no job was left to go on"),
        ("%gensyn_wait job-00000000", "no job job-00000000 was submitted"),
        ("%gensyn_stop job-00000000", "no job job-00000000 was submitted"),
        ("%gensyn_report job-", "'job-' is no job"),
        ("%gensyn_status job-00000000", "no job job-00000000 was submitted"),
        ("%%gensyn_train\nx = 1", "model"),
    ],
)
def test_a_mistake_is_said_in_one_line(shell: InteractiveShell, line: str, said: str) -> None:
    shell.user_ns["model"] = "not a model"
    with capture_output() as shown:
        result = shell.run_cell(line)
    assert isinstance(result.error_in_exec, Told)
    assert said in shown.stdout
    assert "Traceback" not in shown.stdout
    assert len(shown.stdout.strip().splitlines()) == 1


def test_a_cell_is_run_before_anything_is_trained(shell: InteractiveShell) -> None:
    with capture_output():
        shell.run_cell("%%gensyn_train\nseen = 1 + 1")
    assert shell.user_ns["seen"] == 2


def test_what_a_cell_raises_is_shown_as_it_is(shell: InteractiveShell) -> None:
    with capture_output() as shown:
        result = shell.run_cell("%%gensyn_train\nvalue = 1\nvalue / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "value / 0" in shown.stdout


def test_status_without_a_network_says_so(shell: InteractiveShell) -> None:
    with capture_output() as shown:
        assert shell.run_cell("%gensyn_status").success
    assert "no network runs" in shown.stdout
    assert "no jobs yet" in shown.stdout


def test_a_report_is_shown_as_html_and_as_text(
    shell: InteractiveShell, report_file: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    view = shell.run_line_magic("gensyn_report", f"{report_file} --html {page}")
    shown, _ = shell.display_formatter.format(view)
    assert shown["text/plain"].startswith("? UNCONFIRMED")
    assert "<script" not in shown["text/html"]
    assert "data:image/svg+xml" in shown["text/html"]
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_last_outcome_is_the_one_that_is_reported(
    shell: InteractiveShell, report_file: Path
) -> None:
    outcome = SimpleNamespace(report=report_file, job=b"", verdict="VERIFIED")
    magics_of(shell).sent.outcomes.append(outcome)  # type: ignore[arg-type]
    view = shell.run_line_magic("gensyn_report", "")
    assert isinstance(view, ReportView)
    assert view.path == report_file


def magics_of(shell: InteractiveShell) -> GensynMagics:
    found = shell.magics_manager.registry["GensynMagics"]
    assert isinstance(found, GensynMagics)
    return found


@pytest.mark.parametrize("name", ["job-0123456789abcdef", "job-0123", "0123", ""])
def test_a_job_is_named_by_how_its_name_begins(
    shell: InteractiveShell, tmp_path: Path, name: str
) -> None:
    home = Home(tmp_path / "home").make()
    for each in JOBS:
        jobs.remember(home, each)
        job: Any = SimpleNamespace(wait=lambda _, each=each: each)
        magics_of(shell).sent.jobs[display_id(each)] = job
    assert shell.run_line_magic("gensyn_wait", name) == JOBS[-1]


def test_a_job_that_was_sent_elsewhere_can_be_attached(
    shell: InteractiveShell, tmp_path: Path
) -> None:
    jobs.remember(Home(tmp_path / "home").make(), JOBS[0])
    with pytest.raises(Told, match=r"was not sent by this notebook.*--attach"):
        shell.run_line_magic("gensyn_wait", display_id(JOBS[0]))


def test_a_flag_that_is_zero_is_said(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Sent, "carry", lambda sent, trainer, fit, way: seen.append(way.options))
    shell.user_ns["model"] = LightningModule()
    shell.user_ns["trainer"] = Trainer(logger=False, enable_checkpointing=False)
    shell.run_line_magic("gensyn_train", "model --trainer trainer --timeout 0 --budget 0")
    assert seen == [{"timeout": 0.0, "budget": 0}]


def test_a_report_that_does_not_hold_says_so(shell: InteractiveShell, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"schema": form.SCHEMA}))
    view: Any = shell.run_line_magic("gensyn_report", str(path))
    assert view.status == "DOES NOT HOLD"
