"""A store in memory: the simulation's, and the reference for what a store does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from threading import Lock

from coordinator.store import Change, Conflict, Entry, Seen, Stored
from gensyn_lightning.protocol.digest import Digest

_ABSENT = Seen("", 0, 0)


class MemoryStore:
    """Rows in a dictionary; it outlives an engine, not a process."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Stored] = {}
        self._jobs: defaultdict[Digest, set[tuple[str, str]]] = defaultdict(set)
        self._log: defaultdict[Digest, list[Entry]] = defaultdict(list)
        self._lock = Lock()

    def write(self, changes: Sequence[Change], entries: Sequence[Entry]) -> None:
        """Write everything or nothing."""
        with self._lock:
            for change in changes:
                self._check(change)
            self._check_log(entries)
            for change in changes:
                name = (change.row.kind, change.row.key)
                self._rows[name] = change.row
                self._jobs[change.row.job].add(name)
            for entry in entries:
                self._log[entry.job].append(entry)

    def job(self, job: Digest) -> Sequence[Stored]:
        """Return every row of the job."""
        with self._lock:
            return [self._rows[name] for name in sorted(self._jobs.get(job, ()))]

    def rows(self, kind: str, *, states: Sequence[str], limit: int) -> Sequence[Stored]:
        """Return rows of a kind in one of `states`."""
        with self._lock:
            found = [
                row
                for (its_kind, _), row in sorted(self._rows.items())
                if its_kind == kind and row.state in states
            ]
        return found[:limit]

    def row(self, kind: str, key: str) -> Stored | None:
        """Return one row, or None."""
        with self._lock:
            return self._rows.get((kind, key))

    def entries(self, job: Digest, after: int, limit: int) -> Sequence[Entry]:
        """Return log entries above a cursor."""
        with self._lock:
            return self._log.get(job, [])[after : after + limit]

    def close(self) -> None:
        """Nothing to let go of."""

    def _check(self, change: Change) -> None:
        now = self._rows.get((change.row.kind, change.row.key))
        seen = Seen(now.state, now.fence, now.version) if now else _ABSENT
        expected = change.seen if change.seen.version else _ABSENT
        if seen != expected or change.row.version != change.seen.version + 1:
            raise Conflict(f"{change.row.kind} {change.row.key} is not as it was seen")

    def _check_log(self, entries: Sequence[Entry]) -> None:
        heads: dict[Digest, int] = {}
        for entry in entries:
            head = heads.get(entry.job, len(self._log.get(entry.job, ())))
            if entry.cursor != head + 1:
                raise Conflict(f"cursor {entry.cursor} follows {head}")
            heads[entry.job] = entry.cursor
