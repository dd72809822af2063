"""What a network returns put into the user's trainer and folders: data only, nothing unpickled.

The state and every file were checked against what solvers committed to before they come here.
Class names in them are looked up among what this process has loaded; nothing is imported and no
constructor runs.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from gensyn_lightning.errors import Malformed, StateError
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.training import landing, methods, raised, recorder, snapshot, state
from gensyn_lightning.training.capture import Captured
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.files import State
from gensyn_lightning.training.named import resolve_loaded
from gensyn_lightning.training.outputs import Call, File, Line, Outputs, Removed
from gensyn_lightning.training.rehearsal import conclude, finish, rehearse


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a fit: its state, what it wrote (a segment each, in order), how it ended.

    `files` is a folder of files named by digest; it needs those that `net_files` names.
    """

    outcome: Outcome
    state: State
    outputs: Sequence[Outputs]
    files: Path


class Return:
    """Brings the result of one captured fit back to the trainer it was captured from."""

    def __init__(
        self,
        trainer: Any,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        captured: Captured,
    ) -> None:
        self.trainer = trainer
        self.places = captured.places
        self._call = (function, args, kwargs)
        self._loggers = captured.loggers
        self._deaf = _deaf_loggers(captured)[: len(trainer.loggers)]
        self._resume_path = captured.resume_path
        self.confined = ConfinedFolders(captured.manifest.folders, captured.places)

    def apply(self, result: Result, *, same_program: bool = True) -> None:
        """Make trainer, model, callbacks, loggers, folders and generators what the fit made them.

        Raises what the program raised if that is how the fit ended, and `StateError` before
        anything is written if it may not have been the `same_program` and left another model.
        """
        rehearse(self.trainer, *self._call, self._deaf)
        if result.outcome is Outcome.FINISHED:
            conclude(self.trainer, self._deaf)
        value = state.decode(result.state, folders=self.places, resolve=resolve_loaded)
        if not same_program:
            snapshot.must_match(self.trainer, value)
        landing.check(self.trainer, snapshot.entries_of(value), self.confined)
        self.deliver(result.outputs, result.files)
        for each in result.outputs:
            tell(self._loggers, each.calls, self.places)
        said = [line for each in result.outputs for line in each.lines]
        trace = _traceback(said) if result.outcome is Outcome.RAISED else []
        show(line for line in said if line not in trace)
        snapshot.restore(self.trainer, value)
        self.trainer._checkpoint_connector._ckpt_path = self._resume_path
        if result.outcome is Outcome.FINISHED:
            finish(self.trainer)
        if result.outcome is Outcome.RAISED:
            text = "\n".join(each.text for each in trace)
            raise raised.read(value["raised"], text).rebuild()

    def deliver(self, outputs: Sequence[Outputs], stored: Path) -> None:
        """Write what several segments left of their files; `stored` holds them by digest."""
        files, removed = net_files(outputs)
        for gone in removed:
            self.confined.remove(gone.folder, gone.path)
        for each in sorted(files, key=lambda each: bool(each.link)):
            source = stored / each.digest.hex()
            if each.link:
                self.confined.link(each.folder, each.path, each.link)
            elif each.form == "checkpoint":
                self.confined.write(each.folder, each.path, self._checkpoint(source))
            else:
                self.confined.write(each.folder, each.path, _copy(source))

    def _checkpoint(self, source: Path) -> Callable[[BinaryIO], None]:
        """Return what writes a `.ckpt` as Lightning would have, from canonical state."""

        def fill(file: BinaryIO) -> None:
            content = state.read_container(source, folders=self.places, resolve=resolve_loaded)
            torch.save(content, file)

        return fill


def net_files(outputs: Iterable[Outputs]) -> tuple[list[File], list[Removed]]:
    """Return what is left of the files of several segments, and what they removed, in order."""
    files: dict[tuple[str, str], File] = {}
    removed: dict[tuple[str, str], Removed] = {}
    for each in outputs:
        for gone in each.removed:
            files.pop((gone.folder, gone.path), None)
            removed[gone.folder, gone.path] = gone
        for file in each.files:
            files[file.folder, file.path] = file
            removed.pop((file.folder, file.path), None)
    return list(files.values()), list(removed.values())


def tell(loggers: Sequence[Any], calls: Iterable[Call], places: Mapping[str, Path]) -> None:
    """Repeat the calls the program made to its loggers on the user's own, in order."""
    for call in calls:
        if call.logger >= len(loggers):
            raise Malformed(f"the program called logger {call.logger} of {len(loggers)}")
        logger = loggers[call.logger]
        if not methods.is_known(call.method):
            raise Malformed(f"a program may not call {call.method[:80]} of a logger")
        try:
            args, kwargs = recorder.arguments(call, places, resolve_loaded)
        except StateError as error:
            warnings.warn(f"{call.method} was left out: {error}", stacklevel=2)
            continue
        try:
            methods.check(call.method, args, kwargs)
        except StateError as error:
            raise Malformed(str(error)) from error
        owner, _, method = call.method.rpartition(".")
        target = logger.experiment if owner else logger
        getattr(target, method)(*args, **kwargs)


def show(lines: Iterable[Line]) -> None:
    """Print what the program printed; what could steer a terminal is left out."""
    for line in lines:
        text = "".join(each for each in line.text if each.isprintable() or each == "\t")
        print(text, file=sys.stdout if line.stream == "stdout" else sys.stderr)


def _traceback(said: Sequence[Line]) -> list[Line]:
    """Return the last traceback on stderr: what the runner printed of the exception."""
    lines = [each for each in said if each.stream == "stderr"]
    starts = [at for at, each in enumerate(lines) if each.text.startswith("Traceback ")]
    return lines[starts[-1] :] if starts else []


def _deaf_loggers(captured: Captured) -> list[Any]:
    """Return loggers that answer like the user's own and hear nothing."""
    calls = recorder.Calls(captured.places)
    calls.muted = True
    manifest = captured.manifest
    return recorder.recorders(manifest.loggers, manifest.flavour, captured.places, calls)


def _copy(source: Path) -> Callable[[BinaryIO], None]:
    def fill(file: BinaryIO) -> None:
        with source.open("rb") as data:
            shutil.copyfileobj(data, file, 1 << 20)

    return fill
