"""`gensyn train`: run a script, or what a factory in it returns, with `strategy="gensyn"`."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from gensyn_lightning import config
from gensyn_lightning.cli.console import emit, say
from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.job import display_id

# Lightning reads the default of every Trainer argument from an environment variable.
STRATEGY = "PL_TRAINER_STRATEGY"
PROGRAM = "__main__"


def train(  # noqa: PLR0913, PLR0917 - a flag each
    context: typer.Context,
    program: Annotated[str, typer.Argument(metavar="FILE[:FACTORY]", help="what to train")],
    audit: Annotated[
        str | None, typer.Option(help="share of segments replayed: default, full, none, 0-1")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="highest price")] = None,
    solvers: Annotated[int | None, typer.Option(help="solvers, if a network is started")] = None,
    numerics: Annotated[
        str | None, typer.Option(help="arithmetic: repops-1, or native for torch's own")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="where data and keys are")] = None,
    coordinator: Annotated[str | None, typer.Option(help="address; default: start one")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="say nothing meanwhile")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Train FILE on the network; further arguments are the script's own.

    FILE is run as a script whose trainers use the network unless they name a strategy; or
    FACTORY, a function in it that returns (trainer, model, data), is called and fitted. With
    --json, what the program prints goes to stderr.
    """
    path, factory = _split(program)
    flags = {
        "audit": audit,
        "budget": budget,
        "solvers": solvers,
        "numerics": numerics,
        "home": home,
        "coordinator": coordinator,
        "quiet": quiet or None,
    }
    with config.flags(flags), _as_script(path, context.args):
        settings = config.resolve()
        before = {each.job for each in jobs.submitted(Home(settings.home))}
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            _run(path, factory)
        made = [e.job for e in jobs.submitted(Home(settings.home)) if e.job not in before]
    if not made:
        say(f"{path.name} trained nothing on the network: its trainers name another strategy")
    if as_json:
        names = [{"name": display_id(each), "job": each.hex()} for each in reversed(made)]
        emit("gensyn-train/1", {"program": program, "jobs": names})


def load_factory(program: str) -> tuple[Any, Any, Any]:
    """Return the trainer, model and data that FILE:FACTORY makes."""
    path, factory = _split(program)
    if not factory:
        raise ConfigError("a factory is needed", hint="name it: FILE.py:factory")
    with _as_script(path, []):
        return _built(_as_module(path), path, factory)


def _split(program: str) -> tuple[Path, str]:
    name, _, factory = program.partition(":")
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"there is no file {name}", hint="gensyn train FILE.py[:factory]")
    return path, factory


@contextmanager
def _as_script(path: Path, arguments: list[str]) -> Iterator[None]:
    """Make the process look as `python FILE arguments` would, with another default strategy."""
    before = sys.argv, list(sys.path), os.environ.get(STRATEGY)
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.resolve().parent))
    os.environ[STRATEGY] = "gensyn"
    try:
        yield
    finally:
        sys.argv, sys.path[:] = before[0], before[1]
        os.environ.pop(STRATEGY)
        if before[2] is not None:
            os.environ[STRATEGY] = before[2]


def _run(path: Path, factory: str) -> None:
    import gensyn_lightning.strategy  # noqa: F401 - the strategy's name must be known

    if not factory:
        runpy.run_path(str(path), run_name=PROGRAM)
        return
    trainer, model, data = _built(_as_module(path), path, factory)
    trainer.fit(model, data)


def _as_module(path: Path) -> ModuleType:
    """Import a file under its own name; it stays known, as what it defines belongs to it."""
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _built(module: ModuleType, path: Path, factory: str) -> tuple[Any, Any, Any]:
    make = getattr(module, factory, None)
    if not callable(make):
        raise ConfigError(f"{path} has no function {factory!r}")
    made = make()
    if not isinstance(made, tuple) or len(made) != 3:
        raise ConfigError(f"{factory} must return (trainer, model, data)")
    return made
