"""One suite for every store: what a write promises, and what a reader sees."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.memory_store import MemoryStore
from coordinator.sqlite_store import SqliteStore
from coordinator.store import Change, Conflict, Entry, Seen, Store, Stored
from gensyn_lightning.protocol.digest import Digest, keccak

JOB, OTHER = keccak(b"job"), keccak(b"other")
NEVER = Seen("", 0, 0)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "db")
    yield made
    made.close()


def row(key: str = "a", *, job: Digest = JOB, state: str = "OPEN", fence: int = 0) -> Stored:
    return Stored("task", key, job, state, fence, 1, '{"n":1}')


def entry(cursor: int, *, job: Digest = JOB) -> Entry:
    return Entry(job, cursor, 1_000 + cursor, "leased", '{"index":0}')


def after(stored: Stored, **changes: object) -> Change:
    seen = Seen(stored.state, stored.fence, stored.version)
    return Change(replace(stored, version=stored.version + 1, **changes), seen)  # type: ignore[arg-type]


def test_what_was_written_is_read_back(store: Store) -> None:
    store.write([Change(row(), NEVER)], [entry(1), entry(2)])

    assert store.row("task", "a") == row()
    assert list(store.job(JOB)) == [row()]
    assert list(store.entries(JOB, 0, 10)) == [entry(1), entry(2)]


def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    assert store.row("task", "a") is None
    assert list(store.job(JOB)) == []
    assert list(store.entries(JOB, 0, 10)) == []
    assert list(store.rows("task", states=("OPEN",), limit=10)) == []


def test_a_row_is_replaced_when_it_is_as_it_was_seen(store: Store) -> None:
    store.write([Change(row(), NEVER)], [])
    store.write([after(row(), state="LEASED", fence=7)], [])

    found = store.row("task", "a")
    assert found is not None
    assert (found.state, found.fence, found.version) == ("LEASED", 7, 2)


def test_a_row_that_exists_is_not_created_again(store: Store) -> None:
    store.write([Change(row(), NEVER)], [])
    with pytest.raises(Conflict):
        store.write([Change(row(), NEVER)], [])


def test_a_row_that_does_not_exist_is_not_replaced(store: Store) -> None:
    with pytest.raises(Conflict):
        store.write([after(row())], [])


@pytest.mark.parametrize(
    "seen", [Seen("LEASED", 0, 1), Seen("OPEN", 1, 1), Seen("OPEN", 0, 2)], ids=str
)
def test_another_state_fence_or_version_is_a_conflict(store: Store, seen: Seen) -> None:
    store.write([Change(row(), NEVER)], [])
    with pytest.raises(Conflict):
        store.write([Change(replace(row(), version=seen.version + 1), seen)], [])
    assert store.row("task", "a") == row()


def test_a_version_that_skips_one_is_a_conflict(store: Store) -> None:
    store.write([Change(row(), NEVER)], [])
    with pytest.raises(Conflict):
        store.write([Change(replace(row(), version=3), Seen("OPEN", 0, 1))], [])


def test_a_conflict_anywhere_writes_nothing(store: Store) -> None:
    store.write([Change(row("a"), NEVER)], [entry(1)])
    with pytest.raises(Conflict):
        store.write([Change(row("b"), NEVER), Change(row("a"), NEVER)], [entry(2)])
    with pytest.raises(Conflict):
        store.write([Change(row("c"), NEVER)], [entry(1)])

    assert [each.key for each in store.job(JOB)] == ["a"]
    assert list(store.entries(JOB, 0, 10)) == [entry(1)]


@pytest.mark.parametrize("cursor", [0, 2, 5])
def test_the_log_has_no_gaps(store: Store, cursor: int) -> None:
    store.write([], [entry(1)])
    with pytest.raises(Conflict):
        store.write([], [entry(cursor + (cursor == 2))])


def test_the_log_is_read_from_a_cursor_in_bounded_batches(store: Store) -> None:
    store.write([], [entry(n) for n in range(1, 21)])
    store.write([], [entry(n, job=OTHER) for n in range(1, 4)])

    assert [each.cursor for each in store.entries(JOB, 5, 4)] == [6, 7, 8, 9]
    assert [each.cursor for each in store.entries(OTHER, 1, 100)] == [2, 3]
    assert list(store.entries(JOB, 20, 4)) == []


def test_one_write_may_go_to_several_logs(store: Store) -> None:
    store.write([], [entry(1), entry(1, job=OTHER), entry(2)])
    assert [each.cursor for each in store.entries(JOB, 0, 10)] == [1, 2]
    assert [each.cursor for each in store.entries(OTHER, 0, 10)] == [1]


def test_rows_are_found_by_job_and_by_state_in_order_of_key(store: Store) -> None:
    rows = [row("c"), row("a"), row("b", state="DONE"), row("d", job=OTHER)]
    store.write([Change(each, NEVER) for each in rows], [])

    assert [each.key for each in store.job(JOB)] == ["a", "b", "c"]
    assert [e.key for e in store.rows("task", states=("OPEN",), limit=10)] == ["a", "c", "d"]
    assert [e.key for e in store.rows("task", states=("OPEN", "DONE"), limit=2)] == ["a", "b"]
    assert list(store.rows("audit", states=("OPEN",), limit=10)) == []


def test_of_many_writers_over_one_row_exactly_one_wins_each_round(store: Store) -> None:
    store.write([Change(row(), NEVER)], [])
    won: list[int] = []

    def contend(number: int) -> None:
        for _ in range(20):
            now = store.row("task", "a")
            assert now is not None
            try:
                store.write([after(now, fence=number)], [])
            except Conflict:
                continue
            won.append(number)

    threads = [threading.Thread(target=contend, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = store.row("task", "a")
    assert found is not None
    assert found.version == len(won) + 1


def test_a_file_outlives_its_store_and_is_migrated_once(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "db")
    first.write([Change(row(), NEVER)], [entry(1)])
    first.close()
    second = SqliteStore(tmp_path / "db")

    assert second.row("task", "a") == row()
    assert list(second.entries(JOB, 0, 10)) == [entry(1)]
    second.close()


def test_a_file_is_synced_at_every_commit_and_readable_beside_the_writer(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.write([Change(row(), NEVER)], [])
    other = sqlite3.connect(tmp_path / "db")
    assert other.execute("select count(*) from rows").fetchone() == (1,)
    other.close()
    store.close()


def test_a_copy_of_the_log_cut_anywhere_opens_with_whole_writes_only(tmp_path: Path) -> None:
    """A write-ahead log torn by a power cut: some prefix of the writes, never half of one."""
    store = SqliteStore(tmp_path / "db")
    for n in range(1, 9):
        store.write([Change(row(f"{n}"), NEVER)], [entry(n)])
    database, log = (tmp_path / "db").read_bytes(), (tmp_path / "db-wal").read_bytes()
    store.close()
    for part in range(11):
        folder = tmp_path / f"torn-{part}"
        folder.mkdir()
        (folder / "db").write_bytes(database)
        (folder / "db-wal").write_bytes(log[: len(log) * part // 10])
        torn = SqliteStore(folder / "db")
        rows, entries = torn.job(JOB), torn.entries(JOB, 0, 100)
        assert [each.key for each in rows] == [str(each.cursor) for each in entries]
        torn.close()
