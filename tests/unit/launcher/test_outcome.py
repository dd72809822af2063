"""A report is about the job that was asked for, and VERIFIED only by signers that are known."""

import importlib.util
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gensyn_lightning.errors import ReportError
from gensyn_lightning.launcher import outcome
from gensyn_lightning.launcher.outcome import Effort, check, conclude
from gensyn_lightning.protocol.digest import Money
from gensyn_lightning.protocol.job import State
from gensyn_lightning.report import onchain
from gensyn_lightning.report.trust import Pins

PAPER = Path(__file__).parent.parent / "report/conftest.py"


@dataclass
class Told:
    """A network on paper, whose report `check` fetches, and what its trust file names."""

    paper: Any
    network: Any
    path: Path

    def trust(self, pins: Pins) -> None:
        accounts = [
            {"account": each.account.hex(), "name": "", "roles": [each.role]} for each in pins.names
        ]
        file = {"schema": "gensyn-trust/1", "accounts": accounts}
        Path(self.network.info.trust).write_text(json.dumps(file))

    def verdict(self) -> str:
        done = check(self.network, self.paper.job, self.path)
        return conclude(self.network.client, done, self.path, Effort(0, 0.0, 0.0, 0.0)).verdict


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    spec = importlib.util.spec_from_file_location("gensyn_test_paper", PAPER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    paper = module.Paper()
    monkeypatch.setattr(outcome.fetching, "fetch", lambda *_: paper.report())
    monkeypatch.setattr(onchain, "check", lambda *_: Pins())
    ended = SimpleNamespace(state=State.SETTLED, receipt=None, transaction=None)
    client = SimpleNamespace(identity=paper.submitter.identity, job=lambda _: ended)
    info = SimpleNamespace(trust=str(tmp_path / "trust.json"), chain="")
    made = Told(paper, SimpleNamespace(client=client, info=info), tmp_path / "report.json")
    made.trust(paper.pins())
    return made


def test_known_signers_make_it_verified(told: Told) -> None:
    assert told.verdict() == "VERIFIED"


def test_signers_nobody_knows_do_not(told: Told) -> None:
    told.trust(Pins())
    assert told.verdict() == "UNCONFIRMED"


def test_signers_the_chain_vouches_for_do(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.trust(Pins())
    monkeypatch.setattr(onchain, "check", lambda *_: told.paper.pins())
    assert told.verdict() == "VERIFIED"


def test_a_report_about_another_job_is_refused(told: Told) -> None:
    other = replace(told.paper.job, value_at_stake=Money(1))
    with pytest.raises(ReportError, match="another job"):
        check(told.network, other, told.path)
