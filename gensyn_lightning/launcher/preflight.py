"""Runs a program's first batches before money moves: in unlike environments, and across a cut.

What a program remembers where no state reaches, in a global, a class or an iterator, is lost at a
cut: then the fit goes on differently than it would have, and that shows in the next batch.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from gensyn_lightning.errors import CaptureError, NotReplayable
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.protocol.digest import ZERO, Digest
from gensyn_lightning.training import outputs, state
from gensyn_lightning.training.asked import FILE_NAME
from gensyn_lightning.training.leaf import Leaf
from gensyn_lightning.training.request import SegmentRequest, SegmentResult
from gensyn_lightning.training.returning import Result
from gensyn_lightning.training.segment import KEPT

TAPE_NAME, TARGET_NAME = "tape.json", "target"
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
    """What the first batches gave; `scratch` holds what the run wrote."""

    result: SegmentResult
    scratch: Path

    def asked(self) -> list[str]:
        """Return the environment variables that the program looked for and did not find."""
        found = self.scratch / FILE_NAME
        return list(json.loads(found.read_bytes())) if found.exists() else []

    def as_result(self) -> Result:
        """Return what the first batches gave as if it had been the whole fit."""
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

    def run(self) -> Preflight:
        """Run the first batch once."""
        return self._tried("preflight", self._request())

    def everything(self) -> Preflight:
        """Run the first batches in two unlike environments and across a cut; return what they gave.

        What the first run read from outside is fed to the others, as it is to whoever checks a
        segment. Raises `NotReplayable` naming the first leaf of the state that differs.
        """
        tape, target = self.scratch / TAPE_NAME, self.scratch / TARGET_NAME
        unlike = replace(
            self._request(), tape=tape, tape_follows=True, target_file=target, perturb=1
        )
        stop = threading.Event()
        with ThreadPoolExecutor(max_workers=2) as beside:
            # The second loads the program meanwhile; its time is the first run's, then its own.
            second = beside.submit(self._tried, "unlike", unlike, 2 * TIMEOUT_S, stop)
            try:
                first = self._tried("preflight", replace(self._request(), beyond=True))
                target.write_text(str(first.result.end_event))
                tape.hardlink_to(first.scratch / TAPE_NAME)
                rest = beside.submit(self._rest, first, stop)
                compare(first, second.result())
                _compare_rest(first, rest.result())
            finally:
                stop.set()
        return first

    def _rest(self, first: Preflight, stop: threading.Event) -> Preflight | None:
        """Run what came after the cut again, from the state there; None if there was no cut."""
        kept = next(first.scratch.glob(f"{KEPT}/*"), None)
        if kept is None:
            return None
        artifacts = self.scratch / "with-files"
        artifacts.mkdir()
        for folder in (self.artifacts, first.scratch / "files"):
            for each in folder.glob("*"):
                if not (artifacts / each.name).exists():
                    (artifacts / each.name).symlink_to(each.absolute())
        request = SegmentRequest(
            manifest=self.manifest,
            artifacts=artifacts,
            state=kept,
            first_event=int(kept.name),
            target_event=first.result.end_event,
            start_root=ZERO,
            tape=first.scratch / TAPE_NAME,
        )
        return self._tried("rest", request, TIMEOUT_S, stop)

    def _request(self) -> SegmentRequest:
        return SegmentRequest(
            manifest=self.manifest,
            artifacts=self.artifacts,
            state=None,
            first_event=0,
            target_event=1,
            start_root=ZERO,
        )

    def _tried(
        self,
        name: str,
        request: SegmentRequest,
        limit_s: float = TIMEOUT_S,
        stop: threading.Event | None = None,
    ) -> Preflight:
        folder = self.scratch / name
        folder.mkdir(mode=0o700)
        return Preflight(self.runner.run(request, folder, None, limit_s, stop), folder)


def must_not_ask(tried: Preflight, environment: Mapping[str, str]) -> None:
    """Raise `CaptureError` if the program looked for a variable that this machine has set."""
    for name in tried.asked():
        if name in environment:
            raise CaptureError(
                f"the program reads the environment variable {name} inside the fit, "
                "where it is not set: variables do not travel",
                hint="read it before `fit` is called and keep the value in the module",
            )


def compare(here: Preflight, there: Preflight) -> None:
    """Raise `NotReplayable` unless two runs of the same batches gave the same."""
    if here.result.start_root != there.result.start_root:
        raise NotReplayable(
            "the program is set up differently each time",
            hint="look for set-up code that reads the clock, the host name or os.urandom",
        )
    for name, meaning in ROOTS.items():
        if getattr(here.result, name) != getattr(there.result, name):
            leaf = _first_difference(here, there) if name == "end_root" else ""
            raise NotReplayable(
                f"two runs of the first batches differ in {leaf or meaning}",
                hint="look for code that depends on time, addresses, host or unseeded randomness",
            )


def _compare_rest(whole: Preflight, rest: Preflight | None) -> None:
    """Raise `NotReplayable` unless a run from the state at a cut ended like the one without."""
    if rest is None:
        return
    for name in ("end_event", "outcome", "raised", "end_root"):
        if getattr(whole.result, name) != getattr(rest.result, name):
            leaf = _first_difference(whole, rest) if name == "end_root" else ""
            raise NotReplayable(
                f"after a cut the fit goes on differently: in {leaf or 'how it ends'}",
                hint="globals, class attributes, closures and iterators are not part of a fit's "
                "state; keep what they remember in attributes of the module or a callback",
            )


def _first_difference(here: Preflight, there: Preflight) -> str:
    ours, theirs = (_by_path(each.scratch / "state") for each in (here, there))
    for path in sorted(ours.keys() | theirs.keys(), key=str.encode):
        if ours.get(path) != theirs.get(path):
            return path
    return ""


def _by_path(folder: Path) -> dict[str, Leaf]:
    return {each.path: each for each in state.load(folder).leaves}
