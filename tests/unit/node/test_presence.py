"""A node's owner sees whether it runs and what it does, and can ask it to leave."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.node import presence
from gensyn_lightning.node.presence import Doing, Presence, Standing
from gensyn_lightning.wire.nodes import WorkKind

WORK: Any = SimpleNamespace(
    kind=WorkKind.CHECK, job_id=bytes(32), task=SimpleNamespace(index=4), work_id=bytes(32)
)


def test_nobody_is_seen_where_no_node_runs(tmp_path: Path) -> None:
    assert presence.look(tmp_path / "nobody") is None
    taken = Presence(tmp_path / "node")
    assert presence.look(tmp_path / "node") is None, "it is not at work yet"
    taken.show(())
    assert presence.look(tmp_path / "node") == Standing(os.getpid(), False, ())
    taken.left()


def test_what_a_node_has_in_hand_is_shown(tmp_path: Path) -> None:
    taken = Presence(tmp_path)
    taken.show([WORK])
    found = presence.look(tmp_path)
    assert found is not None
    assert found.works == (Doing("check", "00" * 32, 4),)
    taken.left()


def test_a_node_is_asked_to_leave_and_shows_that_it_heard(tmp_path: Path) -> None:
    taken = Presence(tmp_path)
    taken.show([WORK])
    assert not taken.asked_to_leave()
    presence.ask_to_leave(tmp_path)
    assert taken.asked_to_leave()
    taken.leaving()
    found = presence.look(tmp_path)
    assert found is not None
    assert (found.leaving, len(found.works)) == (True, 1)
    taken.left()
    assert not taken.asked_to_leave()
    assert presence.look(tmp_path) is None


def test_a_folder_has_one_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "LOCK_S", 0.0)
    first = Presence(tmp_path)
    first.show(())
    with pytest.raises(ConfigError, match="already"):
        Presence(tmp_path)
    first.left()


def test_a_dead_node_is_not_seen(tmp_path: Path) -> None:
    code = "import sys, pathlib; from gensyn_lightning.node.presence import Presence\n"
    code += "Presence(pathlib.Path(sys.argv[1])).show(())"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "node.json").exists()
    assert presence.look(tmp_path) is None, "its lock went with it"


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"pid": 1, "leaving": False})])
def test_what_is_damaged_is_said(tmp_path: Path, text: str) -> None:
    taken = Presence(tmp_path)
    (tmp_path / "node.json").write_text(text)
    with pytest.raises(ConfigError, match=r"node\.json"):
        presence.look(tmp_path)
    taken.left()
