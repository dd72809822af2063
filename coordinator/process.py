"""A coordinator assembled: store, artifacts, ledger, engine, server, and the loops that drive them.

It may be killed at any moment: what it knows is in `HOME/coordinator.db` and `HOME/artifacts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator import limits
from coordinator.clock import SystemClock
from coordinator.disputing import ThirdKey
from coordinator.engine import Engine
from coordinator.errands import LedgerWorker
from coordinator.evidence import StoredEvidence
from coordinator.handing_in import HandingIn
from coordinator.jobs import Jobs
from coordinator.network import Network
from coordinator.nodes import Nodes
from coordinator.rows import ActionRow, JobRow
from coordinator.service import EngineThread, JobDesk, NodeDesk
from coordinator.sqlite_store import SqliteStore
from gensyn_lightning.artifacts import FolderArtifacts
from gensyn_lightning.artifacts.serving import ArtifactService
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.chain.ledger import Ledger
from gensyn_lightning.errors import ConfigError, GensynError, LedgerError
from gensyn_lightning.identity import RequestVerifier, open_or_create
from gensyn_lightning.protocol.digest import Address, parse_address
from gensyn_lightning.protocol.parameters import EMBEDDED, Parameters
from gensyn_lightning.wire import jobs as jobs_wire
from gensyn_lightning.wire import nodes as nodes_wire
from gensyn_lightning.wire import transfer as transfer_wire
from gensyn_lightning.wire.serving import Gate, new_server

ACCOUNT = "coordinator"
CHAIN_WAIT_S = 60.0
POLL_S = 0.05
GRACE_S = 2.0
FILE_BYTES_MAX = 1 << 16
STALE_STAGE_S = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Where things are; `contracts` is a file that names the chain's escrow contract."""

    home: Path
    keys: Path
    port: int
    chain: str
    contracts: Path
    single_operator: bool


async def serve(options: Options) -> None:
    """Answer until SIGTERM or SIGINT."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    options.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(options.home):
        stopped = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stopped.set)
        store = SqliteStore(options.home / "coordinator.db")
        try:
            await _serve(options, store, stopped)
        finally:
            store.close()


async def _serve(options: Options, store: SqliteStore, stopped: asyncio.Event) -> None:
    ledger = await _ledger(options)
    account = open_or_create(options.keys, ACCOUNT)
    parameters = EMBEDDED if options.single_operator else Parameters()
    domain = await asyncio.to_thread(ledger.domain)
    receipts = await asyncio.to_thread(ledger.receipts_address)
    network = Network(domain, receipts, account, parameters, options.single_operator)
    artifacts = FolderArtifacts(options.home / "artifacts")
    artifacts.collect(time.time() - STALE_STAGE_S)
    thread = EngineThread()
    engine = await thread.run(Engine, store, SystemClock(), ThirdKey(), thread.ring)
    nodes = Nodes(engine, parameters.lease_ms // 4)
    scratch = options.home / "scratch"
    scratch.mkdir(exist_ok=True)
    evidence = StoredEvidence(artifacts, domain, scratch, limits.STATE_BYTES_MAX)
    handing_in = HandingIn(nodes, artifacts, evidence, domain, account.address)

    server, gate = new_server(), Gate(RequestVerifier(domain))
    gate.add(server, jobs_wire.RPCS, JobDesk(thread, Jobs(engine, artifacts, network)))
    gate.add(server, nodes_wire.RPCS, NodeDesk(thread, nodes, handing_in))
    gate.add(server, transfer_wire.RPCS, ArtifactService(artifacts, account, domain))
    port = server.add_insecure_port(f"127.0.0.1:{options.port}")
    await server.start()
    _announce(options.home / "address.json", port)
    worker = LedgerWorker(ledger, account)
    loops = [
        asyncio.create_task(asyncio.to_thread(importlib.import_module, "web3")),  # takes a second
        asyncio.create_task(_keep(_tick, thread, engine)),
        asyncio.create_task(_keep(_errands, thread, engine, worker)),
    ]
    await stopped.wait()
    await server.stop(GRACE_S)
    for each in loops:
        each.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    thread.close()


async def _keep(step: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """Repeat a step for ever; what goes wrong once is logged and tried again."""
    while True:
        try:
            await step(*arguments)
        except Exception:
            _log.exception("%s failed", step.__name__)
            await asyncio.sleep(1)


async def _tick(thread: EngineThread, engine: Engine) -> None:
    """Do what the clock has due, then wait until it next has, or something has changed."""
    bell = thread.bell()
    await thread.run(engine.tick)
    due_ms = await thread.run(engine.due_ms)
    await asyncio.sleep(limits.TICK_MS / 1000)
    await thread.wait(bell, _until_s(engine, due_ms))


async def _errands(thread: EngineThread, engine: Engine, worker: LedgerWorker) -> None:
    bell = thread.bell()
    found = await thread.run(_due, engine)
    for action, row in found:
        outcome = await asyncio.to_thread(worker.run, action, row)
        if outcome.done:
            await thread.run(engine.done, action, outcome.stamp)
        else:
            await thread.run(engine.postponed, action, outcome.reason)
    if not found:
        await thread.wait(bell, _until_s(engine, await thread.run(engine.errand_due_ms)))


def _until_s(engine: Engine, due_ms: int | None) -> float:
    """Return how long to wait for what is due then, without changes: not too long."""
    left_ms = limits.IDLE_MS if due_ms is None else due_ms - engine.now_ms()
    return min(max(left_ms, 0), limits.IDLE_MS) / 1000


def _due(engine: Engine) -> list[tuple[ActionRow, JobRow]]:
    return [(each, engine.page(each.job).job) for each in engine.errands()]


async def _ledger(options: Options) -> Ledger:
    """Return the ledger once the chain answers."""
    until_s = time.monotonic() + CHAIN_WAIT_S
    while True:
        try:
            ledger = EthereumLedger(options.chain, _escrow(options.contracts))
            await asyncio.to_thread(ledger.block)
            return ledger
        except (FileNotFoundError, LedgerError) as error:
            if time.monotonic() > until_s:
                raise ConfigError(
                    f"the chain at {options.chain} does not answer: {error}",
                    hint="is it running?",
                ) from None
            await asyncio.sleep(POLL_S)


def _escrow(path: Path) -> Address:
    with path.open() as file:
        text = file.read(FILE_BYTES_MAX)
    try:
        return parse_address(json.loads(text)["escrow"])
    except (GensynError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} names no escrow contract: {error}") from None


def _announce(path: Path, port: int) -> None:
    """Write the address where others look for it, in one step, and say it once."""
    address = f"127.0.0.1:{port}"
    staged = path.with_suffix(".new")
    staged.write_text(json.dumps({"address": address, "pid": os.getpid()}))
    staged.replace(path)
    print(f"coordinator: listening on {address}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "coordinator.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another coordinator serves {home}", hint="stop it with: gensyn down"
            ) from None
        yield
