"""Which processes make an embedded network: their commands, addresses, keys, environments."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network import keys
from gensyn_lightning.network.child import Plan
from gensyn_lightning.network.home import LEAVE, Home

SOCKET_PATH_BYTES_MAX = 100
KEPT = ("PATH", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Layout:
    """A network on paper: what to run and where it will answer."""

    plans: tuple[Plan, ...]
    home: Home
    coordinator: str
    chain: str
    zygote: Path
    submitter: str
    ports: Mapping[str, int]

    def answers(self) -> bool:
        """Whether everything a submitter talks to accepts connections."""
        return not self.silent()

    def silent(self) -> str:
        """Return the first process that does not accept connections yet, or nothing."""
        for name, port in self.ports.items():
            if not _accepts(port):
                return name
        return "" if self.zygote.exists() else "zygote"

    def domain(self) -> Mapping[str, Any]:
        """Return where signatures of this network count, as the chain wrote it down."""
        value = json.loads((self.home.data("chain") / "chain.json").read_text())
        return {"chain_id": value["chain_id"], "escrow": value["escrow"]}


def draw_up(
    home: Home, solvers: int, verifiers: int, faults: Sequence[str], chain: str = ""
) -> Layout:
    """Return the plans for a network; make the keys and the genesis it needs on first use.

    `chain` is the address of a chain that runs elsewhere; without one the network has its own.
    """
    nodes = {f"solver-{each}": "solve,verify" for each in range(1, solvers + 1)}
    nodes |= {f"verifier-{each}": "verify" for each in range(1, verifiers + 1)}
    planted = _by_node(faults, nodes)
    keys.prepare(home, nodes)
    for name in nodes:  # who was asked to leave the last network is welcome in this one
        (home.data(name) / LEAVE).unlink(missing_ok=True)
    own = () if chain else ("chain",)
    names = (*own, "coordinator")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    coordinator = f"127.0.0.1:{ports['coordinator']}"
    chain = chain or f"http://127.0.0.1:{ports['chain']}"
    zygote = _socket_path(home)
    commands: dict[str, tuple[str, ...]] = {
        "zygote": module("gensyn_lightning.node.zygote", socket=zygote)
    }
    commands |= {name: _chain_command(home, ports[name]) for name in own}
    commands |= {
        "coordinator": module(
            "coordinator",
            home=home.data("coordinator"),
            port=ports["coordinator"],
            chain=chain,
            keys=home.keys,
        )
    }
    commands |= {
        name: node_command(home, name, roles, coordinator, zygote) for name, roles in nodes.items()
    }
    plans = tuple(
        Plan(
            name,
            command,
            runner_environment(home) if name == "zygote" else clean_environment(),
            home.log(name),
            once=tuple(part for fault in planted.get(name, ()) for part in ("--fault", fault)),
        )
        for name, command in commands.items()
    )
    return Layout(plans, home, coordinator, chain, zygote, keys.SUBMITTER, ports)


def _chain_command(home: Home, port: int) -> tuple[str, ...]:
    place, genesis = home.data("chain"), keys.genesis(home)
    return module("gensyn_lightning.chain.daemon", home=place, port=port, genesis=genesis)


def node_command(
    home: Home, name: str, roles: str, coordinator: str, zygote: Path
) -> tuple[str, ...]:
    """Return the command that runs a node of the embedded network."""
    return (
        *module(
            "gensyn_lightning.node",
            home=home.data(name),
            keys=home.keys,
            name=name,
            roles=roles,
            coordinator=coordinator,
            domain=home.data("chain") / "chain.json",
            zygote=zygote,
            store=home.store,
        ),
        "--embedded",
    )


def module(module_name: str, /, **options: object) -> tuple[str, ...]:
    """Return the command that runs a module of ours with this interpreter."""
    flags = (part for key, value in options.items() for part in (f"--{key}", str(value)))
    return (sys.executable, "-P", "-m", module_name, *flags)


def clean_environment() -> dict[str, str]:
    """Return the little of the environment that our processes may see."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {"PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/"} | kept


def runner_environment(home: Home) -> dict[str, str]:
    """Return the environment of the zygote: the runner's normal form, and no place called home."""
    from gensyn_lightning.training.normal import ENVIRONMENT

    # OpenBLAS starts its threads when NumPy is imported, and a process with threads must not fork.
    return clean_environment() | dict(ENVIRONMENT) | {"OPENBLAS_NUM_THREADS": "1"}


def _by_node(faults: Sequence[str], nodes: Mapping[str, str]) -> dict[str, list[str]]:
    planted: dict[str, list[str]] = {}
    for each in faults:
        node, _, fault = each.partition("=")
        if node not in nodes or not fault:
            raise ConfigError(
                f"a fault is NODE=KIND@EVENT, not {each!r}", hint=f"nodes are {', '.join(nodes)}"
            )
        planted.setdefault(node, []).append(fault)
    return planted


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now; who restarts a process gives it the same one again."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _accepts(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _socket_path(home: Home) -> Path:
    """Return where the zygote listens: under home, unless the kernel finds that too long."""
    path = home.path / "zygote"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    return Path(tempfile.mkdtemp(prefix="gensyn-")) / "zygote"
