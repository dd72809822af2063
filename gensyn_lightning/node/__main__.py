"""The node as a process: `python -m gensyn_lightning.node --home DIR --name solver-1 ...`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gensyn_lightning.client import Client
from gensyn_lightning.errors import ConfigError, GensynError, SandboxError
from gensyn_lightning.identity import Identity, Role, open_or_create
from gensyn_lightning.network.child import LEFT
from gensyn_lightning.network.process import die_with_parent, hide_memory
from gensyn_lightning.node.cache import Cache, sharing
from gensyn_lightning.node.cheat import CheatingSolver, LyingVerifier
from gensyn_lightning.node.fault import Faults, parse, refuse_outside
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.loop import Node
from gensyn_lightning.node.memory import Memory
from gensyn_lightning.node.presence import Presence
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.node.segments import Segments
from gensyn_lightning.node.solver import Solver
from gensyn_lightning.node.verifier import Verifier
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import parse_address

REFUSED_TO_START = 78
DOMAIN_BYTES_MAX = 65536
DOMAIN_WAIT_S = 60.0
POLL_S = 0.05
PATIENCE_S = 600.0
VERIFIER_NICE = 5
ROLES = {"solve": Role.SOLVER, "verify": Role.VERIFIER}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a node until it is killed or has left; exit with 78 when it must not start here."""
    options = _parser().parse_args(arguments)
    try:
        if options.die_with:
            die_with_parent(options.die_with)
        refuse_outside(options.embedded, options.fault)
        refuse_strangers(options.embedded)
        hide_memory()
        _run(options)
    except GensynError as error:
        print(f"{options.name}: {error}", file=sys.stderr, flush=True)
        refused = isinstance(error, SandboxError | ConfigError)
        sys.exit(REFUSED_TO_START if refused else 1)
    sys.exit(LEFT)


def refuse_strangers(embedded: bool) -> None:
    """Raise `SandboxError` outside an embedded network: programs of strangers need a sandbox."""
    if not embedded:
        raise SandboxError(
            "this node has no sandbox, so it runs programs of nobody but its own user",
            hint="it works inside an embedded network only: gensyn up",
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gensyn_lightning.node")
    parser.add_argument("--home", type=Path, required=True, help="folder of this node's files")
    parser.add_argument("--keys", type=Path, required=True, help="folder of keystores")
    parser.add_argument("--name", required=True, help="what the node and its account are called")
    parser.add_argument("--roles", default="solve,verify")
    parser.add_argument("--coordinator", required=True)
    parser.add_argument("--domain", type=Path, required=True, help="file with chain_id and escrow")
    parser.add_argument("--zygote", type=Path, required=True)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--store", type=Path, help="the coordinator's artifacts, on this disk")
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("--die-with", type=int, default=0, help="the parent to die with")
    return parser


def _run(options: argparse.Namespace) -> None:
    roles = frozenset(options.roles.split(","))
    if not roles <= ROLES.keys():
        raise ConfigError(f"{options.roles!r} are no roles", hint="solve, verify or solve,verify")
    faults = Faults([parse(each) for each in options.fault])
    presence = Presence(options.home)
    account = open_or_create(options.keys, options.name)
    # A node that only trains may still be drawn to settle a dispute, so its key is lent both roles.
    identity = Identity(account, _domain(options.domain), tuple(ROLES.values()))
    with Client(options.coordinator, identity, patience_s=PATIENCE_S) as client:
        memory = Memory(options.home / "memory")
        fetch = sharing(options.store, client.download) if options.store else client.download
        cache = Cache(options.home / "cache", fetch)
        hear = _hear(faults)
        repeating = Runner(options.zygote, again=True)
        training = Segments(options.home / "solve", cache, repeating, hear)
        yielding = Runner(options.zygote, nice=VERIFIER_NICE)
        checking = Segments(options.home / "check", cache, yielding, hear)
        node = Node(options.name, roles, client, memory, training, presence)
        if options.fault:
            node.say(f"planted: {faults}")
            node.run(
                CheatingSolver(client, training, memory, node.say, faults),
                LyingVerifier(client, checking, memory, node.say, faults),
            )
        else:
            node.run(
                Solver(client, training, memory, node.say),
                Verifier(client, checking, memory, node.say),
            )
        presence.left()


def _hear(faults: Faults) -> Callable[[Held], Callable[[Mapping[str, Any]], None]]:
    return lambda held: faults.watch(held.advance)


def _domain(path: Path) -> Domain:
    """Read which chain and escrow signatures are for; wait for the file while a network starts."""
    deadline = time.monotonic() + DOMAIN_WAIT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise ConfigError(f"{path} does not appear", hint="is the chain running?")
        time.sleep(POLL_S)
    try:
        with path.open() as file:
            value = json.loads(file.read(DOMAIN_BYTES_MAX))
        return Domain(int(value["chain_id"]), parse_address(value["escrow"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} names no chain: {error}", hint=os.fspath(path)) from error


if __name__ == "__main__":
    main()
