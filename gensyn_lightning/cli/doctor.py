"""`gensyn doctor`: what this machine has, what is wrong with it, and what to do about it."""

from __future__ import annotations

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

GOOD, POOR, BAD = "ok", "warning", "wrong"
STYLES = {GOOD: "green", POOR: "yellow", BAD: "red"}
DISK_BYTES_MIN = 5 << 30
MEMORY_BYTES_MIN = 4 << 30
NUMERICS_S = 120.0
PACKAGES = ("torch", "torchmetrics", "numpy", "grpcio", "web3", "py-evm")
LIGHTNINGS = ("pytorch-lightning", "lightning")
_NUMERICS = "from gensyn_lightning.training.numerics import native_version; print(native_version())"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `hint` says what to do when it is not good."""

    name: str
    state: str
    detail: str
    hint: str = ""


def doctor(
    home: Annotated[Path | None, typer.Option(help="where data and keys are")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Look at versions, arithmetic, disk, keys and the network; exit 1 if something is wrong."""
    settings = config.resolve({"home": home})
    found = [each for check in CHECKS for each in check(Home(settings.home))]
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
        done = subprocess.run(  # noqa: S603 - the command is ours
            [sys.executable, "-P", "-c", _NUMERICS],
            env=runner_environment(home),
            capture_output=True,
            text=True,
            timeout=NUMERICS_S,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        yield Finding("arithmetic", BAD, words[-1] if words else "?", "see the line before")
        return
    yield Finding("arithmetic", GOOD, done.stdout.strip())


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
    _resources,
    _keys,
    _network,
)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
