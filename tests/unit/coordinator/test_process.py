"""The coordinator as a process between a real chain and a real client, killed and brought back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.client import Client
from gensyn_lightning.identity import Identity, create_account
from gensyn_lightning.protocol.digest import Money, Nonce, digest_of, keccak, parse_address
from gensyn_lightning.protocol.job import Job, State
from gensyn_lightning.protocol.parameters import EMBEDDED

WAIT_S = 60.0


@dataclass
class Place:
    """A chain that runs, and everything needed to run a coordinator beside it."""

    home: Path
    url: str
    ledger: EthereumLedger
    identity: Identity

    def start(self) -> tuple[subprocess.Popen[str], str]:
        options = ["--home", self.home / "coordinator", "--keys", self.home / "keys"]
        command = [sys.executable, "-m", "coordinator", *options, "--chain", self.url]
        process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "listening on" in line, line + process.stderr.read()
        written = json.loads((self.home / "coordinator/address.json").read_text())
        assert written == {"address": line.split()[-1], "pid": process.pid}
        return process, written["address"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("home")
    operator = create_account(home / "keys", "coordinator")
    submitter = create_account(home / "keys", "submitter")
    (home / "chain").mkdir()
    genesis = home / "chain/genesis.json"
    balances = {submitter.address.hex(): "1000000"}
    genesis.write_text(json.dumps({"operator": operator.address.hex(), "balances": balances}))
    command = [sys.executable, "-m", "gensyn_lightning.chain.daemon", "--home", home / "chain"]
    command += ["--port", "0", "--genesis", genesis]
    chain = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    try:
        assert chain.stdout is not None
        info: dict[str, Any] = json.loads(chain.stdout.readline())
        ledger = EthereumLedger(info["url"], parse_address(info["escrow"]))
        yield Place(home, info["url"], ledger, Identity(submitter, ledger.domain()))
    finally:
        chain.terminate()
        chain.wait()
        if chain.stdout is not None:
            chain.stdout.close()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def end(process: subprocess.Popen[str], sent: signal.Signals) -> str:
    process.send_signal(sent)
    process.wait(WAIT_S)
    assert process.stderr is not None
    rest = process.stderr.read()
    process.stderr.close()
    return rest


def test_a_job_outlives_kills_of_the_coordinator_and_is_refunded_once(place: Place) -> None:
    process, address = place.start()
    job = Job(
        program=digest_of(b"program"),
        submitter=place.identity.address,
        nonce=Nonce(os.urandom(16)),
        numerics="native:test",
        initial_root=keccak(b"initial"),
        sandbox_tier="none",
        budget=Money(1000),
        value_at_stake=Money(0),
        parameters=EMBEDDED,
    )
    before = place.ledger.balance(place.identity.address)
    with Client(address, place.identity) as client:
        client.upload({job.program: b"program"})
        name = client.submit(job, [job.program])
        place.ledger.deposit(place.identity.account, job)
        until(lambda: client.job(name).state is State.TRAINING)
    end(process, signal.SIGKILL)

    process, address = place.start()
    with Client(address, place.identity) as client:
        assert client.job(name).state is State.TRAINING
        client.cancel(name)
    end(process, signal.SIGKILL)

    process, address = place.start()
    with Client(address, place.identity) as client:
        kinds = [each.kind for each in client.events(name)]
        assert kinds == ["submitted", "escrowed", "stopped", "refunded"]
        assert client.job(name).state is State.REFUNDED
        assert json.loads(client.dossier(name))["settlement"]["kind"] == "REFUND"
    assert place.ledger.balance(place.identity.address) == before
    assert end(process, signal.SIGTERM) == ""
    assert process.returncode == 0


def test_a_second_coordinator_in_the_same_home_is_refused(place: Place) -> None:
    process, _ = place.start()
    command = [sys.executable, "-m", "coordinator", "--home", str(place.home / "coordinator")]
    second = subprocess.run(
        [*command, "--chain", place.url], capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert "another coordinator" in second.stderr
    end(process, signal.SIGTERM)


def test_importing_the_coordinator_loads_nothing_heavy() -> None:
    script = (
        "import sys, coordinator, coordinator.process\n"
        "print(sorted({'torch', 'web3', 'jsonschema', 'pickle5'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
