"""A solver goes from segment to segment in one folder, and keeps no more than it may."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gensyn_lightning.errors import LeaseLost, SandboxError
from gensyn_lightning.node.cache import Cache
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.segments import Segments
from gensyn_lightning.node.solver import Solver
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.protocol.parameters import EMBEDDED
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.training import tree
from gensyn_lightning.training.manifest import (
    SCHEMA,
    Artifact,
    Flags,
    Folder,
    Manifest,
    Package,
    manifest_bytes,
)
from gensyn_lightning.wire.nodes import Work, WorkKind

MB = 1 << 20
CODE = b"a program"
MANIFEST = manifest_bytes(
    Manifest(
        schema=SCHEMA,
        flavour="pytorch_lightning",
        function="_fit_impl",
        interpreter="3.11.7",
        packages=(Package("torch", "2.13.0+cpu"),),
        modules_by_value=(),
        program=Artifact(digest_of(CODE), len(CODE)),
        arrays=(),
        folders=(Folder("cwd", "", "", False, ()),),
        loggers=(),
        threads=1,
        arithmetic="repops-1",
        flags=Flags(False, False, "float32", "highest"),
        environment=(),
    )
)
JOB = digest_of(MANIFEST)
WORK = Work(
    JOB,
    WorkKind.SOLVE,
    JOB,
    SimpleNamespace(program=JOB, parameters=EMBEDDED),  # type: ignore[arg-type]
    Task(JOB, 0, 0, 16, JOB),
    7,
    0,
)


class Trains:
    """A runner: each segment leaves a state of 1 MB that names the checkpoint it wrote."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.found: list[set[str]] = []
        self.dies_at = -1

    def run(self, request: Any, scratch: Path, hear: Any, limit_s: float, stop: Any) -> Any:
        self.asked.append(request)
        self.found.append({each.name for each in os.scandir(request.artifacts)})
        while request.target_file and not request.target_file.exists():
            if stop.is_set():
                raise LeaseLost("stopped")
            time.sleep(0.001)
        if request.first_event == self.dies_at and request.target_file:
            raise SandboxError("the runner died")
        told = request.target_file.read_text() if request.target_file else request.target_event
        target = int(told)
        checkpoint = os.urandom(MB)
        name = digest_of(checkpoint).hex()
        for folder in ("state", "files"):
            (scratch / folder).mkdir()
        (scratch / "files" / name).write_bytes(checkpoint)
        entries = {"$dict": [["last.ckpt", [name, 0, ""]]]}
        folders = {"$dict": [["folders", {"$dict": [["root", entries]]}]]}
        (scratch / "state/structure.json").write_bytes(tree.dumps({"tree": folders}))
        (scratch / "state/tensors.safetensors").write_bytes(os.urandom(MB))
        (scratch / "tape.json").write_text(f"tape {target}")
        (scratch / "outputs.json").write_text(f"outputs {target}")
        root = Digest(target.to_bytes(32, "big"))
        return SimpleNamespace(
            outcome=Outcome.CONTINUES, end_event=target, end_root=root, seconds=0.1
        )


class Store:
    """A client as far as bytes go."""

    def upload(self, files: dict[Digest, Path]) -> int:
        return sum(each.stat().st_size for each in files.values())


class Alone(Solver):
    """A solver that is given the next segment with every answer, until it is refused."""

    refused: Exception | None = None
    other = False

    def commit(self, held: Held, result: Any, kept: Any) -> Any:
        if self.refused:
            raise self.refused
        task = replace(
            held.work.task,
            index=held.work.task.index + 1,
            first_event=result.end_event,
            target_event=result.end_event + 16,
            start_root=digest_of(b"other") if self.other else result.end_root,
        )
        return SimpleNamespace(next=replace(held.work, task=task, start=kept.state), commands=())


@pytest.fixture
def trains() -> Trains:
    return Trains()


@pytest.fixture
def solver(tmp_path: Path, trains: Trains) -> Iterator[Alone]:
    def fetch(digest: Digest, path: Path) -> None:
        path.write_bytes({JOB: MANIFEST, digest_of(CODE): CODE}[digest])

    cache = Cache(tmp_path / "cache", fetch, bytes_max=8 * MB)
    segments = Segments(tmp_path / "solve", cache, trains)  # type: ignore[arg-type]
    made = Alone(Store(), segments, None, lambda text: None)  # type: ignore[arg-type]
    yield made
    made.stop()
    assert os.listdir(tmp_path / "solve") == []


def size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def test_segments_follow_one_another_within_bounds(
    solver: Alone, trains: Trains, tmp_path: Path
) -> None:
    work = WORK
    for index in range(12):
        work = solver.solve(Held(work)).next
        assert work.task.first_event == 16 * (index + 1)
        assert size(tmp_path / "cache") <= 9 * MB
        assert size(tmp_path / "solve") <= 6 * MB
    solver.stop()
    for request, found in zip(trains.asked[1:], trains.found[1:], strict=True):
        assert request.target_file is not None
        assert len(found) == 3  # the program, its manifest, one checkpoint
    assert [each.first_event for each in trains.asked][:12] == [16 * each for each in range(12)]


def test_what_was_begun_for_another_state_is_run_anew(solver: Alone, trains: Trains) -> None:
    solver.other = True
    work = solver.solve(Held(WORK)).next
    solver.other = False
    solver.solve(Held(work))
    solver.stop()
    firsts = [(each.first_event, bool(each.target_file)) for each in trains.asked]
    assert firsts == [(0, False), (16, True), (16, False), (32, True)]


def test_a_refused_commitment_ends_what_was_begun(solver: Alone) -> None:
    solver.refused = LeaseLost("too late")
    with pytest.raises(LeaseLost):
        solver.solve(Held(WORK))


def test_a_runner_that_dies_ahead_is_run_under_the_lease(solver: Alone, trains: Trains) -> None:
    trains.dies_at = 16
    work = solver.solve(Held(WORK)).next
    assert solver.solve(Held(work)).next.task.first_event == 32


def test_one_that_is_asked_to_leave_begins_nothing(solver: Alone, trains: Trains) -> None:
    solver.goes_on = lambda: False
    solver.solve(Held(WORK))
    assert len(trains.asked) == 1
