"""A network's accounts are made once, pinned by role, and funded by the genesis."""

import json
from pathlib import Path

import pytest

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network import keys
from gensyn_lightning.network.home import Home


def pinned(home: Home) -> dict[str, list[str]]:
    value = json.loads(home.trust.read_text())
    return {each["name"]: each["roles"] for each in value["accounts"]}


def test_accounts_are_made_once_and_stay_pinned(tmp_path: Path) -> None:
    home = Home(tmp_path).make()
    keys.prepare(home, {"solver-1": "solve,verify", "verifier-1": "verify"})
    before = keys.genesis(home).read_bytes()
    keys.prepare(home, {"solver-1": "solve,verify"})
    assert json.loads(home.trust.read_text())["schema"] == keys.TRUST_SCHEMA
    assert keys.genesis(home).read_bytes() == before
    assert pinned(home) == {
        "submitter": ["submitter"],
        "coordinator": ["coordinator"],
        "solver-1": ["solver", "verifier"],
        "verifier-1": ["verifier"],
    }


def test_a_node_keeps_the_roles_it_had(tmp_path: Path) -> None:
    home = Home(tmp_path).make()
    keys.pin_node(home, "n", "solve,verify")
    keys.pin_node(home, "n", "solve")
    assert pinned(home) == {"n": ["solver", "verifier"]}


def test_the_genesis_funds_the_submitter_and_names_the_operator(tmp_path: Path) -> None:
    home = Home(tmp_path).make()
    genesis = json.loads(keys.genesis(home).read_text())
    submitter = keys.pin(home, keys.SUBMITTER, ()).address.hex()
    assert genesis["balances"] == {submitter: str(keys.BALANCE)}
    assert genesis["operator"] == keys.pin(home, keys.OPERATOR, ()).address.hex()


def test_a_damaged_trust_file_is_an_error(tmp_path: Path) -> None:
    home = Home(tmp_path).make()
    home.trust.write_text("{}")
    with pytest.raises(ConfigError, match="damaged"):
        keys.pin_node(home, "n", "solve")
