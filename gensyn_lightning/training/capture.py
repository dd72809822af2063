"""Takes a trainer and the arguments of one fit apart into artifacts, without changing either."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import os
import platform
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import torch

from gensyn_lightning.errors import CaptureError
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.training.declared import declare, describe_logger
from gensyn_lightning.training.folders import PathMap
from gensyn_lightning.training.hashing import digest_of_memory
from gensyn_lightning.training.installed import installed_folders
from gensyn_lightning.training.manifest import (
    FLAVOURS,
    SCHEMA,
    Artifact,
    Flags,
    Manifest,
    Package,
    Variable,
    manifest_bytes,
)
from gensyn_lightning.training.numerics import REPOPS
from gensyn_lightning.training.packing import pack
from gensyn_lightning.training.program import Resume, installed_version

ALWAYS_NAMED = ("torch", "numpy", "cloudpickle", "torchmetrics")
ENVIRONMENT = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS")

Hashed = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Captured:
    """A program ready to be uploaded.

    `artifacts` holds the bytes by digest, the manifest among them; large arrays are views of the
    trainer's own memory, so the trainer must not train before they are stored. `places` says
    where the manifest's folders stand here, `loggers` which loggers stayed here, in order.
    """

    manifest_digest: Digest
    manifest: Manifest
    artifacts: Mapping[Digest, bytes | memoryview]
    places: Mapping[str, Path]
    loggers: tuple[Any, ...]
    resume_path: str | None

    @property
    def length(self) -> int:
        """Bytes of all artifacts together."""
        return sum(len(each) for each in self.artifacts.values())

    def store(
        self, folder: Path, have: Callable[[Digest, Path], bool] = lambda digest, path: False
    ) -> None:
        """Make the new folder `folder` hold every artifact, named by digest.

        `have(digest, path)` puts one that lies on this disk already at `path`, if it can.
        """
        folder.mkdir(mode=0o700)
        for digest, data in self.artifacts.items():
            path = folder / digest.hex()
            if not have(digest, path):
                path.write_bytes(data)


def capture(  # noqa: PLR0913 - what is captured, and two of the terms it is run on
    trainer: Any,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    threads: int | None = None,
    arithmetic: str = REPOPS,
    hashed: Hashed = lambda done, total: None,
) -> Captured:
    """Capture the call `function(*args, **kwargs)` of a method of `trainer`.

    `hashed(done, total)` is told how many bytes of the large arrays have their digest. Raises
    `CaptureError` naming the part that cannot travel.
    """
    flavour = flavour_of(trainer)
    _check_devices(trainer)
    for logger in trainer.loggers:  # a fit here would do so too, before anything asks for folders
        getattr(logger, "experiment", None)
    folders, places = declare(trainer)
    paths = PathMap(places)
    arguments = inspect.signature(function).bind(*args, **kwargs)
    arguments.apply_defaults()
    resume = _take_checkpoint(trainer, arguments.arguments)
    left = _LeftBehind(trainer, flavour)
    payload = {
        "trainer": trainer,
        "args": arguments.args,
        "kwargs": arguments.kwargs,
        "generators": _generators(),
        "gradients": _gradients(arguments.arguments.values()),
        "resume": resume,
    }
    projects = list(project_modules())
    data, blocks, modules = pack(payload, paths, left, projects)
    artifacts: dict[Digest, bytes | memoryview] = {}
    program = _add(artifacts, data)
    manifest = Manifest(
        schema=SCHEMA,
        flavour=flavour,
        function=function.__name__,
        interpreter=platform.python_version(),
        packages=_packages(flavour, modules),
        modules_by_value=tuple(sorted({each.__name__ for each in projects} & modules)),
        program=program,
        arrays=tuple(_add_arrays(artifacts, blocks, hashed)),
        folders=folders,
        loggers=tuple(describe_logger(each, paths) for each in left.loggers),
        threads=threads or torch.get_num_threads(),
        arithmetic=arithmetic,
        flags=_flags(),
        environment=tuple(
            Variable(name, os.environ[name]) for name in ENVIRONMENT if name in os.environ
        ),
    )
    name = _add(artifacts, manifest_bytes(manifest)).digest
    path = resume.path if resume else None
    return Captured(name, manifest, artifacts, places, tuple(left.loggers), path)


def flavour_of(trainer: Any) -> str:
    """Return which of the two Lightning packages the trainer belongs to."""
    for kind in type(trainer).__mro__:
        for flavour in FLAVOURS:
            if kind.__module__.startswith(flavour + "."):
                return flavour
    raise CaptureError(f"{type(trainer).__name__} is no Lightning trainer")


def project_modules() -> Iterator[ModuleType]:
    """Yield the loaded modules of the user's own project, which no other machine can import."""
    installed = installed_folders()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(file, str):
            continue
        if not os.path.isabs(file) or name.split(".")[0] == "gensyn_lightning":
            continue
        if file.endswith(".py") and not file.startswith(installed) and module.__name__ == name:
            yield module


class _LeftBehind:
    """Says which objects stay with the submitter, and remembers the loggers among them."""

    def __init__(self, trainer: Any, flavour: str) -> None:
        self.loggers = list(trainer.loggers)
        self._logger = importlib.import_module(f"{flavour}.loggers").Logger
        self._bar = importlib.import_module(f"{flavour}.callbacks").ProgressBar
        self._launcher = importlib.import_module(
            f"{flavour}.strategies.launchers.launcher"
        )._Launcher

    def __call__(self, obj: Any) -> str | None:
        if isinstance(obj, self._logger):
            if not any(obj is each for each in self.loggers):
                self.loggers.append(obj)
            return f"logger-{[id(each) for each in self.loggers].index(id(obj))}"
        if isinstance(obj, self._bar):
            return "progress"
        return "launcher" if isinstance(obj, self._launcher) else None


def _check_devices(trainer: Any) -> None:
    connector = trainer._accelerator_connector
    asked = connector._devices_flag != "auto" and len(connector._parallel_devices) > 1
    if asked or connector._num_nodes_flag > 1:
        raise CaptureError("a job trains on one device", hint="use devices=1 and num_nodes=1")
    if trainer.strategy.root_device.type != "cpu":
        raise CaptureError("this network computes on CPUs", hint='use accelerator="cpu"')


def _take_checkpoint(trainer: Any, arguments: dict[str, Any]) -> Resume | None:
    """Read the checkpoint a fit resumes from, since only its content can travel.

    It is read the way a fit here would read it. Its bytes cannot be sent as they are: they hold
    absolute paths of this machine, by which ModelCheckpoint recognises its own state.
    """
    connector = trainer._checkpoint_connector
    model = trainer.lightning_module
    path = connector._select_ckpt_path(
        trainer.state.fn,
        arguments.get("ckpt_path"),
        model_provided=True,
        model_connected=model is not None,
    )
    if not path:
        return None
    if not connector._user_managed:
        arguments["ckpt_path"] = path
    return Resume(
        os.fspath(path),
        trainer.strategy.load_checkpoint(path, weights_only=arguments.get("weights_only")),
    )


def _generators() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": numpy.random.get_state(),
        "torch": torch.get_rng_state(),
    }


def _gradients(arguments: Iterable[Any]) -> list[tuple[Any, Any]]:
    modules = [each for each in arguments if isinstance(each, torch.nn.Module)]
    return [
        (parameter, parameter.grad)
        for module in modules
        for parameter in module.parameters()
        if parameter.grad is not None
    ]


def _flags() -> Flags:
    return Flags(
        deterministic=torch.are_deterministic_algorithms_enabled(),
        deterministic_warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
        default_dtype=str(torch.get_default_dtype()).removeprefix("torch."),
        matmul_precision=torch.get_float32_matmul_precision(),
    )


def _add(artifacts: dict[Digest, bytes | memoryview], data: bytes | memoryview) -> Artifact:
    digest = digest_of(data)
    artifacts[digest] = data
    return Artifact(digest, len(data))


def _add_arrays(
    artifacts: dict[Digest, bytes | memoryview], blocks: Sequence[memoryview], hashed: Hashed
) -> Iterator[Artifact]:
    total, done = sum(each.nbytes for each in blocks), 0

    def passed(count: int) -> None:
        nonlocal done
        done += count
        hashed(done, total)

    for block in blocks:
        digest = digest_of_memory(block, passed)
        artifacts[digest] = block
        yield Artifact(digest, block.nbytes)


def _packages(flavour: str, modules: set[str]) -> tuple[Package, ...]:
    own = "lightning" if flavour == "lightning.pytorch" else "pytorch-lightning"
    names = {own, *ALWAYS_NAMED}
    tops = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names)
    for top in tops - {"__main__", "gensyn_lightning", "lightning", "pytorch_lightning"}:
        names.update(_distributions().get(top, ())[:1])
    versions = {name: installed_version(name) for name in sorted(names)}
    return tuple(Package(name, version) for name, version in versions.items() if version)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()
