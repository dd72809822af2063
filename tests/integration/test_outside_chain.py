"""A network whose contracts are on a chain that somebody else runs: `gensyn up --chain URL`."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.network import Home, Network
from gensyn_lightning.protocol.digest import parse_address, parse_digest

ETHER = 10**18
AWAY_S = 2.0
Done = subprocess.CompletedProcess[str]
Gensyn = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "g"
    Network.stop(tmp_path / "g")


@pytest.fixture
def gensyn(home: Path, tmp_path: Path) -> Gensyn:
    def run(*arguments: str, home: Path = home) -> Done:
        command = [sys.executable, "-m", "gensyn_lightning.cli.__main__", *arguments]
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GENSYN_HOME": str(home)}
        environ |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environ, check=False
        )

    return run


def up(gensyn: Gensyn, *flags: str) -> dict[str, Any]:
    done = gensyn("up", "--detach", "--json", "--solvers", "1", "--verifiers", "1", *flags)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def funded(gensyn: Gensyn, node: Any) -> dict[str, Any]:
    """Bring a network up on a node, giving money to whom it asks for."""
    told = gensyn("up", "--detach", "--chain", node.url)
    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    named = dict(re.findall(r"(coordinator|submitter) 0x([0-9a-f]{40})", line))
    assert named.keys() == {"coordinator", "submitter"}, line
    for account in named.values():
        node.fund(bytes.fromhex(account), ETHER)
    return up(gensyn, "--chain", node.url)


def chain_lines(done: Done) -> dict[str, str]:
    checks = json.loads(done.stdout)["checks"]
    return {each["name"]: each["result"] for each in checks if "chain" in each["name"]}


def test_a_job_is_verified_on_a_chain_that_goes_away_for_a_moment(
    gensyn: Gensyn, home: Path, tmp_path: Path, anvil: Any, fit_in: Any
) -> None:
    # A block a second, so that everybody has to wait for receipts.
    node = anvil("--block-time=1", f"--state={tmp_path / 'state'}", "--chain-id=4242")
    info = funded(gensyn, node)
    assert info["domain"]["chain_id"] == 4242
    assert "chain" not in info["processes"]
    away = threading.Timer(0.0, lambda: None)

    def leave(entry: Any) -> None:
        nonlocal away
        if entry.kind == "escrowed":
            node.stop()
            away = threading.Timer(AWAY_S, node.start)
            away.start()

    trained = fit_in(home, tmp_path, leave)()
    away.join()
    assert trained.outcome.verdict == "VERIFIED"
    assert trained.entries("escrowed")

    report = trained.outcome.report
    for flags, place in (
        ((), home),
        (("--chain", node.url, "--escrow", info["domain"]["escrow"]), tmp_path / "stranger"),
    ):
        verified = gensyn("verify", str(report), "--json", *flags, home=place)
        assert verified.returncode == 0, verified.stderr
        lines = chain_lines(verified)
        assert lines.keys() >= {"the receipt is on the chain", "anchors are on the chain"}
        assert set(lines.values()) == {"PASS"}

    name = parse_digest(json.loads(Path(report).read_text())["body"]["dossier"]["job"]["id"])
    ledger = EthereumLedger(node.url, parse_address(info["domain"]["escrow"]))
    receipt = ledger.receipt(name)
    assert receipt is not None
    assert receipt.paid > 0

    assert gensyn("down").returncode == 0
    assert up(gensyn)["domain"] == info["domain"], "the home keeps to its chain without a flag"


def test_a_home_says_what_it_will_not_do(gensyn: Gensyn, home: Path, anvil: Any) -> None:
    node = anvil()
    info = funded(gensyn, node)
    assert gensyn("down").returncode == 0
    node.stop()
    began = time.monotonic()
    gone = gensyn("up", "--detach")
    assert (gone.returncode, len(gone.stderr.splitlines())) == (1, 1)
    assert "does not answer" in gone.stderr
    assert time.monotonic() - began > 10, "a chain may be away for a moment"
    other = anvil("--chain-id=77")
    refused = gensyn("up", "--detach", "--chain", other.url)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "chain 77" in refused.stderr
    record = json.loads((Home(home).data("chain") / "chain.json").read_text())
    assert record["escrow"] == info["domain"]["escrow"]
