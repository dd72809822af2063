"""`kill -9` at a random moment of a job, and a node that leaves: the same end, paid once."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from gensyn_lightning import config
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.client import LogEntry
from gensyn_lightning.identity import open_account
from gensyn_lightning.network import Home, Network, NetworkInfo
from gensyn_lightning.node import presence
from gensyn_lightning.protocol.digest import Money, parse_address

VICTIMS = ("solver", "verifier", "coordinator", "chain")
SOAK_ROUNDS = 10


@dataclass
class Stage:
    """A network, what a job gives on it when nobody is killed, and how long that takes."""

    network: NetworkInfo
    folder: Path
    calm: Any = None
    seconds: float = 0.0
    rounds: int = 0
    moments: list[str] = field(default_factory=list)

    def balance(self) -> Money:
        escrow = parse_address(str(self.network.domain["escrow"]))
        account = open_account(Path(self.network.keys), self.network.submitter)
        return EthereumLedger(self.network.chain, escrow).balance(account.address)

    def train(self, fit_in: Any, hear: Any) -> Any:
        self.rounds += 1
        folder = self.folder / str(self.rounds)
        folder.mkdir()
        before = self.balance()
        trained = fit_in(Path(self.network.home), folder, hear)()
        assert trained.outcome.verdict == "VERIFIED"
        assert before - self.balance() == trained.outcome.paid
        return trained

    def expect(self, fit_in: Any) -> None:
        if self.calm is None:
            self.calm = self.train(fit_in, lambda entry: None)
            self.seconds = (self.calm.log[-1].at_ms - self.calm.log[0].at_ms) / 1000

    def kill(self, fit_in: Any, assassin: Any, victim: str, chance: random.Random) -> None:
        self.expect(fit_in)
        delay_s = chance.uniform(0, 0.9 * self.seconds)
        deed = assassin(Path(self.network.home), victim, delay_s)
        trained = self.train(fit_in, deed)
        deed.done()
        self.check_is_calm(trained)

    def check_is_calm(self, trained: Any) -> None:
        assert trained.outcome.end_root == self.calm.outcome.end_root
        assert trained.outcome.paid == self.calm.outcome.paid
        assert trained.weights.keys() == self.calm.weights.keys()
        for name, each in self.calm.weights.items():
            assert torch.equal(trained.weights[name], each)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("home")
    settings = config.resolve({"home": home, "solvers": 2, "verifiers": 1, "idle_minutes": 60})
    yield Stage(Network.ensure(settings, lambda text: None), tmp_path_factory.mktemp("fits"))
    Network.stop(home)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_changes_neither_the_model_nor_the_bill(
    stage: Stage, fit_in: Any, assassin: Any, victim: str, seed: int
) -> None:
    stage.kill(fit_in, assassin, victim, random.Random(seed))


@pytest.mark.soak
@pytest.mark.parametrize("victim", VICTIMS * SOAK_ROUNDS)
def test_kills_at_many_moments_change_nothing(
    stage: Stage, fit_in: Any, assassin: Any, victim: str, seed: int
) -> None:
    stage.kill(fit_in, assassin, victim, random.Random(seed))


def test_a_solver_drained_in_mid_job_hands_in_what_it_holds_and_leaves(
    stage: Stage, fit_in: Any, until: Callable[[Callable[[], object]], None]
) -> None:
    stage.expect(fit_in)
    home = Home(Path(stage.network.home))
    accounts = json.loads(home.trust.read_text())["accounts"]
    names = {each["account"]: each["name"] for each in accounts}
    leased: dict[int, str] = {}

    def hear(entry: LogEntry) -> None:
        if entry.kind == "leased":
            leased[entry.body["index"]] = names[entry.body["solver"]]
            if entry.body["index"] == 0:
                presence.ask_to_leave(home.data(leased[0]))

    trained = stage.train(fit_in, hear)
    stage.check_is_calm(trained)
    assert len(leased) > 2
    # It may have been given one more segment before it was asked.
    assert leased[0] not in {name for index, name in leased.items() if index > 1}
    until(lambda: presence.look(home.data(leased[0])) is None)
