"""Runs a program's first batch twice, in environments as unlike as possible, before money moves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.errors import NotReplayable
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.protocol.digest import ZERO, Digest
from gensyn_lightning.training import outputs, state
from gensyn_lightning.training.leaf import Leaf
from gensyn_lightning.training.request import SegmentRequest, SegmentResult
from gensyn_lightning.training.returning import Result

TAPE_NAME = "tape.json"
TIMEOUT_S = 600.0
ROOTS = {
    "end_root": "the state after it",
    "tape_root": "what it read from outside",
    "witness_root": "what it computed on the way",
    "outputs_root": "what it wrote",
    "raised": "the exception it raised",
}


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the first batch gave; `scratch` holds what the run wrote."""

    result: SegmentResult
    scratch: Path

    def as_result(self) -> Result:
        """Return what the first batch gave as if it had been the whole fit."""
        written = outputs.parse((self.scratch / "outputs.json").read_bytes())
        end = state.load(self.scratch / "state", expected_root=self.result.end_root)
        return Result(self.result.outcome, end, [written], self.scratch / "files")


@dataclass(frozen=True, slots=True)
class Trial:
    """A program laid out to be tried: `scratch` is an existing folder for what the runs write."""

    runner: Runner
    manifest: Digest
    artifacts: Path
    scratch: Path

    def run(
        self,
        environment: int = 0,
        tape: Path | None = None,
        stop: threading.Event | None = None,
    ) -> Preflight:
        """Run the first batch once, in one of several unlike environments.

        With a `tape` this waits until it is there, or raises `LeaseLost` once `stop` is set.
        """
        folder = self.scratch / f"preflight-{environment}"
        folder.mkdir(mode=0o700)
        request = SegmentRequest(
            manifest=self.manifest,
            artifacts=self.artifacts,
            state=None,
            first_event=0,
            target_event=1,
            start_root=ZERO,
            tape=tape,
            tape_follows=tape is not None,
            perturb=environment,
        )
        limit_s = TIMEOUT_S if tape is None else 2 * TIMEOUT_S  # the first run's time, then its own
        return Preflight(self.runner.run(request, folder, None, limit_s, stop), folder)

    def twice(self) -> Preflight:
        """Run the first batch in two unlike environments and return what both gave.

        What the first run read from outside is fed to the second, as it is to whoever checks a
        segment; meanwhile the second loads the program. Raises `NotReplayable` naming the first
        leaf of the state that differs.
        """
        tape, stop = self.scratch / TAPE_NAME, threading.Event()
        with ThreadPoolExecutor(max_workers=1) as beside:
            second = beside.submit(self.run, 1, tape, stop)
            try:
                first = self.run()
                tape.hardlink_to(first.scratch / TAPE_NAME)
                compare(first, second.result())
            finally:
                stop.set()
        return first


def compare(here: Preflight, there: Preflight) -> None:
    """Raise `NotReplayable` unless two runs of the same batch gave the same."""
    if here.result.start_root != there.result.start_root:
        raise NotReplayable(
            "the program is set up differently each time",
            hint="look for set-up code that reads the clock, the host name or os.urandom",
        )
    for name, meaning in ROOTS.items():
        if getattr(here.result, name) != getattr(there.result, name):
            leaf = _first_difference(here, there) if name == "end_root" else ""
            raise NotReplayable(
                f"two runs of the first batch differ in {leaf or meaning}",
                hint="look for code that depends on time, addresses, host or unseeded randomness",
            )


def _first_difference(here: Preflight, there: Preflight) -> str:
    ours, theirs = (_by_path(each.scratch / "state") for each in (here, there))
    for path in sorted(ours.keys() | theirs.keys(), key=str.encode):
        if ours.get(path) != theirs.get(path):
            return path
    return ""


def _by_path(folder: Path) -> dict[str, Leaf]:
    return {each.path: each for each in state.load(folder).leaves}
