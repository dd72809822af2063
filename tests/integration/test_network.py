"""An embedded network as its user meets it: one command up, healed by itself, gone when told."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gensyn_lightning import config
from gensyn_lightning.client import Client
from gensyn_lightning.identity import Identity, open_account
from gensyn_lightning.network import Home, Network, NetworkInfo
from gensyn_lightning.network.home import read_info
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import parse_address

WAIT_S = 60.0
GENSYN = (sys.executable, "-m", "gensyn_lightning.cli.__main__")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> config.Config:
    home = tmp_path_factory.mktemp("home")
    return config.resolve({"home": home, "solvers": 2, "verifiers": 1})


@pytest.fixture(scope="module")
def network(settings: config.Config) -> Iterator[NetworkInfo]:
    yield Network.ensure(settings, lambda text: None)
    Network.stop(settings.home)


def connect(info: NetworkInfo) -> Client:
    domain = Domain(int(info.domain["chain_id"]), parse_address(str(info.domain["escrow"])))
    account = open_account(Path(info.keys), info.submitter)
    return Client(info.coordinator, Identity(account, domain), patience_s=WAIT_S)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def now(network: NetworkInfo) -> NetworkInfo:
    found = read_info(Home(Path(network.home)))
    assert found is not None
    return found


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_network_comes_up_and_every_node_reports(network: NetworkInfo) -> None:
    with connect(network) as client:
        until(lambda: len(client.network().nodes) == 3)
        nodes = {each.name: each for each in client.network().nodes}
    assert {name for name, each in nodes.items() if each.solves} == {"solver-1", "solver-2"}
    assert nodes["verifier-1"].verifies
    assert len({each.numerics for each in nodes.values()}) == 1
    assert {each.sandbox_tier for each in nodes.values()} == {"none"}


def test_a_second_user_finds_the_running_network(
    network: NetworkInfo, settings: config.Config
) -> None:
    said: list[str] = []
    assert Network.ensure(settings, said.append).supervisor == network.supervisor
    assert said == []


def test_nobody_else_may_look_into_the_home(network: NetworkInfo) -> None:
    home = Path(network.home)
    for each in (home, home / "keys", home / "data", home / "logs"):
        assert each.stat().st_mode & 0o077 == 0
    for each in (home / "network.json", home / "trust.json", Path(network.zygote)):
        assert each.stat().st_mode & 0o077 == 0


def test_no_process_was_given_a_secret(network: NetworkInfo) -> None:
    passwords = [each.read_text() for each in Path(network.keys).glob("*.password")]
    assert passwords
    for pid in now(network).processes.values():
        visible = (
            Path(f"/proc/{pid}/environ").read_text() + Path(f"/proc/{pid}/cmdline").read_text()
        )
        assert not any(each in visible for each in passwords)


@pytest.mark.parametrize("name", ["chain", "coordinator", "zygote", "solver-1", "verifier-1"])
def test_what_is_killed_comes_back_at_the_same_address(network: NetworkInfo, name: str) -> None:
    before = now(network)
    os.kill(before.processes[name], signal.SIGKILL)
    until(lambda: now(network).processes[name] not in {0, before.processes[name]})
    with connect(network) as client:
        until(lambda: len(client.network().nodes) == 3)
    after = now(network)
    assert (after.coordinator, after.chain) == (before.coordinator, before.chain)


def test_a_network_that_is_left_alone_stops_by_itself(tmp_path: Path) -> None:
    settings = config.resolve(
        {"home": tmp_path, "solvers": 1, "verifiers": 0, "idle_minutes": 1 / 600}
    )
    info = Network.ensure(settings, lambda text: None)
    pids = [info.supervisor, *info.processes.values()]
    until(lambda: not alive(pids))
    assert Network.find(tmp_path) is None


def test_a_supervisor_that_dies_takes_its_children_along(tmp_path: Path) -> None:
    settings = config.resolve({"home": tmp_path, "solvers": 1, "verifiers": 0})
    info = Network.ensure(settings, lambda text: None)
    os.kill(info.supervisor, signal.SIGKILL)
    until(lambda: not alive([info.supervisor, *info.processes.values()]))
    assert Network.find(tmp_path) is None


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    environ = {**os.environ, "GENSYN_HOME": str(tmp_path), "GENSYN_SOLVERS": "1"}
    command = [*GENSYN, "up", "--verifiers", "0", "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        yield process, environ


def test_up_stays_in_the_foreground_and_down_ends_it(
    up: tuple[subprocess.Popen[bytes], dict[str, str]],
) -> None:
    process, environ = up
    assert process.stdout is not None
    document = json.loads(process.stdout.readline())
    assert set(document["processes"]) == {"chain", "coordinator", "zygote", "solver-1"}
    again = subprocess.run([*GENSYN, "up"], env=environ, capture_output=True, check=False)
    assert again.returncode == 1
    assert b"gensyn down" in again.stderr
    subprocess.run([*GENSYN, "down"], env=environ, check=True, capture_output=True)
    assert process.wait(WAIT_S) == 0
    assert not alive(list(document["processes"].values()))


def test_interrupting_up_ends_the_network(
    up: tuple[subprocess.Popen[bytes], dict[str, str]],
) -> None:
    process, _ = up
    assert process.stdout is not None
    document = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.wait(WAIT_S)
    until(lambda: not alive(list(document["processes"].values())))


def test_a_node_refuses_to_run_strangers_programs_without_a_sandbox(
    network: NetworkInfo, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "gensyn_lightning.node", "--name", "stray"]
    places = {"home": tmp_path, "keys": tmp_path / "keys", "domain": tmp_path / "d"}
    places |= {"zygote": network.zygote, "coordinator": network.coordinator}
    flags = [part for name, value in places.items() for part in (f"--{name}", str(value))]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "no sandbox" in done.stderr
    done = subprocess.run(
        [*command, *flags, "--fault", "crash@1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
