"""Runs one segment of a program: from a state to the next place to stop, with everything to sign.

Everyone runs a segment by this code: who trains it, who checks it, who tries it before it is sent.
It runs in a process of its own, once, and changes that process for good.
"""

from __future__ import annotations

import importlib
import math
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from gensyn_lightning.errors import ArtifactError, GensynError, SandboxError
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import ZERO, Digest, digest_of
from gensyn_lightning.training import (
    asked,
    named,
    numerics,
    outputs,
    raised,
    randomness,
    snapshot,
    state,
)
from gensyn_lightning.training.checkpointing import checkpoint_io
from gensyn_lightning.training.classes import Classes
from gensyn_lightning.training.files import State
from gensyn_lightning.training.loaded import Loaded
from gensyn_lightning.training.request import SegmentRequest, SegmentResult
from gensyn_lightning.training.run import Cut, Run, Watcher
from gensyn_lightning.training.tape import BYTES_MAX as TAPE_BYTES_MAX
from gensyn_lightning.training.witness import Witness

REPORT_EVERY_S = 0.5
POLL_S = 0.002
MESSAGE_CHARS_MAX = 1000
STOP = "stop"
KEPT = "kept"

Report = Callable[[dict[str, Any]], None]


def run_segment(request: SegmentRequest, scratch: Path, report: Report) -> SegmentResult:
    """Run the segment and write `state/`, `tape.json`, `outputs.json`, `files/`, maybe `kept/`.

    Raises `ArtifactError` for missing or foreign bytes, `StateError` for what cannot be
    expressed, `LimitExceeded`; an exception of the program is an outcome, not an error.
    """
    began = time.perf_counter()
    loaded = Loaded(request.manifest, request.artifacts, scratch, request.perturb)
    return run_loaded(loaded, request, report, began)


def run_loaded(
    loaded: Loaded, request: SegmentRequest, report: Report, began: float | None = None
) -> SegmentResult:
    """Run a segment of a program that is loaded, as `run_segment` does.

    `began` is when this started by `time.perf_counter`, if the loading counts.
    """
    began = time.perf_counter() if began is None else began
    loaded.start()
    segment = _Segment(request, loaded, report, began)
    segment.prepare()
    outcome = segment.run()
    return segment.conclude(outcome)


class _Segment(Watcher):
    """One segment under way."""

    def __init__(
        self, request: SegmentRequest, loaded: Loaded, report: Report, began: float
    ) -> None:
        self._request, self._report, self._began = request, report, began
        self._manifest, self._program = loaded.manifest, loaded.program
        self._scratch, self._folders = loaded.scratch, loaded.folders
        self._tape, self._calls, self._console = loaded.tape, loaded.calls, loaded.console
        self._workspace, self._asked = loaded.workspace, loaded.asked
        self._classes = Classes(loaded.program)
        self._witness = Witness(request.start_root)
        self._is_watching = False
        self._hash_s = 0.0
        self._reported = 0.0
        self._trace: list[list[Any]] = []
        self._target = None if request.target_file else request.target_event
        self._has_kept = False
        self._stopping = False
        self._stopped = False
        self._batches_before = 0
        self._start_root: Digest = ZERO
        self._end: State | None = None
        self._raised: tuple[str, str] | None = None
        self._error: BaseException | None = None

    def prepare(self) -> None:
        """Read the start state and get ready to run from it."""
        if self._request.tape is not None:
            if self._request.tape_follows:
                _wait_for(self._request.tape)
            self._tape.replay(_bounded(self._request.tape))
        signal.signal(signal.SIGINT, self._stop)
        value = self._start()
        muted = value is not None
        self._calls.muted = self._console.muted = muted
        trainer = self._program.trainer
        trainer.strategy.checkpoint_io = checkpoint_io(
            self._manifest.flavour, self._folders, self._program.resume, self._classes.resolve
        )
        self._run = Run(trainer, self, self._ends_at, value, self._classes.find)
        self._workspace.begin()
        for parameter, gradient in self._program.gradients:
            parameter.grad = gradient
        randomness.write(self._program.generators)

    def run(self) -> Outcome:
        """Call the program; return how that ended."""
        try:
            self._run.go(self._fit)
        except GensynError:
            raise
        except MemoryError:
            raise SandboxError("the program ran out of memory") from None
        self._tape.stop()
        if self._run.was_cut:
            return Outcome.CONTINUES
        self._finish()
        return Outcome.FINISHED if self._raised is None else Outcome.RAISED

    def _fit(self) -> None:
        """Call the fit as `Trainer.fit` does; what it raises ends it like a cut.

        No hook for exceptions runs here: where the fit was called, it is raised again, and there
        Lightning calls those hooks, writes their checkpoints and closes the loggers.
        """
        trainer = self._program.trainer
        function = getattr(trainer, self._program.function)
        call = importlib.import_module(f"{self._manifest.flavour}.trainer.call")

        def fit(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except (Cut, GensynError, MemoryError, call._TunerExitException):
                raise
            except BaseException as error:
                self._raised = self._describe(error)
                self._error = error
                traceback.print_exc()
                raise Cut from error

        call._call_and_handle_interrupt(trainer, fit, *self._program.args, **self._program.kwargs)

    def conclude(self, outcome: Outcome) -> SegmentResult:
        """Write everything down and return the result."""
        assert self._end is not None
        events = self._run.events
        wrote = outputs.Outputs(
            *self._workspace.outputs(), tuple(self._calls.made), tuple(self._console.lines)
        )
        self._write("tape.json", self._tape.encoded())
        self._write("outputs.json", outputs.encode(wrote))
        if self._request.trace:
            self._write("trace.json", json_bytes({"events": self._trace}))
        if self._asked.names:
            self._write(asked.FILE_NAME, json_bytes(sorted(self._asked.names)))
        with _Timed(self):
            witness_root = self._witness.root()
        kind, message = self._raised or ("", "")
        return SegmentResult(
            outcome=outcome,
            raised=_raised_digest(kind, message, events) if kind else ZERO,
            raised_text=f"{kind}: {message}" if kind else "",
            end_event=events + (outcome is Outcome.RAISED),
            batches=self._run.batches - self._batches_before,
            start_root=self._start_root,
            end_root=self._end.root,
            tape_root=self._tape.root(),
            witness_root=witness_root,
            outputs_root=outputs.root(wrote),
            model=state.model_digest(self._end),
            numerics=numerics.version_of(self._manifest.arithmetic),
            seconds=time.perf_counter() - self._began,
            hash_seconds=self._hash_s,
            epoch_batches=_whole(self._program.trainer.fit_loop.max_batches),
        )

    def state_returns(self, value: Mapping[str, Any]) -> None:
        self._workspace.restore(value["folders"])
        self._tape.offset_ns = value["clock"]["offset_ns"]

    def training_begins(self) -> None:
        self._calls.muted = self._console.muted = False
        self._batches_before = self._run.batches
        if self._request.state is None or self._request.trace:
            self._start_root = self._encoded().root
            self._trace.append([self._run.events, self._start_root.hex(), True])
        self._tape.start(self._tape.offset_ns)
        self._at(self._run.events)

    def batch_begins(self, batch: Any) -> None:
        self._stop_here()
        with _Timed(self):
            self._witness.batch(batch)

    def step_output(self, output: Any) -> None:
        self._witness.output(output)

    def event_done(self, kind: str) -> None:
        trainer = self._program.trainer
        with _Timed(self):
            if kind == "epoch" or not self._is_watching:  # walking over all modules takes a while
                self._witness.watch(list(trainer.strategy.lightning_module.parameters()))
                self._is_watching = True
            self._witness.close(
                self._run.events - 1, kind, trainer._logger_connector._logged_metrics
            )
        self._progress(kind)

    def settled(self, can_cut: bool) -> None:
        self._workspace.names_only.must_be_untouched()
        if self._request.trace:
            self._trace.append([self._run.events, self._encoded().root.hex(), can_cut])
        self._at(self._run.events)

    def cut(self) -> None:
        self._tape.stop()
        self._keep(self._encoded())

    def _ends_at(self, event: int) -> bool:
        """Whether the segment ends at the cut after `event`; asked wherever it could."""
        if self._target is None:
            assert self._request.target_file is not None
            waited_s = _wait_for(self._request.target_file)
            self._began += waited_s  # waiting is no work
            self._tape.skip(waited_s)
            self._target = int(self._request.target_file.read_text())
        if event < self._target:
            return False
        if self._request.beyond and not self._has_kept:
            self._has_kept = True
            self._save(self._encoded(), f"{KEPT}/{event}")
            return False
        return True

    def _start(self) -> Mapping[str, Any] | None:
        """Return the value of the start state, or None before the first event."""
        if self._request.state is None:
            return None
        expected = None if self._request.start_root == ZERO else self._request.start_root
        found = state.load(self._request.state, expected_root=expected)
        self._start_root = found.root
        value = state.decode(found, folders=self._folders, resolve=self._classes.resolve)
        if value["progress"]["events"] != self._request.first_event:
            raise ArtifactError("the start state stands at another event than the task")
        return dict(value)

    def _encoded(self) -> State:
        """Return the fit as it stands, with its files and its time, in canonical form."""
        with _Timed(self):
            value = snapshot.take(self._program.trainer)
            value["folders"] = self._workspace.written()
            value["clock"] = {"offset_ns": self._tape.offset_ns}
            return state.encode(value, folders=self._folders)

    def _finish(self) -> None:
        """Take the state of a fit that is over, as any machine would have it."""
        with _Timed(self):
            self._workspace.written()
            value = snapshot.take(self._program.trainer, final=True)
            for path in snapshot.stays_out(self._program.trainer):
                self._console.add("warning", f"{path} was made during training and stays out")
            if self._raised is not None and self._error is not None:
                value["raised"] = raised.describe(self._raised, self._error)
            encoded = state.encode(value, folders=self._folders, on_unknown=_left_out)
        self._keep(encoded)

    def _keep(self, encoded: State) -> None:
        self._save(encoded, "state")
        self._end = encoded

    def _save(self, encoded: State, name: str) -> None:
        with _Timed(self):
            folder = self._scratch / name
            folder.mkdir(parents=True)
            state.save(encoded, folder)

    def _at(self, event: int) -> None:
        self._tape.at(event)
        self._calls.event = self._console.event = event

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Stop before the next batch, where a replay can stop as well."""
        self._stopping = True

    def _stop_here(self) -> None:
        if self._tape.recorded_stop(STOP) or (self._stopping and self._request.tape is None):
            self._stopping = False
            self._tape.note(STOP, "")
            self._stopped = True
            raise KeyboardInterrupt

    def _describe(self, error: BaseException) -> tuple[str, str]:
        if self._stopped:
            return "builtins:KeyboardInterrupt", ""
        message = str(error)
        if "Original Traceback" in message:  # from a loader's worker: only the last line is its own
            message = message.strip().rsplit("\n", 1)[-1]
        message = message.replace(str(self._scratch), "")
        return named.name_of(type(error)), message[:MESSAGE_CHARS_MAX]

    def _progress(self, kind: str) -> None:
        now = time.perf_counter()
        if now - self._reported < REPORT_EVERY_S:
            return
        self._reported = now
        trainer = self._program.trainer
        connector = trainer._logger_connector
        shown = {**connector._logged_metrics, **connector._progress_bar_metrics}
        self._report(
            {
                "event": self._run.events,
                "batch": self._run.batches,
                "step": trainer.global_step,
                "epoch": trainer.current_epoch,
                "kind": kind,
                "metrics": {str(name): float(each) for name, each in shown.items()},
                "seconds": now - self._began,
                "hash_seconds": self._hash_s,
            }
        )

    def _write(self, name: str, data: bytes) -> None:
        (self._scratch / name).write_bytes(data)

    def spend(self, seconds: float) -> None:
        """Count time that went into digests."""
        self._hash_s += seconds


class _Timed:
    """Counts the time of a block as time for digests."""

    def __init__(self, segment: _Segment) -> None:
        self._segment = segment

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._segment.spend(time.perf_counter() - self._began)


def _whole(batches: float) -> int:
    return int(batches) if math.isfinite(batches) else 0


def _left_out(path: str, value: object) -> object:
    return state.DROP


def _raised_digest(kind: str, message: str, event: int) -> Digest:
    return digest_of(json_bytes([kind, message, event]))


def _wait_for(path: Path) -> float:
    """Return once there is a file, and how many seconds that took; who asked can always hang up."""
    began = time.perf_counter()
    while not path.exists():
        time.sleep(POLL_S)
    return time.perf_counter() - began


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(TAPE_BYTES_MAX + 1)


__all__ = ["SegmentRequest", "SegmentResult", "run_loaded", "run_segment"]
