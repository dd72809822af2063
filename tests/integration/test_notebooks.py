"""The programs people learn from: same state wherever they run, notebooks that run and travel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gensyn_lightning import config
from gensyn_lightning.network import Network

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
PROGRAMS = ("digits", "characters")
CELL_S = 900  # a machine that does other things as well
PROCESS_S = 1200
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
FETCHED_BY_STYLE = re.compile(r"(?:@import|url\()\s*[\"']?\s*https?:")


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give the environment of a user whose network the whole module shares."""
    home = tmp_path_factory.mktemp("home")
    yield os.environ | {
        "GENSYN_HOME": str(home),
        "PYTHONHASHSEED": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    Network.stop(config.resolve({"home": home}).home)


def python(*words: object, folder: Path, environ: dict[str, str]) -> str:
    """Run this Python in `folder` and return what it wrote to stdout."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, words)],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PROCESS_S,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_network_ends_in_the_state_that_training_here_ends_in(
    program: str, environ: dict[str, str], tmp_path: Path
) -> None:
    there, here = (
        python(HERE / "notebook_program.py", program, where, folder=tmp_path, environ=environ)
        for where in ("network", "local")
    )
    assert there.split()[-1] == here.split()[-1]


@pytest.fixture(scope="module", params=PROGRAMS)
def executed(
    request: pytest.FixtureRequest,
    environ: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Give a notebook that nbmake has just executed, in a copy of its folder."""
    folder = tmp_path_factory.mktemp("run") / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns("build", "__pycache__"))
    notebook = folder / f"{request.param}.ipynb"
    flags = ("--nbmake", f"--nbmake-timeout={CELL_S}", "--overwrite", "-q")
    python("-m", "pytest", *flags, notebook, folder=folder, environ=environ)
    return notebook


@pytest.mark.soak
def test_a_notebook_runs_and_keeps_a_verified_report(executed: Path) -> None:
    cells = json.loads(executed.read_text())["cells"]
    assert "widget-view" not in json.dumps([each.get("outputs") for each in cells])
    assert "VERIFIED" in json.dumps(cells[-1]["outputs"])


@pytest.mark.soak
def test_a_notebook_as_a_page_fetches_nothing_and_shows_its_pictures(
    executed: Path, environ: dict[str, str]
) -> None:
    words = ("-m", "nbconvert", "--config", "offline.json", "--to", "html", executed.name)
    python(*words, folder=executed.parent, environ=environ)
    page = executed.with_suffix(".html").read_text()
    seen = Page(page)
    assert seen.pictures
    assert [each[:60] for each in seen.addresses if not each.startswith("data:")] == []
    assert not FETCHED_BY_STYLE.search(page)


class Page(HTMLParser):
    """The addresses that a browser loads with a page; `pictures` are those of images."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.pictures: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADED.get(tag, ""))
        if address is not None:
            self.addresses.append(address)
            if tag == "img":
                self.pictures.append(address)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_notebook_is_kept_without_widgets(program: str) -> None:
    notebook = json.loads((NOTEBOOKS / f"{program}.ipynb").read_text())
    assert "widgets" not in notebook["metadata"]
