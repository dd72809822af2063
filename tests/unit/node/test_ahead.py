"""A segment begun on trust runs on only under a lease for exactly that segment."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.errors import LeaseLost, SandboxError
from gensyn_lightning.node.ahead import Ahead
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.segments import ARTIFACTS
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.wire.nodes import Work, WorkKind

JOB, ROOT, OTHER = (Digest(bytes([each]) * 32) for each in (1, 2, 3))
TASK = Task(JOB, 4, 80, 81, ROOT)
WORK = Work(JOB, WorkKind.SOLVE, JOB, None, TASK, 7, 0)  # type: ignore[arg-type]
WAIT_S = 10.0


class Runs:
    """Segments as far as an `Ahead` sees them: a run that waits to be told its target."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails, self.held = fails, list[Held]()

    def lay_out(self, work: Work, folder: Path) -> Any:
        return folder

    def run(self, held: Held, inputs: Any, scratch: Path, *, target_file: Path) -> Any:
        self.held.append(held)
        if self.fails is not None:
            raise self.fails
        held.advance({"event": held.work.task.first_event + 1})
        until(lambda: held.stop.is_set() or target_file.exists())
        if held.stop.is_set():
            raise LeaseLost("stopped")
        target = int(target_file.read_text())
        held.advance({"event": target})
        return target


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def lease(**changes: Any) -> Work:
    return replace(WORK, task=replace(TASK, **{"target_event": 120, **changes}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (ARTIFACTS, "run", "start"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def begun(folder: Path, runs: Runs) -> Ahead:
    return Ahead(runs, folder, WORK)  # type: ignore[arg-type]


def test_it_stops_where_its_lease_says(folder: Path) -> None:
    ahead, held = begun(folder, Runs()), Held(lease())
    assert ahead.is_for(held.work)
    assert ahead.finish(held) == 120
    assert held.event == 120
    assert held.progress == {"event": 120}


def test_what_the_segment_before_left_is_gone_but_for_artifacts(folder: Path) -> None:
    ahead = begun(folder, Runs())
    assert [each.name for each in folder.iterdir()] == [ARTIFACTS]
    ahead.give_up()


@pytest.mark.parametrize(
    "other",
    [
        lease(first_event=81),
        lease(start_root=OTHER),
        replace(lease(), job_id=OTHER),
        replace(lease(), kind=WorkKind.ARBITRATE),
    ],
)
def test_another_segment_is_not_what_was_begun(folder: Path, other: Work) -> None:
    ahead = begun(folder, Runs())
    assert not ahead.is_for(other)
    ahead.give_up()


def test_giving_up_stops_the_run_and_leaves_the_place(folder: Path) -> None:
    runs, left = Runs(), threading.Event()
    ahead = begun(folder, runs)
    ahead.place.callback(left.set)
    ahead.give_up()
    assert runs.held[0].stop.is_set()
    assert left.is_set()


def test_a_lease_that_was_lost_before_stops_the_run(folder: Path) -> None:
    ahead, held = begun(folder, Runs()), Held(lease(target_event=10**6))
    held.stop.set()
    with pytest.raises(LeaseLost):
        ahead.finish(held)


def test_a_lease_that_is_lost_later_stops_the_run(folder: Path) -> None:
    runs, held = Runs(), Held(lease())
    ahead = begun(folder, runs)
    until(lambda: bool(runs.held))
    runs.held[0].pass_on_to(held)
    held.end()
    with pytest.raises(LeaseLost):
        ahead.finish(held)


def test_what_failed_ahead_fails_under_the_lease(folder: Path) -> None:
    ahead = begun(folder, Runs(SandboxError("the runner died")))
    with pytest.raises(SandboxError, match="died"):
        ahead.finish(Held(lease()))
