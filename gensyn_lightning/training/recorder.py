"""Loggers inside a runner: they write down what the program tells them, for later.

A recorder is an instance of the user's own logger class, as far as that can be found here, and
answers what Lightning asks of a logger (name, version, folders) from the manifest. Everything the
program logs is an entry in the outputs, in order; the submitter's own loggers get the entries when
the job is accepted.
"""

from __future__ import annotations

import functools
import importlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.training import methods, state
from gensyn_lightning.training.folders import PathMap
from gensyn_lightning.training.manifest import LoggerMeta
from gensyn_lightning.training.methods import EXPERIMENT_METHODS, METHODS
from gensyn_lightning.training.named import Resolver
from gensyn_lightning.training.outputs import CALLS_MAX, Call
from gensyn_lightning.training.reading import Reader

CONTAINER_BYTES_MAX = 4 << 20
# Told to a logger without anything travelling: the graph or the file is not plain data.
SILENT = frozenset({"log_graph", "after_save_checkpoint", "watch", "unwatch"})


class Calls:
    """The calls of a segment, in order. While `muted`, they are made for their effect on nobody."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.muted = False
        self.event = 0
        self.made: list[Call] = []
        self._folders = folders

    def add(self, logger: int, method: str, args: Any, kwargs: Any) -> None:
        """Write a call down."""
        if self.muted:
            return
        if len(self.made) >= CALLS_MAX:
            raise LimitExceeded(
                f"a segment called its loggers more than {CALLS_MAX} times",
                hint="raise Trainer(log_every_n_steps=...)",
            )
        given = _given([list(args), dict(kwargs)], self._folders, method)
        methods.check(method, list(args), kwargs)
        self.made.append(Call(self.event, logger, method, given))


def recorders(
    metas: tuple[LoggerMeta, ...], flavour: str, folders: Mapping[str, Path], calls: Calls
) -> list[Any]:
    """Return one recorder for each logger of a manifest."""
    paths = PathMap(folders)
    return [
        _kind(flavour, meta.kind)(index, meta, paths, calls) for index, meta in enumerate(metas)
    ]


def arguments(
    call: Call, folders: Mapping[str, Path], resolve: Resolver | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """Return a call's positional and keyword arguments; raise `StateError` if it has none."""
    if "tree" in call.given:
        value = Reader({}, folders, resolve).read(call.given["tree"])
    else:
        value = _unpack(call.given["container"], folders, resolve)
    match value:
        case [list(args), dict(kwargs)] if all(isinstance(each, str) for each in kwargs):
            return args, kwargs
    raise StateError("a call's arguments are malformed")


def _given(value: Any, folders: Mapping[str, Path], method: str) -> dict[str, Any]:
    try:
        encoded = state.encode(value, folders=folders)
    except StateError as error:
        raise StateError(
            f"{method} was given what cannot travel: {error}",
            hint="log plain values, tensors and arrays",
        ) from error
    if not encoded.buffers:
        return {"tree": encoded.structure["tree"]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call"
        state.write_container(value, path, folders=folders)
        data = path.read_bytes()
    if len(data) > CONTAINER_BYTES_MAX:
        raise LimitExceeded(
            f"{method} was given {len(data)} bytes, more than {CONTAINER_BYTES_MAX}",
            hint="log less at a time",
        )
    return {"container": data.hex()}


def _unpack(text: Any, folders: Mapping[str, Path], resolve: Resolver | None) -> Any:
    if not isinstance(text, str) or len(text) > 2 * CONTAINER_BYTES_MAX:
        raise LimitExceeded("a call's arguments are too long, or no text")
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise StateError("a call's arguments are not hexadecimal") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call"
        path.write_bytes(data)
        return state.read_container(
            path, folders=folders, resolve=resolve, bytes_max=CONTAINER_BYTES_MAX
        )


class _Experiment:
    """What `logger.experiment` is inside a runner."""

    def __init__(self, add: Callable[[str, Any, Any], None]) -> None:
        self._add = add

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in SILENT:
            return lambda *_, **__: None
        if name not in EXPERIMENT_METHODS:
            raise StateError(
                f"logger.experiment.{name} cannot be recorded",
                hint="log through self.log, or after the fit",
            )
        return lambda *args, **kwargs: self._add(f"experiment.{name}", args, kwargs)


@functools.cache
def _kind(flavour: str, name: str) -> Any:
    loggers = importlib.import_module(f"{flavour}.loggers")
    module, _, qualname = name.partition(":")
    parent = loggers.Logger
    if module.startswith(f"{flavour}.loggers."):
        parent = getattr(loggers, qualname, parent)

    class Recorder(parent):  # type: ignore[misc, valid-type]
        """A logger that writes down what it is told."""

        def __init__(self, index: int, meta: LoggerMeta, paths: PathMap, calls: Calls) -> None:
            self._recorded = functools.partial(calls.add, index)
            self._answers = {
                "name": None if meta.anonymous else meta.name,
                "version": _version(meta),
                "save_dir": paths.resolve(meta.save_dir),
                "root_dir": paths.resolve(meta.root_dir),
                "log_dir": paths.resolve(meta.log_dir),
            }
            self._standin = _Experiment(self._recorded)

        @property
        def experiment(self) -> Any:
            return self._standin

        @property
        def _experiment(self) -> Any:
            return self._standin

    for answer in ("name", "version", "save_dir", "root_dir", "log_dir"):
        setattr(Recorder, answer, property(_answering(answer)))
    for method in METHODS:
        setattr(Recorder, method, _recording(method))
    for method in SILENT:
        setattr(Recorder, method, lambda self, *_, **__: None)
    Recorder.__name__, Recorder.__qualname__ = parent.__name__, parent.__qualname__
    Recorder.__abstractmethods__ = frozenset()
    return Recorder


def _answering(name: str) -> Callable[[Any], Any]:
    return lambda self: self._answers[name]


def _recording(method: str) -> Callable[..., None]:
    def record(self: Any, *args: Any, **kwargs: Any) -> None:
        self._recorded(method, args, kwargs)

    record.__name__ = method
    return record


def _version(meta: LoggerMeta) -> str | int | None:
    if meta.versionless:
        return None
    return int(meta.version) if meta.numbered else meta.version
