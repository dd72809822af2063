"""The port to durable memory: rows under compare-and-set, and an event log per job.

Every adapter MUST behave alike; `tests/ports/test_store.py` runs on all of them. A write is one
transaction: all of its rows, log entries and new nodes stand after it, or none. When `write`
returns, a kill at any later moment loses nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gensyn_lightning.errors import ProtocolError
from gensyn_lightning.protocol.digest import Digest


class Conflict(ProtocolError):
    """Somebody else changed a row since it was read; read it again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as a store keeps it: it knows who the row is, not what it means.

    `version` counts the writes; `state` and `fence` are the row's own.
    """

    kind: str
    key: str
    job: Digest
    state: str
    fence: int
    version: int
    body: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a row looked like when it was read; version 0 means it did not exist."""

    state: str
    fence: int
    version: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a job's event log; cursors count from 1 without gaps."""

    job: Digest
    cursor: int
    at_ms: int
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class Change:
    """A row to write over what was seen; its version MUST be `seen.version + 1`."""

    row: Stored
    seen: Seen


class Store(Protocol):
    """Rows and event logs that survive us; safe from several threads."""

    def write(self, changes: Sequence[Change], entries: Sequence[Entry]) -> None:
        """Write everything or nothing; raise `Conflict` when a row is not as it was seen.

        The comparison is over state, fence and version, in the same transaction as the write. An
        entry whose cursor is taken is a conflict too.
        """

    def job(self, job: Digest) -> Sequence[Stored]:
        """Return every row of the job, in order of kind and key."""

    def rows(self, kind: str, *, states: Sequence[str], limit: int) -> Sequence[Stored]:
        """Return up to `limit` rows of a kind in one of `states`, in order of key."""

    def row(self, kind: str, key: str) -> Stored | None:
        """Return one row, or None."""

    def entries(self, job: Digest, after: int, limit: int) -> Sequence[Entry]:
        """Return up to `limit` log entries with a cursor above `after`, in order."""

    def close(self) -> None:
        """Let go of files; nothing may be called afterwards."""
