from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from gensyn_lightning.cli.verify import verify
from gensyn_lightning.errors import ConfigError

app = typer.Typer()
app.command()(verify)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("GENSYN_HOME", str(place))
    return place


def run(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(each) for each in words])


def trust_file(path: Path, pins: Any) -> Path:
    rows = [
        {"account": signer.account.hex(), "name": name, "roles": [signer.role]}
        for signer, name in pins.names.items()
    ]
    path.write_text(json.dumps({"schema": "gensyn-trust/1", "accounts": rows}))
    return path


def test_pinned_by_a_file_an_honest_report_exits_0(honest: Any, tmp_path: Path) -> None:
    path, pins = honest
    done = run(path, "--trust", trust_file(tmp_path / "t.json", pins))
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "VERIFIED" in done.stderr


def test_pinned_by_this_machines_network_it_exits_0(honest: Any, home: Path) -> None:
    path, pins = honest
    trust_file(home / "trust.json", pins)
    assert run(path).exit_code == 0


def test_unpinned_it_exits_4_and_says_whom_to_pin(honest: Any, tmp_path: Path) -> None:
    path, _ = honest
    done = run(path)
    assert done.exit_code == 4
    assert "consistent; signers unknown" in done.stderr
    shown = done.stderr[done.stderr.index("{") :]
    (tmp_path / "pasted.json").write_text(shown)
    assert run(path, "--trust", tmp_path / "pasted.json").exit_code == 0


def test_a_changed_report_exits_3(honest: Any, tmp_path: Path) -> None:
    path, pins = honest
    changed = tmp_path / "changed.json"
    changed.write_bytes(path.read_bytes().replace(b'"batches":8', b'"batches":9', 1))
    done = run(changed, "--trust", trust_file(tmp_path / "t.json", pins))
    assert done.exit_code == 3
    assert "FAIL" in done.stderr


def test_json_is_one_document(honest: Any, documents: Any, tmp_path: Path) -> None:
    path, pins = honest
    done = run(path, "--json", "--trust", trust_file(tmp_path / "t.json", pins))
    (document,) = documents(done.stdout)
    assert (document["schema"], document["exit_code"]) == ("gensyn-verify/1", 0)
    assert all(each["result"] == "PASS" for each in document["checks"])
    assert {each["role"] for each in document["signers"]} >= {"submitter", "coordinator"}


def test_a_model_that_is_not_the_reports_exits_3(honest: Any, tmp_path: Path) -> None:
    path, pins = honest
    (tmp_path / "m.ckpt").write_bytes(b"no checkpoint")
    known = trust_file(tmp_path / "t.json", pins)
    assert run(path, "--trust", known, "--model", tmp_path / "m.ckpt").exit_code == 3


def test_a_missing_file_is_an_error_not_a_mismatch(tmp_path: Path) -> None:
    done = run(tmp_path / "missing.json")
    assert isinstance(done.exception, ConfigError)


def test_a_wrong_flag_exits_2(honest: Any) -> None:
    assert run(honest[0], "--replay", "-1").exit_code == 2


def test_a_named_chain_needs_a_named_escrow(honest: Any) -> None:
    done = run(honest[0], "--chain", "http://127.0.0.1:1")
    assert isinstance(done.exception, ConfigError)
