"""A store in one SQLite file, through SQLAlchemy: write-ahead log, every commit synced to disk.

The schema is Alembic's (`coordinator/migrations`) and is brought up to date at start. Nothing
here is SQLite's own but the pragmas and `BEGIN IMMEDIATE`: correctness lies in the comparison of
state, fence and version inside each update.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from coordinator.store import Change, Conflict, Entry, Stored
from gensyn_lightning.protocol.digest import Digest

BUSY_S = 10.0

_META = sa.MetaData()
_ROWS = sa.Table(
    "rows",
    _META,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("key", sa.String(160), primary_key=True),
    sa.Column("job", sa.LargeBinary(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
_LOG = sa.Table(
    "log",
    _META,
    sa.Column("job", sa.LargeBinary(32), primary_key=True),
    sa.Column("cursor", sa.BigInteger, primary_key=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
_COLUMNS = ("kind", "key", "job", "state", "fence", "version", "body")


class SqliteStore:
    """Rows and logs in a file; one connection, so one transaction at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._engine = sa.create_engine(
            f"sqlite:///{path}",
            connect_args={"check_same_thread": False, "timeout": BUSY_S, "isolation_level": None},
            poolclass=sa.pool.StaticPool,
        )
        sa.event.listen(self._engine, "connect", _set_pragmas)
        sa.event.listen(self._engine, "begin", _begin)
        _migrate(self._engine)

    def write(self, changes: Sequence[Change], entries: Sequence[Entry]) -> None:
        """Write everything or nothing."""
        with self._lock, self._engine.begin() as connection:
            for change in changes:
                _write_row(connection, change)
            for job in {each.job for each in entries}:
                _write_log(connection, [each for each in entries if each.job == job])

    def job(self, job: Digest) -> Sequence[Stored]:
        """Return every row of the job."""
        query = sa.select(_ROWS).where(_ROWS.c.job == job).order_by(_ROWS.c.kind, _ROWS.c.key)
        return [_stored(each) for each in self._all(query)]

    def rows(self, kind: str, *, states: Sequence[str], limit: int) -> Sequence[Stored]:
        """Return rows of a kind in one of `states`."""
        query = sa.select(_ROWS).where(_ROWS.c.kind == kind, _ROWS.c.state.in_(states))
        return [_stored(each) for each in self._all(query.order_by(_ROWS.c.key).limit(limit))]

    def row(self, kind: str, key: str) -> Stored | None:
        """Return one row, or None."""
        found = self._all(sa.select(_ROWS).where(_ROWS.c.kind == kind, _ROWS.c.key == key))
        return _stored(found[0]) if found else None

    def entries(self, job: Digest, after: int, limit: int) -> Sequence[Entry]:
        """Return log entries above a cursor."""
        query = sa.select(_LOG).where(_LOG.c.job == job, _LOG.c.cursor > after)
        rows = self._all(query.order_by(_LOG.c.cursor).limit(limit))
        return [Entry(Digest(e.job), e.cursor, e.at_ms, e.kind, e.body) for e in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _all(self, query: Any) -> Sequence[Any]:
        with self._lock, self._engine.begin() as connection:
            return connection.execute(query).all()


def _set_pragmas(connection: Any, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: sa.Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _write_row(connection: sa.Connection, change: Change) -> None:
    row, seen = change.row, change.seen
    values = {name: getattr(row, name) for name in _COLUMNS}
    same = row.version == seen.version + 1
    if same and seen.version == 0:
        same = _inserted(connection, _ROWS, [values])
    elif same:
        update = (
            sa.update(_ROWS)
            .where(
                _ROWS.c.kind == row.kind,
                _ROWS.c.key == row.key,
                _ROWS.c.state == seen.state,
                _ROWS.c.fence == seen.fence,
                _ROWS.c.version == seen.version,
            )
            .values(values)
        )
        same = connection.execute(update).rowcount == 1
    if not same:
        raise Conflict(f"{row.kind} {row.key} is not as it was seen")


def _write_log(connection: sa.Connection, entries: Sequence[Entry]) -> None:
    """Append entries; their cursors must follow what is there."""
    job = entries[0].job
    head = connection.execute(
        sa.select(sa.func.coalesce(sa.func.max(_LOG.c.cursor), 0)).where(_LOG.c.job == job)
    ).scalar_one()
    if [each.cursor for each in entries] != [head + 1 + n for n in range(len(entries))]:
        raise Conflict(f"cursor {entries[0].cursor} does not follow {head}")
    values = [
        {"job": e.job, "cursor": e.cursor, "at_ms": e.at_ms, "kind": e.kind, "body": e.body}
        for e in entries
    ]
    if not _inserted(connection, _LOG, values):
        raise Conflict("somebody else wrote to this log")


def _inserted(connection: sa.Connection, table: sa.Table, values: list[dict[str, Any]]) -> bool:
    try:
        connection.execute(sa.insert(table), values)
    except sa.exc.IntegrityError:
        return False
    return True


def _stored(row: Any) -> Stored:
    return Stored(row.kind, row.key, Digest(row.job), row.state, row.fence, row.version, row.body)
