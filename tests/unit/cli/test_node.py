"""Names of nodes are the word of strangers, and some become names of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gensyn_lightning.cli import node
from gensyn_lightning.network import Home


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 512, "a\x00b", "é", "a b"])
def test_a_name_that_is_none_names_no_node_of_this_home(name: str, tmp_path: Path) -> None:
    assert not node._is_own(Home(tmp_path).make(), name, "aa" * 20)
