"""Tab offers names from this home, at once and without complaints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gensyn_lightning.cli.completion import job_names, node_names, setting_names
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.protocol.job import JobId, display_id

JOB = JobId(digest_of(b"a job"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("GENSYN_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home").make()


def test_jobs_of_this_home_are_offered(home: Home) -> None:
    jobs.remember(home, JOB)
    assert job_names("") == job_names("job-") == [display_id(JOB)]
    assert job_names("x") == []


def test_nodes_of_this_home_are_offered(home: Home) -> None:
    (home.data("solver-1") / "memory").mkdir(parents=True)
    home.data("chain").mkdir()
    assert node_names("s") == ["solver-1"]


def test_settings_are_offered() -> None:
    assert setting_names("ver") == ["verifiers"]


def test_what_is_damaged_offers_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.remember(home, JOB)
    next((home.path / "jobs").iterdir()).write_text("{")
    assert job_names("") == []
    monkeypatch.setenv("GENSYN_HOME", str(home.path / "nowhere"))
    assert (job_names(""), node_names("")) == ([], [])


def test_a_shell_is_answered_without_loading_anything_heavy(home: Home) -> None:
    jobs.remember(home, JOB)
    code = (
        "import sys\nfrom gensyn_lightning.cli.__main__ import main\n"
        "try: main()\nexcept SystemExit: print(*{'torch', 'web3'} & sys.modules.keys())"
    )
    words = {"COMP_WORDS": "gensyn job show job-", "COMP_CWORD": "3"}
    environ = os.environ | {"_GENSYN_COMPLETE": "complete_bash", **words}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [display_id(JOB)]
