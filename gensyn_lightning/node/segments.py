"""Running one leased segment: fetch what is missing, run it in a fresh fork, clean up."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.errors import GensynError, LimitExceeded, SandboxError
from gensyn_lightning.node.cache import Cache, link
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.runner import Progress, Runner
from gensyn_lightning.protocol.digest import Digest, parse_digest
from gensyn_lightning.training import tree
from gensyn_lightning.training.manifest import read_manifest
from gensyn_lightning.training.request import SegmentRequest, SegmentResult
from gensyn_lightning.training.workspace import needed
from gensyn_lightning.wire.nodes import Work

GRACE_S = 60.0
FILES_MAX = 1 << 14
RUNNER_LOG = "runner.log"
ARTIFACTS = "artifacts"
LAST_WORDS_BYTES_MAX = 4000


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a segment needs, laid out in one folder."""

    artifacts: Path
    state: Path | None
    tape: Path | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A segment that was run, and the folder with what it wrote."""

    result: SegmentResult
    scratch: Path


class Segments:
    """Runs segments for one node, under `folder`."""

    def __init__(
        self,
        folder: Path,
        cache: Cache,
        runner: Runner,
        hear: Callable[[Held], Progress] = lambda held: held.advance,
    ) -> None:
        self.cache = cache
        self._runner, self._hear = runner, hear
        self._scratch = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)

    @contextmanager
    def place(self, work: Work) -> Iterator[Path]:
        """Give a folder for one piece of work; it is gone afterwards.

        Work on one job finds the same folder each time: a program loaded once may run there again.
        """
        folder = self._scratch / work.job_id.hex()[:32]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        except GensynError:
            _tell_last_words(folder)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self.cache.shrink()

    def lay_out(self, work: Work, folder: Path) -> Inputs:
        """Fetch the program, its files, the start state and the tape of `work` into `folder`.

        Artifacts of the segment before that this one does not need are let go.
        """
        artifacts = folder / ARTIFACTS
        self.cache.lay_out([work.job.program], artifacts)
        manifest = read_manifest(work.job.program, artifacts)
        wanted = {work.job.program, *(each.digest for each in manifest.artifacts())}
        if work.start is not None:
            structure = tree.loads(self.cache.get(work.start.structure).read_bytes())
            wanted |= set(needed(structure))
        self.cache.lay_out(sorted(wanted), artifacts)
        for name in {each.name for each in os.scandir(artifacts)} - {each.hex() for each in wanted}:
            os.unlink(artifacts / name)
        tape = None if work.tape is None else self.cache.get(work.tape)
        return Inputs(artifacts, self._start_state(work, folder), tape)

    def run(
        self,
        held: Held,
        inputs: Inputs,
        scratch: Path,
        target_event: int | None = None,
        target_file: Path | None = None,
    ) -> Finding:
        """Run the segment in a fresh fork, in the new folder `scratch`.

        It ends at its task's target, at `target_event`, or at what `target_file` will say. A runner
        that dies without a word is given one more try: it may have died with its zygote.
        """
        target = held.work.task.target_event if target_event is None else target_event
        try:
            return self._run(held, inputs, scratch, target, target_file)
        except SandboxError as error:
            print(f"trying once more: {error}", file=sys.stderr, flush=True)
            shutil.rmtree(scratch)
            return self._run(held, inputs, scratch, target, target_file)

    def numerics(self) -> tuple[str, ...]:
        """Return every arithmetic computed here."""
        return self._runner.numerics(self._scratch)

    def answer(self, challenge: Digest) -> Digest:
        """Return what runners here compute when challenged."""
        return self._runner.answer(self._scratch, challenge)

    def _run(
        self, held: Held, inputs: Inputs, scratch: Path, target: int, target_file: Path | None
    ) -> Finding:
        scratch.mkdir(mode=0o700)
        task = held.work.task
        request = SegmentRequest(
            manifest=held.work.job.program,
            artifacts=inputs.artifacts,
            state=inputs.state,
            first_event=task.first_event,
            target_event=target,
            target_file=target_file,
            start_root=task.start_root,
            tape=inputs.tape,
        )
        limit_s = held.work.job.parameters.start_to_finish_ms / 1000 + GRACE_S
        if target_file is not None:
            limit_s *= 2  # its lease comes within the time of the one before it
        result = self._runner.run(request, scratch, self._hear(held), limit_s, held.stop)
        return Finding(result, scratch)

    def _start_state(self, work: Work, folder: Path) -> Path | None:
        if work.start is None:
            return None
        state = folder / "start"
        state.mkdir(mode=0o700)
        link(self.cache.get(work.start.structure), state / "structure.json")
        link(self.cache.get(work.start.tensors), state / "tensors.safetensors")
        return state


def clear(folder: Path) -> None:
    """Empty the folder of one piece of work for the next one of the same job."""
    for entry in os.scandir(folder):
        if entry.name == ARTIFACTS:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _tell_last_words(folder: Path) -> None:
    """Copy the end of what a failed runner said into this node's log."""
    for log in sorted(folder.rglob(RUNNER_LOG)):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_WORDS_BYTES_MAX))
            print(file.read().decode(errors="replace"), file=sys.stderr, flush=True)


def files_written(scratch: Path) -> dict[Digest, Path]:
    """Return the contents of the files a segment wrote, by the digest they are named by."""
    folder = scratch / "files"
    if not folder.exists():
        return {}
    found: dict[Digest, Path] = {}
    for entry in os.scandir(folder):
        if len(found) >= FILES_MAX:
            raise LimitExceeded(f"a segment wrote more than {FILES_MAX} files")
        path = pick_up(Path(entry.path))
        found[parse_digest(entry.name)] = path
    return found


def pick_up(path: Path) -> Path:
    """Return `path` if it is a plain file of its own: a program may have planted a link there."""
    try:
        found = path.lstat()
    except OSError as error:
        raise SandboxError(f"the runner left no {path.name}: {error}") from None
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or path.parent.is_symlink():
        raise SandboxError(f"the runner left a {path.name} that is no plain file")
    return path
