"""The embedded chain's keys and values in one SQLite file, written a block at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eth.db.backends.base import BaseDB


class SqliteStore(BaseDB):
    """A key-value file; what is written inside `block()` is kept whole or not at all.

    One thread at a time: whoever owns the store holds a lock. Nothing outside `block()` may write.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
            " WITHOUT ROWID"
        )

    @contextmanager
    def block(self) -> Iterator[None]:
        """Commit everything written inside at once, or nothing if an error leaves it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __getitem__(self, key: bytes) -> bytes:
        """Return the value; raise `KeyError` if there is none."""
        row = self._db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Write a value; only inside `block()`."""
        if not self._db.in_transaction:
            raise RuntimeError("a write outside a block")
        self._db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        """Remove a key; only inside `block()`."""
        if not self._db.in_transaction:
            raise RuntimeError("a write outside a block")
        if not self._db.execute("DELETE FROM entries WHERE key = ?", (key,)).rowcount:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        row = self._db.execute("SELECT 1 FROM entries WHERE key = ?", (key,)).fetchone()
        return row is not None
