"""Any segment of any program, run in a fresh process from its start state alone, gives the same.

Each program is run once without a cut, with the state root of every event traced. Then it is run
again in segments that end at random events, each in a process of its own that has only the state
its predecessor left; and each of those segments once more in an unlike environment. The former are
forks of a process that loaded the program once, the latter load it themselves.
"""

import importlib.util
import json
import os
import random
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from gensyn_lightning.errors import ArtifactError, GensynError, StateError
from gensyn_lightning.network.home import Home
from gensyn_lightning.network.plan import runner_environment
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import ZERO, Digest
from gensyn_lightning.training import outputs, state
from gensyn_lightning.training.capture import capture
from gensyn_lightning.training.request import SegmentRequest, SegmentResult

pytestmark = pytest.mark.filterwarnings("ignore")

HERE = Path(__file__).parent
FLAVOURS = ("lightning.pytorch", "pytorch_lightning")
FOREVER = 1 << 20
CUTS = 2
REPLAYED = (
    "end_root",
    "tape_root",
    "witness_root",
    "outputs_root",
    "model",
    "end_event",
    "batches",
)
ENDED = ("end_root", "model", "outcome", "raised", "raised_text", "end_event")


def load_programs() -> ModuleType:
    """Import the programs as a module of their own, so that they travel by value."""
    name = "replay_programs"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


programs = load_programs()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    folder = tmp_path_factory.mktemp("zygote")
    path = folder / "socket"
    command = [sys.executable, "-P", "-m", "gensyn_lightning.node.zygote", "--socket", str(path)]
    process = subprocess.Popen(
        [*command, "--die-with", str(os.getpid())], env=runner_environment(Home(folder))
    )
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
    yield Runner(path)
    process.kill()
    process.wait()


@dataclass
class Piece:
    """One segment as it was run."""

    result: SegmentResult
    scratch: Path

    def roots(self) -> dict[int, str]:
        return {event: root for event, root, _ in self._trace()}

    def outputs(self) -> outputs.Outputs:
        return outputs.parse((self.scratch / "outputs.json").read_bytes())

    def _trace(self) -> list[Any]:
        return list(json.loads((self.scratch / "trace.json").read_text())["events"])


@dataclass
class Program:
    """A captured program, to be run in pieces."""

    runner: Runner
    folder: Path
    manifest: Digest
    count: int = 0
    artifacts: Path = field(init=False)

    def __post_init__(self) -> None:
        self.artifacts = self.folder / "artifacts"

    def run(self, before: Piece | None, target: int, again: bool = False, **options: Any) -> Piece:
        """Run from where `before` ended to the first cut at or after `target`.

        All that are run `again` are run in one folder, as forks of one process.
        """
        self.count += 1
        kept = self.folder / f"piece-{self.count}"
        scratch = self.folder / "again" if again else kept
        scratch.mkdir()
        given = {
            "first_event": before.result.end_event if before else 0,
            "start_root": before.result.end_root if before else ZERO,
            "trace": True,
            **options,
        }
        request = SegmentRequest(
            manifest=self.manifest,
            artifacts=self.artifacts,
            state=before.scratch / "state" if before else None,
            target_event=target,
            **given,
        )
        result = replace(self.runner, again=again).run(request, scratch, None, 300)
        piece = Piece(result, scratch.rename(kept))
        for file in (kept / "files").glob("*"):
            (self.artifacts / file.name).write_bytes(file.read_bytes())
        return piece


def make(runner: Runner, name: str, flavour: str, folder: Path) -> Program:
    home = folder / "home"
    home.mkdir()
    os.chdir(home)
    (home / "runs").mkdir()
    trainer, args, kwargs = programs.build(name, flavour, home / "runs")
    states = importlib.import_module(f"{flavour}.trainer.states")
    trainer.state.fn = states.TrainerFn.FITTING
    trainer.state.status = states.TrainerStatus.RUNNING
    trainer.training = True
    trainer.strategy._lightning_module = args[0]
    captured = capture(trainer, trainer._fit_impl, args, kwargs, threads=1)
    captured.store(folder / "artifacts")
    return Program(runner, folder, captured.manifest_digest)


def cut_at(program: Program, whole: Piece, targets: list[int]) -> None:
    """Run the program in segments that end at `targets`, each twice, and compare everything."""
    expected = whole.roots()
    pieces: list[Piece] = []
    before: Piece | None = None
    for target in [*targets, FOREVER]:
        if before is not None and target <= before.result.end_event:
            continue
        piece = program.run(before, target, again=True, tape=whole.scratch / "tape.json")
        pieces.append(piece)
        got = piece.roots()
        wrong = [event for event, root in got.items() if expected[event] != root]
        assert not wrong, f"events {wrong} of {min(got)} to {max(got)} have other roots"
        elsewhere = program.run(
            before,
            target,
            tape=piece.scratch / "tape.json",
            trace=False,
            perturb=len(pieces),
            target_file=told_later(program, target) if len(pieces) % 2 else None,
        )
        for name in REPLAYED:
            assert getattr(elsewhere.result, name) == getattr(piece.result, name), name
        if piece.result.outcome is not Outcome.CONTINUES:
            break
        before = piece
    for name in ENDED:
        assert getattr(pieces[-1].result, name) == getattr(whole.result, name), name
    assert sum(each.result.batches for each in pieces) == whole.result.batches
    written = [each.outputs() for each in pieces]
    assert [call for each in written for call in each.calls] == list(whole.outputs().calls)
    assert left(written) == left([whole.outputs()])


def told_later(program: Program, target: int) -> Path:
    """Return a file that will say where to stop, once the runner has been started."""
    file = program.folder / f"target-{program.count}"

    def tell() -> None:
        partial = file.with_suffix(".partial")
        partial.write_text(str(target))
        partial.rename(file)

    threading.Timer(0.2, tell).start()
    return file


def left(written: list[outputs.Outputs]) -> dict[tuple[str, str], Any]:
    """Return the files that several segments leave behind."""
    files: dict[tuple[str, str], Any] = {}
    for each in written:
        for gone in each.removed:
            files.pop((gone.folder, gone.path), None)
        files.update({(file.folder, file.path): file for file in each.files})
    return files


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("GENSYN_TEST_SEED") or secrets.randbits(32))
    print(f"GENSYN_TEST_SEED={chosen}")
    return chosen


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_a_program_can_be_cut_anywhere(
    runner: Runner, name: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(f"{seed} {name}")
    program = make(runner, name, draw.choice(FLAVOURS), tmp_path)
    whole = program.run(None, FOREVER)
    assert whole.result.outcome is Outcome.FINISHED, whole.result.raised_text
    last = whole.result.end_event
    cut_at(program, whole, sorted(draw.sample(range(1, last), min(CUTS, last - 1))))


@pytest.mark.soak
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_a_program_can_be_cut_everywhere(
    runner: Runner, name: str, flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = make(runner, name, flavour, tmp_path)
    whole = program.run(None, FOREVER)
    cut_at(program, whole, list(range(1, whole.result.end_event)))


@pytest.fixture
def made(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Program:
    monkeypatch.chdir(tmp_path)
    return make(runner, request.param, FLAVOURS[0], tmp_path)


def odd(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("made", [name], indirect=True, ids=[name])


@odd("raises")
def test_an_exception_is_an_end_like_any_other(made: Program) -> None:
    whole = made.run(None, FOREVER)
    assert whole.result.outcome is Outcome.RAISED
    assert whole.result.raised_text.startswith("builtins:LookupError: nine, and random 0.")
    cut_at(made, whole, [3, 8])


@odd("writes files")
def test_files_and_lines_go_on_from_segment_to_segment(made: Program) -> None:
    whole = made.run(None, FOREVER)
    cut_at(made, whole, [2, 9, 17])
    written = whole.outputs()
    paths = {file.path for file in written.files}
    assert {"log.txt"} < paths
    said = [line.text for line in written.lines if line.stream == "stdout"]
    assert said == [f"batch {count}" for count in range(1, whole.result.batches + 1)]


@odd("keeps a lock")
def test_what_cannot_be_expressed_is_named(made: Program) -> None:
    made.run(None, 6)
    with pytest.raises(StateError, match=r"callbacks/0/guard holds a _thread\.lock"):
        made.run(None, 14)


@odd("asks often")
def test_a_stop_is_on_the_tape_and_replayed(made: Program) -> None:
    whole = made.run(None, FOREVER)
    tape = json.loads((whole.scratch / "tape.json").read_text())
    tape["events"] = [[event, said] for event, said in tape["events"] if event < 12]
    tape["events"].append([12, [["stop", ""]]])
    path = made.folder / "stopped.json"
    path.write_bytes(json_bytes(tape))
    stopped = made.run(None, FOREVER, tape=path)
    assert stopped.result.outcome is Outcome.RAISED
    assert stopped.result.raised_text.startswith("builtins:KeyboardInterrupt")
    assert stopped.result.end_event == 13
    assert (stopped.scratch / "tape.json").read_bytes() == path.read_bytes()
    cut_at(made, stopped, [5])


@odd("asks often")
def test_a_tape_that_ends_early_ends_in_a_difference(made: Program) -> None:
    whole = made.run(None, 10)
    tape = json.loads((whole.scratch / "tape.json").read_text())
    tape["events"][-1][1] = tape["events"][-1][1][:-1]
    path = made.folder / "short.json"
    path.write_bytes(json_bytes(tape))
    replayed = made.run(None, 10, tape=path)
    assert replayed.result.tape_root != whole.result.tape_root
    assert replayed.result.end_root != whole.result.end_root
    assert replayed.result.start_root == whole.result.start_root


@pytest.mark.parametrize("made", ["accumulation", "callbacks and logger"], indirect=True)
def test_a_program_is_loaded_once_for_many_segments(made: Program) -> None:
    def nurseries() -> set[int]:
        return {
            each.pid
            for parent in psutil.Process().children()
            if parent.status() != psutil.STATUS_ZOMBIE
            and "gensyn_lightning.node.zygote" in parent.cmdline()
            for each in parent.children()
        }

    others = nurseries()
    first = made.run(None, 4, again=True)
    loaded = nurseries() - others
    assert len(loaded) == 1
    made.run(first, 8, again=True)
    assert loaded <= nurseries()
    assert len(nurseries() - others) == 1


@odd("accumulation")
def test_a_state_that_is_another_is_refused(made: Program) -> None:
    first = made.run(None, 4)
    structure = first.scratch / "state/structure.json"
    data = structure.read_bytes()
    with pytest.raises(ArtifactError, match="root"):
        made.run(first, 8, start_root=ZERO[:-1] + b"\1")
    with pytest.raises(ArtifactError, match="another event"):
        made.run(first, 8, first_event=3)
    structure.write_bytes(data.replace(b"model/counter", b"model/Counter", 1))
    with pytest.raises(GensynError):
        made.run(first, 8)


@odd("accumulation")
def test_a_state_is_whole(made: Program) -> None:
    """Change any one leaf of a state and what follows from it is refused or differs."""
    first = made.run(None, 5)
    names = {leaf.path.split("/")[0] for leaf in state.load(first.scratch / "state").leaves}
    assert names >= {
        "attributes",
        "callbacks",
        "clock",
        "folders",
        "generators",
        "gradients",
        "loaders",
        "loops",
        "metrics",
        "model",
        "optimizers",
        "precision",
        "progress",
        "schedulers",
        "trainer",
    }
