"""A process that dies is started again, within bounds."""

import signal
import sys
import time
from pathlib import Path

import pytest

from gensyn_lightning.errors import SandboxError
from gensyn_lightning.network.child import LEFT, RESTARTS_MAX, Child, Plan

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def plan(folder: Path, code: str, *once: str) -> Plan:
    command = (sys.executable, "-c", code)
    return Plan("it", command, {"PATH": "/usr/bin"}, folder / "logs/it.log", once)


def tend_until_new(child: Child) -> None:
    deadline = time.monotonic() + 20
    while not child.tend():
        assert time.monotonic() < deadline


def test_a_killed_process_comes_back(tmp_path: Path) -> None:
    child = Child(plan(tmp_path, SLEEP))
    child.start()
    before = child.pid
    child.stop(signal.SIGKILL)
    tend_until_new(child)
    assert child.pid not in {0, before}
    child.stop()
    assert child.process is not None
    assert child.process.wait(10) == -signal.SIGTERM


def test_what_is_planted_once_is_not_planted_again(tmp_path: Path) -> None:
    child = Child(plan(tmp_path, "import sys; print(sys.argv[1:])", "--fault", "crash@3"))
    child.start()
    assert child.process is not None
    child.process.wait()
    tend_until_new(child)
    assert child.process is not None
    child.process.wait()
    lines = (tmp_path / "logs/it.log").read_text().splitlines()
    assert lines == ["['--fault', 'crash@3']", "[]"]


def test_a_process_that_leaves_as_it_was_asked_to_stays_down(tmp_path: Path) -> None:
    child = Child(plan(tmp_path, f"raise SystemExit({LEFT})"))
    child.start()
    assert child.process is not None
    child.process.wait()
    assert child.tend(), "its process id has changed"
    assert child.left
    assert not child.tend()
    assert child.pid == 0


def test_a_process_that_keeps_dying_breaks_the_network(tmp_path: Path) -> None:
    child = Child(plan(tmp_path, "raise SystemExit('no disk')"))
    child.start()
    child.starts.extend([child.started_s] * RESTARTS_MAX)
    assert child.process is not None
    child.process.wait()
    with pytest.raises(SandboxError, match="no disk"):
        child.tend()


def test_a_refusal_to_start_is_not_repeated(tmp_path: Path) -> None:
    child = Child(plan(tmp_path, "print('no sandbox here'); raise SystemExit(78)"))
    child.start()
    assert child.process is not None
    child.process.wait()
    with pytest.raises(SandboxError, match="no sandbox here"):
        child.tend()


def test_the_environment_is_the_planned_one_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "canary")
    child = Child(plan(tmp_path, "import os; print(sorted(os.environ))"))
    child.start()
    assert child.process is not None
    child.process.wait()
    assert "SECRET" not in (tmp_path / "logs/it.log").read_text()


def test_logs_are_for_their_owner_only(tmp_path: Path) -> None:
    child = Child(plan(tmp_path, "pass"))
    child.start()
    assert child.process is not None
    child.process.wait()
    assert (tmp_path / "logs/it.log").stat().st_mode & 0o777 == 0o600
