"""What is large has the digest that anything has, and says how far it has come."""

import os
from pathlib import Path

import pytest

from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.training.hashing import RUN_BYTES, digest_of_memory, digest_of_open

LENGTHS = [0, 1, RUN_BYTES, 2 * RUN_BYTES + 3]


@pytest.mark.parametrize("length", LENGTHS)
def test_memory_and_files_have_one_digest(length: int, tmp_path: Path) -> None:
    data = os.urandom(length)
    (tmp_path / "file").write_bytes(data)
    runs: list[int] = []
    assert digest_of_memory(memoryview(data), runs.append) == digest_of(data)
    with (tmp_path / "file").open("rb", buffering=0) as file:
        assert digest_of_open(file, runs.append) == digest_of(data)
    assert sum(runs) == 2 * length
    assert all(each <= RUN_BYTES for each in runs)
