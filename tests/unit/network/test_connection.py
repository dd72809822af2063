"""Commands and notebooks reach the network that settings name, and start none."""

import os
from pathlib import Path

import pytest

from gensyn_lightning import config
from gensyn_lightning.config import Config
from gensyn_lightning.errors import ConfigError
from gensyn_lightning.identity import open_or_create
from gensyn_lightning.network.connection import known_network, submitter
from gensyn_lightning.network.home import Home, NetworkInfo, write_info

ELSEWHERE = "127.0.0.1:4100"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").make()


def settings(home: Home, coordinator: str | None = None) -> Config:
    flags = {"home": str(home.path), "coordinator": coordinator}
    return config.resolve(flags, environ={"HOME": str(home.path)}, folder=home.path)


def record(home: Home, supervisor: int, coordinator: str = ELSEWHERE) -> NetworkInfo:
    info = NetworkInfo(
        home=str(home.path),
        coordinator=coordinator,
        chain="http://127.0.0.1:1",
        zygote=str(home.path / "zygote"),
        trust=str(home.trust),
        keys=str(home.keys),
        submitter="submitter",
        supervisor=supervisor,
        started_ms=0,
        version="0",
        domain={"chain_id": 7, "escrow": "0x" + "ab" * 20},
        processes={},
    )
    write_info(home, info)
    return info


def test_a_home_without_a_network_says_how_to_start_one(home: Home) -> None:
    with pytest.raises(ConfigError, match="no network runs in") as error:
        known_network(settings(home))
    assert "gensyn up" in str(error.value)


def test_a_network_whose_supervisor_is_gone_does_not_run(home: Home) -> None:
    record(home, supervisor=os.getpid())  # alive, but it holds no lock
    with pytest.raises(ConfigError, match="no network runs in"):
        known_network(settings(home))


def test_a_network_elsewhere_is_known_by_its_record(home: Home) -> None:
    info = record(home, supervisor=1)
    assert known_network(settings(home, ELSEWHERE)) == info


@pytest.mark.parametrize("kept", [None, "127.0.0.1:9"])
def test_a_network_elsewhere_without_its_record_is_refused(home: Home, kept: str | None) -> None:
    if kept:
        record(home, 1, kept)
    with pytest.raises(ConfigError, match="nothing is known here") as error:
        known_network(settings(home, ELSEWHERE))
    assert "network.json" in str(error.value)


def test_who_submits_signs_for_this_network(home: Home) -> None:
    info = record(home, 1)
    account = open_or_create(home.keys, "submitter")
    found = submitter(info)
    assert found.account.address == account.address
    assert (found.domain.chain_id, found.domain.escrow) == (7, bytes.fromhex("ab" * 20))
