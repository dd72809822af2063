"""`gensyn up`: start a network on this machine, in the foreground until Ctrl-C or detached."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

from gensyn_lightning import config
from gensyn_lightning.cli.console import emit, say, show
from gensyn_lightning.errors import ConfigError, NetworkError
from gensyn_lightning.network import Home, Network, NetworkInfo
from gensyn_lightning.network.attached import attach
from gensyn_lightning.network.child import last_words
from gensyn_lightning.network.embedded import start

SCHEMA = "gensyn-up/1"


def up(  # noqa: PLR0913, PLR0917 - a flag each
    solvers: Annotated[int | None, typer.Option(help="how many solvers (default 2)")] = None,
    verifiers: Annotated[int | None, typer.Option(help="how many verifiers (default 1)")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE=KIND@EVENT", help="plant a cheat or a crash; repeatable"),
    ] = None,
    chain: Annotated[
        str, typer.Option(metavar="URL", help="use this chain's JSON-RPC, not one of its own")
    ] = "",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="leave it running")] = False,
    home: Annotated[Path | None, typer.Option(help="where its data and keys are")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Start a network on this machine: a chain, a coordinator, solvers and verifiers.

    It stays until Ctrl-C, or with --detach until `gensyn down`. With --chain its contracts are on
    another chain: put there the first time, and the home keeps to that chain. Faults are bit-flip,
    skip-batches, stale-state, echo-root, forged-metrics, poisoned-checkpoint, withhold-salt and
    withhold-state for solvers, lie-match and lie-no-match for verifiers, crash and hang for both.
    """
    flags = {"solvers": solvers, "verifiers": verifiers, "home": home}
    settings = config.resolve(flags)
    place = Home(settings.home).make()
    faults = tuple(fault or ())
    _check_faults(faults)
    if Network.find(settings.home) is not None:
        raise ConfigError(f"a network runs in {place.path}", hint="stop it with `gensyn down`")
    where = attach(place, chain, say)
    began = time.monotonic()
    say(f"starting a network in {place.path}")
    ends = () if detach else ("--die-with", str(os.getpid()))
    extra = ("--chain", where, *ends)
    info = start(place, settings.solvers, settings.verifiers, faults, extra)
    say(f"ready in {time.monotonic() - began:.1f} s")
    _introduce(info, detach)
    if as_json:
        emit(SCHEMA, _document(info))
    if not detach:
        _stay(place, info)


def _check_faults(faults: tuple[str, ...]) -> None:
    from gensyn_lightning.node.fault import parse

    for each in faults:
        parse(each.partition("=")[2])


def _introduce(info: NetworkInfo, detached: bool) -> None:
    rows = [(name, str(pid), _address(info, name)) for name, pid in info.processes.items()]
    show("", ("process", "pid", "address"), rows)
    if "chain" not in info.processes:
        say(f"chain {info.domain['chain_id']} at {info.chain}")
    say(f"logs: {Path(info.home) / 'logs'}")
    say('train: gensyn train SCRIPT.py, or Trainer(strategy="gensyn") anywhere')
    say("stop: gensyn down" if detached else "stop: Ctrl-C, or gensyn down")


def _address(info: NetworkInfo, name: str) -> str:
    places = {"chain": info.chain, "coordinator": info.coordinator, "zygote": info.zygote}
    return places.get(name, "")


def _document(info: NetworkInfo) -> dict[str, object]:
    return {
        "home": info.home,
        "coordinator": info.coordinator,
        "chain": info.chain,
        "domain": dict(info.domain),
        "trust": info.trust,
        "supervisor": info.supervisor,
        "processes": dict(info.processes),
    }


def _stay(home: Home, info: NetworkInfo) -> None:
    """Wait for the end of the network, or bring it about."""
    supervisor = psutil.Process(info.supervisor)
    try:
        supervisor.wait()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("stopping the network")
        Network.stop(home.path)
        return
    except psutil.NoSuchProcess:
        say("the network is gone")
    if home.info.exists():
        raise NetworkError("the network died", hint=last_words(home.log("supervisor")))
