"""`gensyn doctor`: what this machine has, what is wrong with it, and what to do about it."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import psutil
import typer

from gensyn_lightning import __version__, config
from gensyn_lightning.cli.console import emit, say, show
from gensyn_lightning.errors import GensynError
from gensyn_lightning.network import Home, Network
from gensyn_lightning.network.plan import runner_environment
from gensyn_lightning.protocol.digest import Digest

GOOD, POOR, BAD = "ok", "warning", "wrong"
STYLES = {GOOD: "green", POOR: "yellow", BAD: "red"}
DISK_BYTES_MIN = 5 << 30
MEMORY_BYTES_MIN = 4 << 30
NUMERICS_S = 120.0
PACKAGES = ("torch", "torchmetrics", "numpy", "grpcio", "web3", "py-evm")
LIGHTNINGS = ("pytorch-lightning", "lightning")
_NUMERICS = "from gensyn_lightning.training.numerics import native_version; print(native_version())"
_COVERAGE = "gensyn_lightning.cli.coverage"
COVERAGE_S = 600.0
SELF_TEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `hint` says what to do when it is not good."""

    name: str
    state: str
    detail: str
    hint: str = ""


def doctor(
    model: Annotated[
        str | None,
        typer.Option(metavar="FILE:FACTORY", help="say whether this model's operators are covered"),
    ] = None,
    home: Annotated[Path | None, typer.Option(help="where data and keys are")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Look at versions, arithmetic, disk, keys and the network; exit 1 if something is wrong."""
    settings = config.resolve({"home": home})
    found = [each for check in CHECKS for each in check(Home(settings.home))]
    found += _model(Home(settings.home), model) if model else ()
    show("", ("", "", ""), [(each.state, each.name, each.detail) for each in found])
    for each in found:
        if each.state != GOOD:
            say(f"{each.state}: {each.name}: {each.detail} - {each.hint}", style=STYLES[each.state])
    if as_json:
        emit("gensyn-doctor/1", {"findings": [asdict(each) for each in found]})
    if any(each.state == BAD for each in found):
        raise typer.Exit(1)


def _platform(home: Home) -> Iterator[Finding]:
    name = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    known = platform.system() == "Linux" and platform.machine() in {"x86_64", "aarch64"}
    yield Finding("machine", GOOD if known else POOR, name, "nodes are tested on Linux only")
    yield Finding("gensyn-lightning", GOOD, __version__)


def _packages(home: Home) -> Iterator[Finding]:
    for name in PACKAGES:
        version = _version(name)
        hint = "install the package again: pip install gensyn-lightning"
        yield Finding(name, GOOD if version else BAD, version or "missing", hint)
    found = {name: _version(name) for name in LIGHTNINGS}
    detail = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    yield Finding("Lightning", GOOD if detail else BAD, detail or "missing", "install either")


def _arithmetic(home: Home) -> Iterator[Finding]:
    """Ask a process in the runner's environment, as nodes do; this one stays without torch."""
    try:
        done = _run(home, "-c", _NUMERICS, timeout_s=NUMERICS_S)
    except (subprocess.SubprocessError, OSError) as error:
        yield Finding("native arithmetic", BAD, _last_words(error), "see the line before")
        return
    yield Finding("native arithmetic", GOOD, done.strip())


def _operators(home: Home) -> Iterator[Finding]:
    """Compare what the kernels compute with the reference."""
    from gensyn_lightning.repops import VERSION, library, selftest

    kernels = library.load()
    if kernels is None:
        hint = "install a C compiler and the package again: without kernels training is very slow"
        yield Finding(VERSION, POOR, "the reference alone, no compiled kernels", hint)
        return
    wrong = selftest.disagreements(Digest(SELF_TEST), kernels)
    detail = f"kernels {kernels.path.name}"
    if wrong:
        hint = "build them again: python -m gensyn_lightning.repops.build"
        yield Finding(VERSION, BAD, f"{detail} compute otherwise in {', '.join(wrong)}", hint)
    else:
        yield Finding(VERSION, GOOD, f"{detail}, self-test passed")


def _model(home: Home, program: str) -> Iterator[Finding]:
    """Fit a model for a moment, in a process of its own, and say what is not covered."""
    try:
        done = _run(home, "-m", _COVERAGE, program, timeout_s=COVERAGE_S)
    except (subprocess.SubprocessError, OSError) as error:
        yield Finding(program, BAD, _last_words(error), "it has to run by itself first")
        return
    refused = json.loads(done)["refused"]
    for each in refused:
        yield Finding(program, BAD, each, 'or train with numerics="native"')
    if not refused:
        yield Finding(program, GOOD, "every operator of two batches is covered")


def _run(home: Home, *words: str, timeout_s: float) -> str:
    """Run Python as runners do and return what it prints."""
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-P", *words],
        env=runner_environment(home),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=True,
    )
    return done.stdout


def _last_words(error: Exception) -> str:
    words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
    return words[-1] if words else "?"


def _resources(home: Home) -> Iterator[Finding]:
    place = next(each for each in (home.path, *home.path.parents) if each.exists())
    free = shutil.disk_usage(place).free
    state = GOOD if free > DISK_BYTES_MIN else POOR
    yield Finding("disk", state, f"{free >> 30} GiB free under {place}", "make room")
    memory = psutil.virtual_memory().available
    state = GOOD if memory > MEMORY_BYTES_MIN else POOR
    yield Finding("memory", state, f"{memory / (1 << 30):.1f} GiB free", "end other programs")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            yield Finding("ports", BAD, str(error), "processes must be able to listen on loopback")
        else:
            yield Finding("ports", GOOD, "loopback can be listened on")


def _keys(home: Home) -> Iterator[Finding]:
    if not home.keys.is_dir():
        yield Finding("keys", GOOD, "none yet; the first network makes them")
        return
    for path in sorted(home.keys.glob("*.json")):
        yield _key(home, path.stem)
    for each in (home.path, home.keys):
        loose = each.stat().st_mode & 0o077
        state = BAD if loose else GOOD
        yield Finding(
            f"mode of {each}", state, f"{each.stat().st_mode & 0o777:o}", f"chmod 700 {each}"
        )


def _key(home: Home, name: str) -> Finding:
    from gensyn_lightning.identity import open_account

    try:
        account = open_account(home.keys, name)
    except GensynError as error:
        return Finding(f"key {name}", BAD, str(error), "restore it from a backup")
    return Finding(f"key {name}", GOOD, account.address.hex())


def _network(home: Home) -> Iterator[Finding]:
    try:
        info = Network.find(home.path)
    except GensynError as error:
        yield Finding("network", BAD, str(error), error.hint)
        return
    if info is None:
        yield Finding("network", GOOD, "none runs; training or `gensyn up` starts one")
        return
    yield Finding("network", GOOD, f"coordinator {info.coordinator}, chain {info.chain}")
    for name, pid in info.processes.items():
        alive = bool(pid) and psutil.pid_exists(pid)
        hint = f"it should come back by itself; see {home.log(name)}"
        yield Finding(name, GOOD if alive else BAD, f"process {pid}", hint)


CHECKS: tuple[Callable[[Home], Iterator[Finding]], ...] = (
    _platform,
    _packages,
    _arithmetic,
    _operators,
    _resources,
    _keys,
    _network,
)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
