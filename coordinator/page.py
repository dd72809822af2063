"""Everything the coordinator knows about one job, and what a decision wants to change in it.

Decisions read a page and `put` new rows on it, `note` what happened in the job's log and ask for
errands. Nothing is true until `changes()` has been written to the store in one transaction; if
that fails, the page is thrown away and read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from coordinator import rowform
from coordinator.limits import EVENTS_PER_JOB_MAX, ROW_BYTES_MAX
from coordinator.rows import (
    ROW_TYPES,
    ActionRow,
    AnchorRow,
    AttemptRow,
    AuditRow,
    Errand,
    JobPart,
    JobRow,
    MemberRow,
    NodeRow,
    Progress,
    RosterRow,
    Row,
    TaskRow,
)
from coordinator.store import Change, Entry, Seen, Stored
from gensyn_lightning.errors import LimitExceeded, NotFound
from gensyn_lightning.protocol import attempt, audit, job, merkle
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import ZERO, Address, Digest

_NEVER = Seen("", 0, 0)


class Page:
    """One job's rows, by what names them, with the changes not yet stored.

    `now_ms` is when the event happened that is being applied; nothing else tells the time.
    """

    def __init__(self, row: JobRow) -> None:
        self.job = row
        self.now_ms = row.submitted_ms
        self.tasks: dict[int, TaskRow] = {}
        self.attempts: dict[int, AttemptRow] = {}
        self.audits: dict[int, AuditRow] = {}
        self.anchors: dict[Digest, AnchorRow] = {}
        self.rosters: dict[Digest, RosterRow] = {}
        self.members: dict[Address, MemberRow] = {}
        self.actions: dict[str, ActionRow] = {}
        self.errands: dict[str, ActionRow] = {}
        self.past_tasks: list[TaskRow] = []
        self.commitments: dict[Digest, int] = {}
        self.unanchored: dict[int, None] = {}
        self.duties: dict[Address, dict[int, None]] = {}
        self._audits_of: dict[int, list[int]] = {}
        self._attempts_at: dict[int, list[int]] = {}
        self._seen: dict[tuple[str, str], Seen] = {}
        self._staged: dict[tuple[str, str], JobPart] = {}
        self._entries: list[Entry] = []

    @classmethod
    def read(cls, stored: Sequence[Stored]) -> Page:
        """Build the page from the store's rows; raise `NotFound` when no job is among them."""
        rows = [(each, parse(each)) for each in stored]
        found = next((row for _, row in rows if isinstance(row, JobRow)), None)
        if found is None:
            raise NotFound("no such job", hint="check the job's name and the network's address")
        page = cls(found)
        for each, row in rows:
            page._seen[each.kind, each.key] = Seen(each.state, each.fence, each.version)
            page._index(row)
        return page

    @property
    def dirty(self) -> bool:
        """Whether something is waiting to be stored."""
        return bool(self._staged or self._entries)

    def is_open(self) -> bool:
        """Whether the job still trains."""
        return self.job.state is job.State.TRAINING

    def put(self, row: JobPart) -> None:
        """Replace a row, or add it."""
        self._staged[row.KIND, row.key] = row
        self._index(row)

    def note(self, kind: str, **body: Any) -> None:
        """Add a line to the job's log."""
        cursor = self.job.cursor + 1
        if cursor > EVENTS_PER_JOB_MAX:
            raise LimitExceeded(f"the log of a job ends after {EVENTS_PER_JOB_MAX} lines")
        text = json_bytes(body).decode()
        self._entries.append(Entry(self.job.id, cursor, self.now_ms, kind, text))
        self.put(replace(self.job, cursor=cursor))

    def ask(self, errand: Errand, subject: Digest = ZERO) -> None:
        """Ask the ledger worker for something, once."""
        action = ActionRow(self.job.id, errand, subject, self.now_ms)
        if action.key not in self.actions:
            self.put(action)

    def drop_errands(self) -> None:
        """Give up what was asked for and is of no use any more."""
        for each in list(self.errands.values()):
            self.put(replace(each, state=Progress.DONE))

    def next_fence(self) -> int:
        """Return a fencing number no attempt or audit of this job had before."""
        self.put(replace(self.job, fence=self.job.fence + 1))
        return self.job.fence

    def live(self) -> Iterator[TaskRow]:
        """Yield the tasks behind which nothing is settled yet, earliest first."""
        for index in range(self.job.accepted, self.job.tail):
            yield self.tasks[index]

    def attempt_of(self, row: TaskRow) -> AttemptRow | None:
        """Return the attempt that holds the task, if one does."""
        return self.attempts.get(row.fence)

    def held_by(self, node: Address) -> list[AttemptRow | AuditRow]:
        """Return what the node holds under a lease and is working on."""
        rows = [self.work(fence) for fence in self.duties.get(node, ())]
        return [each for each in rows if each is not None and each.state.name == "LEASED"]

    def work(self, fence: int) -> AttemptRow | AuditRow | None:
        """Return the attempt or audit with this fencing number."""
        return self.attempts.get(fence) or self.audits.get(fence)

    def attempts_at(self, index: int) -> list[AttemptRow]:
        """Return every attempt at a segment, oldest first."""
        return [self.attempts[fence] for fence in self._attempts_at.get(index, ())]

    def audits_of(self, row: AttemptRow) -> list[AuditRow]:
        """Return every audit of an attempt, oldest first."""
        return [self.audits[fence] for fence in self._audits_of.get(row.fence, ())]

    def pending_audits(self, row: AttemptRow, purpose: audit.Purpose) -> list[AuditRow]:
        """Return the audits of an attempt that may still report."""
        return [
            each
            for each in self.audits_of(row)
            if each.purpose is purpose and audit.TRANSITIONS[each.state]
        ]

    def enlist(self, node: NodeRow) -> None:
        """Remember what a node said of itself when it came into this job."""
        known = self.members.get(node.account)
        row = MemberRow(
            job=self.job.id,
            account=node.account,
            owner=node.owner,
            numerics=self.job.record.numerics,
            tier=node.tier,
            solves=node.solves or (known is not None and known.solves),
            verifies=node.verifies or (known is not None and known.verifies),
            registration=node.registration,
        )
        if row != known:
            self.put(row)

    def roster(self, nodes: Iterable[NodeRow]) -> Digest:
        """Remember whom a draw could choose from and return its root."""
        found = list(nodes)
        for each in found:
            self.enlist(each)
        listed = tuple(sorted(each.account for each in found))
        root = merkle.root(listed)
        if root not in self.rosters:
            self.put(RosterRow(self.job.id, root, listed))
        return root

    def accepted(self) -> list[AttemptRow]:
        """Return the accepted attempts in order of their segments."""
        return [self.attempts[self.tasks[index].fence] for index in range(self.job.accepted)]

    def changes(self) -> tuple[list[Change], list[Entry]]:
        """Return what must be written, and from what it was changed."""
        changes = []
        for name, row in self._staged.items():
            seen = self._seen.get(name, _NEVER)
            changes.append(Change(store_form(row, seen.version + 1), seen))
        return changes, list(self._entries)

    def written(self, changes: Sequence[Change]) -> None:
        """Take note that the changes are stored."""
        for change in changes:
            row = change.row
            self._seen[row.kind, row.key] = Seen(row.state, row.fence, row.version)
        self._staged.clear()
        self._entries.clear()

    def _index(self, row: Row) -> None:
        match row:
            case JobRow():
                self.job = row
            case TaskRow():
                self._index_task(row)
            case AttemptRow():
                self._index_attempt(row)
            case AuditRow():
                self._index_audit(row)
            case ActionRow():
                self._index_action(row)
            case AnchorRow() | RosterRow() | MemberRow():
                self._index_plain(row)

    def _index_plain(self, row: AnchorRow | RosterRow | MemberRow) -> None:
        match row:
            case AnchorRow():
                self.anchors[row.root] = row
            case RosterRow():
                self.rosters[row.root] = row
            case MemberRow():
                self.members[row.account] = row

    def _index_action(self, row: ActionRow) -> None:
        self.actions[row.key] = row
        self.errands.pop(row.key, None)
        if row.state is Progress.PENDING:
            self.errands[row.key] = row

    def _index_audit(self, row: AuditRow) -> None:
        if row.fence not in self.audits:
            _insert(self._audits_of.setdefault(row.attempt, []), row.fence)
        self.audits[row.fence] = row
        self._duty(row.verifier, row.fence, bool(audit.TRANSITIONS[row.state]))

    def _index_task(self, row: TaskRow) -> None:
        """Keep the youngest generation of a segment in front, the closed ones behind."""
        current = self.tasks.get(row.record.index)
        if current is None or row.generation >= current.generation:
            self.tasks[row.record.index] = row
            if current is not None and row.generation > current.generation:
                self.past_tasks.append(current)
        else:
            self.past_tasks.append(row)

    def _index_attempt(self, row: AttemptRow) -> None:
        if row.fence not in self.attempts:
            _insert(self._attempts_at.setdefault(row.task.index, []), row.fence)
        self.attempts[row.fence] = row
        if row.attempt.commitment is not None:
            self.commitments[row.attempt.commitment] = row.fence
        if row.state is attempt.State.COMMITTED and row.anchor is None:
            self.unanchored[row.fence] = None
        else:
            self.unanchored.pop(row.fence, None)
        asked = row.salt_due_ms > 0 and row.salt is None and bool(attempt.TRANSITIONS[row.state])
        self._duty(row.solver, row.fence, row.state is attempt.State.LEASED or asked)

    def _duty(self, node: Address, fence: int, due: bool) -> None:
        """Remember what a node owes this job: work it holds, a salt, a replay it promised."""
        if due:
            self.duties.setdefault(node, {})[fence] = None
        elif node in self.duties:
            self.duties[node].pop(fence, None)


def parse(stored: Stored) -> Row:
    """Return the row a store kept."""
    return rowform.from_json(ROW_TYPES[stored.kind], json.loads(stored.body))


def store_form(row: Row, version: int) -> Stored:
    """Return the row as a store keeps it; raise `LimitExceeded` when it is too large."""
    body = json.dumps(rowform.to_json(row), separators=(",", ":"))
    if len(body) > ROW_BYTES_MAX:
        raise LimitExceeded(f"a row of {len(body)} bytes exceeds {ROW_BYTES_MAX}")
    return Stored(row.KIND, row.key, row.job, row.state.name, row.fence, version, body)


def _insert(fences: list[int], fence: int) -> None:
    """Keep fences in order, whatever order a store returned them in."""
    fences.append(fence)
    fences.sort()
