"""Blocks are written whole or not at all."""

from pathlib import Path

import pytest

from gensyn_lightning.chain.store import SqliteStore


def test_what_a_block_wrote_is_there_after_reopening(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "chain.db")
    with store.block():
        store[b"a"] = b"1"
        store[b"a"] = b"2"
        store[b"b"] = b"3"
        del store[b"b"]
    store.close()
    store = SqliteStore(tmp_path / "chain.db")
    assert store[b"a"] == b"2"
    assert b"b" not in store
    store.close()


def test_an_error_inside_a_block_leaves_nothing_of_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "chain.db")

    def fail() -> None:
        with store.block():
            store[b"a"] = b"1"
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert b"a" not in store
    store.close()


def test_nothing_is_written_outside_a_block(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "chain.db")
    with pytest.raises(RuntimeError):
        store[b"a"] = b"1"
    with pytest.raises(RuntimeError):
        del store[b"a"]
    with pytest.raises(KeyError):
        store[b"a"]
    store.close()
