"""The digits notebook as a user sees it: moving, stopped, taken back, and read again when cold."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from lab import ROOT, Lab, Page, lab, page

HEAD = re.compile(r"batch (\d+) of (\d+)")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the notebook and its program; the network that is started there is stopped."""
    place = tmp_path_factory.mktemp("lab")
    (place / "work").mkdir()
    for name in ("digits.py", "digits.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, place / "work" / name)
    yield place
    from gensyn_lightning.network import Home
    from gensyn_lightning.network.home import read_info

    info = read_info(Home(place / "net"))
    if info is not None and psutil.pid_exists(info.supervisor):
        psutil.Process(info.supervisor).terminate()
        psutil.Process(info.supervisor).wait(60)


def write(path: Path, *cells: str) -> None:
    """Write a notebook of code cells."""
    made = [nbformat.v4.new_code_cell(each) for each in cells]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)


def head(seen: Page) -> str:
    """Return the line of the live view that says where the job is."""
    found = seen.page.locator(".jp-OutputArea-output .widget-html-content b", has_text="job-")
    found.first.wait_for()
    return str(found.first.locator("xpath=..").inner_text())


def bar(seen: Page, above: int = 0) -> int:
    """Wait until more than `above` batches are shown, and return how many."""
    found = seen.page.wait_for_function(
        "above => { const m = /batch (\\d+) of/.exec(document.body.innerText);"
        " return m && +m[1] > above ? +m[1] : 0 }",
        arg=above,
    )
    return int(found.json_value())


def report(seen: Page, word: str = "VERIFIED") -> Any:
    """Return the headlines of reports with this word that stand in outputs."""
    return seen.page.locator(".jp-OutputArea-output h1", has_text=word)


def quiet(seen: Page) -> None:
    """Assert that nothing went wrong on the page and nothing left the machine."""
    assert seen.errors == []
    assert seen.foreign == []


def test_the_digits_notebook_runs_to_verified_and_is_read_again(place: Path) -> None:
    work, settings = place / "work", place / "settings"
    with lab(work, settings, place / "net") as server, page(server.address) as seen:
        seen.open(server, "digits.ipynb")
        seen.kernel_ready()
        seen.command("notebook:run-all-cells")
        first = bar(seen)
        second = bar(seen, above=first)
        seen.shot("1-training")
        assert second > first
        report(seen).nth(1).wait_for()  # what the view left, and %gensyn_report
        seen.shot("2-verified")
        seen.save()
        quiet(seen)
    _read_cold(work, settings, place / "net", "trusted")
    _read_cold(work, place / "other", place / "net", "untrusted")


def _read_cold(work: Path, settings: Path, home: Path, name: str) -> None:
    """Open the saved notebook with nothing running, and assert that the report is readable."""
    saved = nbformat.read(work / "digits.ipynb", as_version=4)
    assert "widgets" not in saved.metadata
    with lab(work, settings, home) as server, page(server.address) as seen:
        seen.open(server, "digits.ipynb")
        report(seen).first.wait_for()
        pictures = seen.page.locator(".jp-OutputArea-output img")
        assert pictures.count() >= 2
        widths = pictures.evaluate_all("all => all.map(each => each.naturalWidth)")
        assert all(width > 0 for width in widths)
        assert seen.page.get_by_text("Error displaying widget").count() == 0
        seen.kernel_ready()  # told to stop while a kernel starts, JupyterLab waits for ever
        seen.shot(f"3-{name}")
        quiet(seen)


def test_a_job_is_stopped_left_and_taken_back_after_a_restart(place: Path) -> None:
    work, settings = place / "work", place / "settings"
    program = (
        "%load_ext kernel_ext\nfrom digits import build\n"
        'trainer, model, data = build("auto", epochs=40, enable_progress_bar=False)\n'
        "whole = (trainer, model, data)"
    )
    write(work / "left.ipynb", program, "%gensyn_train whole", "print('went', 'on')")
    with lab(work, settings, place / "net") as server, page(server.address) as seen:
        seen.open(server, "left.ipynb")
        seen.kernel_ready()
        seen.command("notebook:run-all-cells")
        bar(seen)
        seen.command("notebook:interrupt-kernel")
        told = seen.page.get_by_text("goes on without this cell")
        told.first.wait_for()
        name = re.search(r"job-[0-9a-f]+", told.first.inner_text())
        assert name is not None
        assert seen.page.get_by_text("went on", exact=True).count() == 0
        before = bar(seen)
        assert bar(seen, above=before) > before  # it moves on without the cell
        seen.shot("4-left")
        seen.save()
        quiet(seen)
        _take_back(seen, server, program, name[0])


def _take_back(seen: Page, server: Lab, program: str, name: str) -> None:
    """After a restart, in a new kernel: look at the job, then bring its model back."""
    seen.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.context.sessionContext.restartKernel()"
    )
    seen.kernel_ready()
    write(
        server.folder / "back.ipynb",
        program,
        f"%gensyn_status {name}",
        f"%gensyn_train whole --attach {name} --out outcome\nprint(outcome.verdict, 'in hand')",
    )
    seen.open(server, "back.ipynb")
    seen.kernel_ready()
    seen.command("notebook:run-all-cells")
    assert name in head(seen)
    seen.shot("5-attached")
    seen.page.get_by_text("VERIFIED in hand", exact=True).wait_for()
    seen.shot("6-taken-back")
    quiet(seen)


def test_the_button_stops_a_job_whose_cell_has_ended(place: Path) -> None:
    work, settings = place / "work", place / "settings"
    program = (
        "%load_ext kernel_ext\nfrom digits import build\n"
        'whole = build("auto", epochs=200, enable_progress_bar=False)'
    )
    write(work / "button.ipynb", program, "job = %gensyn_train whole --detach")
    with lab(work, settings, place / "net") as server, page(server.address) as seen:
        seen.open(server, "button.ipynb")
        seen.kernel_ready()
        seen.command("notebook:run-all-cells")
        bar(seen)
        seen.page.get_by_role("button", name="Stop the job").click()
        report(seen, "CANCELLED").wait_for()
        seen.shot("7-stopped")
        quiet(seen)
