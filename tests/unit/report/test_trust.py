from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.protocol.digest import Address
from gensyn_lightning.report import case, trust
from gensyn_lightning.report.trust import Pins, Signer

ACCOUNT = Address(bytes(range(20)))


def file(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "trust.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def one(**changes: Any) -> dict[str, Any]:
    row = {"account": ACCOUNT.hex(), "name": "me", "roles": ["solver", "verifier"]}
    return {"schema": trust.SCHEMA, "accounts": [row | changes]}


def test_an_account_is_pinned_in_its_roles_only(tmp_path: Path) -> None:
    pins = trust.read(file(tmp_path, one()))
    wanted = [Signer("solver", ACCOUNT), Signer("verifier", ACCOUNT), Signer("submitter", ACCOUNT)]
    assert pins.unknown(wanted) == [Signer("submitter", ACCOUNT)]


def test_files_add_up(tmp_path: Path) -> None:
    pins = Pins({Signer("submitter", ACCOUNT): "a"}, ("x",)) | trust.read(file(tmp_path, one()))
    assert len(pins.names) == 3
    assert pins.sources[0] == "x"


@pytest.mark.parametrize(
    "value",
    [
        "no json",
        "[]",
        {"schema": "gensyn-trust/2", "accounts": []},
        {"schema": trust.SCHEMA},
        one(account="00"),
        one(roles=["king"]),
        one(roles=None),
    ],
)
def test_another_form_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match="no trust file"):
        trust.read(file(tmp_path, value))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        trust.read(tmp_path / "missing.json")


def test_signers_are_those_the_statement_rests_on(paper: Any) -> None:
    played = paper(cheats=frozenset({1}))
    found = trust.signers(case.read(played.dossier()))
    assert [each.role for each in found[:2]] == ["submitter", "coordinator"]
    solvers = {each.account for each in found if each.role == "solver"}
    assert solvers == {played.solvers[1].address}, "the refuted solver's word counts for nothing"
