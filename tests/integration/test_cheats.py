"""Each planted cheat is caught at audit rate 1, the log says where, the model is the honest one.

One network runs through all of them. Its nodes are started by hand: `one` and `two` train and
arbitrate, `cheat` trains, `watch` checks. For a cheat, `cheat` is alone until it holds the segment
it cheats in; for a lie, `watch` lies and the others are honest.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from gensyn_lightning import config
from gensyn_lightning.client import LogEntry
from gensyn_lightning.identity import open_account
from gensyn_lightning.network import Home, Network, NetworkInfo
from gensyn_lightning.network.keys import pin_node

SOAK_ROUNDS = 20
SECOND_SEGMENT = 16
ROLES = {"one": "solve", "two": "solve", "cheat": "solve", "watch": "verify"}


@dataclass(frozen=True)
class Cheat:
    """How a cheat is planted, what the replay must find otherwise, and how its attempt ends."""

    kind: str
    ends: str
    field: str | None = None
    event: int = 0

    def __str__(self) -> str:
        return self.kind


CHEATS = (
    Cheat("bit-flip", "refuted", "end_root"),
    Cheat("skip-batches", "refuted", "tape_root"),
    Cheat("stale-state", "refuted", "end_root", SECOND_SEGMENT),
    Cheat("echo-root", "refuted", "witness"),
    Cheat("forged-metrics", "refuted", "outputs_root"),
    Cheat("poisoned-checkpoint", "refuted", "outputs_root", SECOND_SEGMENT),
    Cheat("withhold-salt", "saltwithheld"),
    Cheat("withhold-state", "nodefailed"),
)
LIES = {"lie-match": "witness", "lie-no-match": "end_root"}


@dataclass
class Arena:
    """A network whose nodes come and go."""

    network: NetworkInfo
    folder: Path
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    honest: Any = None
    rounds: int = 0

    def address(self, name: str) -> str:
        return open_account(Path(self.network.keys), name).address.hex()

    def start(self, *names: str, fault: str | None = None) -> None:
        for name in names:
            self.end(name)
            faults = [fault] if fault else []
            self.nodes[name] = Network.add_node(self.network, name, ROLES[name], faults)

    def end(self, *names: str) -> None:
        for name in names:
            node = self.nodes.pop(name, None)
            if node is not None:
                node.kill()
                node.wait()

    def train(self, fit_in: Any, hear: Any = lambda entry: None) -> Any:
        self.rounds += 1
        folder = self.folder / str(self.rounds)
        folder.mkdir()
        return fit_in(Path(self.network.home), folder, hear, epochs=3)()

    def expect(self, fit_in: Any) -> Any:
        if self.honest is None:
            self.start("one", "two", "watch")
            self.honest = self.train(fit_in)
        return self.honest

    def check_is_honest(self, trained: Any) -> None:
        assert trained.outcome.verdict == "VERIFIED"
        assert trained.outcome.end_root == self.honest.outcome.end_root
        for name, each in self.honest.weights.items():
            assert torch.equal(trained.weights[name], each)

    def catch(self, fit_in: Any, cheat: Cheat) -> None:
        self.expect(fit_in)
        self.end("one", "two")
        self.start("watch")
        self.start("cheat", fault=f"{cheat.kind}@{cheat.event}")
        index = 1 if cheat.event else 0
        mine = self.address("cheat")

        def hear(entry: LogEntry) -> None:
            if entry.kind == "leased" and entry.body["index"] == index and "one" not in self.nodes:
                assert entry.body["solver"] == mine
                self.start("one", "two")

        trained = self.train(fit_in, hear)
        ended = [each for each in trained.entries(cheat.ends) if each["index"] == index]
        assert [each["solver"] for each in ended] == [mine]
        if cheat.field is not None:
            reports = trained.entries("reported")
            found = [r for r in reports if r["index"] == index and r["verdict"] == "NO_MATCH"]
            assert {each["field"] for each in found} == {cheat.field}
        assert mine in json.dumps(trained.report())
        self.check_is_honest(trained)

    def expose(self, fit_in: Any, lie: str, where: str) -> None:
        self.expect(fit_in)
        self.start("watch", fault=f"{lie}@0")
        self.start("one", "two", "cheat")
        trained = self.train(fit_in)
        arbitrated = trained.entries("arbitrated")
        assert [(a["index"], a["outcome"]) for a in arbitrated] == [(0, "UPHELD")]
        assert arbitrated[0]["accuser"] == self.address("watch")
        accusations = [e for e in trained.entries("reported") if e["verdict"] == "NO_MATCH"]
        assert [each["field"] for each in accusations] == [where]
        assert not trained.entries("refuted")
        self.check_is_honest(trained)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    home = tmp_path_factory.mktemp("home")
    settings = config.resolve({"home": home, "solvers": 0, "verifiers": 0, "idle_minutes": 60})
    network = Network.ensure(settings, lambda text: None)
    for name in ROLES:
        pin_node(Home(home), name, "solve,verify")
    made = Arena(network, tmp_path_factory.mktemp("fits"))
    yield made
    made.end(*ROLES)
    Network.stop(home)


@pytest.mark.parametrize("cheat", CHEATS, ids=str)
def test_a_cheat_is_caught_and_its_segment_trained_again(
    arena: Arena, fit_in: Any, cheat: Cheat
) -> None:
    arena.catch(fit_in, cheat)


@pytest.mark.parametrize("lie", LIES)
def test_a_verifier_that_lies_is_found_out(arena: Arena, fit_in: Any, lie: str) -> None:
    arena.expose(fit_in, lie, LIES[lie])


@pytest.mark.soak
@pytest.mark.parametrize("cheat", CHEATS * SOAK_ROUNDS, ids=str)
def test_every_cheat_is_caught_every_time(arena: Arena, fit_in: Any, cheat: Cheat) -> None:
    arena.catch(fit_in, cheat)


@pytest.mark.soak
@pytest.mark.parametrize("lie", list(LIES) * SOAK_ROUNDS)
def test_every_lie_is_found_out_every_time(arena: Arena, fit_in: Any, lie: str) -> None:
    arena.expose(fit_in, lie, LIES[lie])
