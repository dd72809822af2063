"""The shell around the decisions: reads a job's page, lets an event change it, stores the result.

Everything that is true is in the store: what an event changes, what it logs and what it asks to be
done outside are one transaction, and rows kept in memory are copies. What may be lost is who
called last and how far a runner says it is. One thread uses an engine at a time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from coordinator import checking, closing, limits, sweeping
from coordinator.clock import Clock
from coordinator.disputing import Arbiter
from coordinator.page import Page, parse, store_form
from coordinator.roster import Roster
from coordinator.rows import (
    ActionRow,
    Errand,
    JobRow,
    NodeRow,
    Progress,
    Stamp,
)
from coordinator.store import Change, Conflict, Entry, Seen, Store
from gensyn_lightning.errors import CoordinatorUnavailable, GensynError, LimitExceeded
from gensyn_lightning.protocol import job
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.parameters import NODES_MAX

_log = logging.getLogger(__name__)
_OPEN = ("SUBMITTED", "TRAINING", "SETTLING", "REFUNDING")
_CLOSED_PAGES = 8


class Engine:
    """Jobs, nodes and time, over a store."""

    def __init__(
        self, store: Store, clock: Clock, arbiter: Arbiter, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.store, self.clock, self.arbiter, self.wake = store, clock, arbiter, wake
        self.roster = Roster(self.busy)
        self.progress: dict[Digest, dict[str, object]] = {}
        self._open: dict[Digest, Page] = {}
        self._due_ms: dict[Digest, int] = {}
        self._closed: OrderedDict[Digest, Page] = OrderedDict()
        self._node_versions: dict[str, Seen] = {}
        self._recover()

    def now_ms(self) -> int:
        """Return the time."""
        return self.clock.now_ms()

    @contextmanager
    def edit(self, identifier: Digest) -> Iterator[Page]:
        """Give a job's page to an event; afterwards do what follows of itself and store it all.

        When anything fails, nothing of it has happened.
        """
        page = self.page(identifier)
        page.now_ms = self.now_ms()
        try:
            yield page
            sweeping.sweep(page, self.roster, self.arbiter)
            self._write(page)
            self._keep(page)
        except BaseException:
            if page.dirty:
                self._forget(identifier)
                self._due_ms[identifier] = page.now_ms  # the clock reads it again, if we cannot
                self._reload(identifier)
            raise

    def add(self, row: JobRow) -> None:
        """Open a job that was not there."""
        if len(self._open) >= limits.OPEN_JOBS_MAX:
            raise LimitExceeded(f"the network has {limits.OPEN_JOBS_MAX} open jobs", hint="later")
        page = Page(row)
        page.put(row)
        page.note("submitted", submitter=row.record.submitter.hex())
        sweeping.sweep(page, self.roster, self.arbiter)
        self._write(page)
        self._keep(page)

    def page(self, identifier: Digest) -> Page:
        """Return a job's page; raise `NotFound` when there is no such job."""
        page = self._open.get(identifier) or self._closed.get(identifier)
        if page is None:
            page = Page.read(self.store.job(identifier))
            self._keep(page)
        return page

    def pages(self) -> list[Page]:
        """Return the open jobs' pages, oldest first."""
        return sorted(self._open.values(), key=lambda page: (page.job.submitted_ms, page.job.id))

    def find(self, prefix: bytes) -> Page | None:
        """Return the open job whose name starts with `prefix`."""
        found = (page for name, page in self._open.items() if name.startswith(prefix))
        return next(found, None)

    def entries(self, identifier: Digest, after: int) -> Sequence[Entry]:
        """Return the next lines of a job's log."""
        return self.store.entries(identifier, after, limits.EVENTS_PER_BATCH_MAX)

    def busy(self, node: Address) -> bool:
        """Whether the node holds work right now."""
        return any(page.held_by(node) for page in self._open.values())

    def tick(self) -> None:
        """Let the clock do what is due."""
        now_ms = self.now_ms()
        for identifier in [name for name, due in self._due_ms.items() if due <= now_ms]:
            try:
                with self.edit(identifier) as page:
                    sweeping.overdue(page, self.roster)
            except GensynError:
                self._due_ms[identifier] = now_ms + limits.RETRY_LAST_MS
                _log.exception("%s could not be moved on", job.display_id(job.JobId(identifier)))

    def due_ms(self) -> int | None:
        """Return when the clock next has something to do, or None."""
        return min(self._due_ms.values(), default=None)

    def errand_due_ms(self) -> int | None:
        """Return when the next errand is due, or None."""
        return min(
            (row.due_ms for page in self._open.values() for row in page.errands.values()),
            default=None,
        )

    def errands(self) -> list[ActionRow]:
        """Return what is to be done outside now, oldest job first."""
        now_ms = self.now_ms()
        found = [
            row for page in self.pages() for row in page.errands.values() if row.due_ms <= now_ms
        ]
        return found[: limits.ACTIONS_PER_ROUND_MAX]

    def done(self, action: ActionRow, stamp: Stamp | None) -> None:
        """Take note that an errand is done; `stamp` is where it stands on the chain."""
        with self.edit(action.job) as page:
            known = page.actions[action.key]
            if known.state is Progress.DONE:
                return
            page.put(replace(known, state=Progress.DONE))
            match action.errand:
                case Errand.CONFIRM:
                    _escrowed(page, stamp)
                case Errand.ANCHOR if stamp:
                    checking.anchored(page, action.subject, stamp)
                case Errand.SETTLE if stamp:
                    closing.settled(page, stamp)
                case _:
                    closing.refunded(page, stamp)

    def postponed(self, action: ActionRow, reason: str) -> None:
        """Take note that an errand could not be done; it is tried again, later each time."""
        with self.edit(action.job) as page:
            known = page.actions[action.key]
            if known.state is Progress.DONE:
                return
            pause_ms = min(limits.RETRY_FIRST_MS << min(known.tries, 16), limits.RETRY_LAST_MS)
            due_ms = page.now_ms + (pause_ms if reason else limits.CONFIRM_AGAIN_MS)
            given_up = known.tries >= limits.ERRAND_TRIES_MAX
            state = Progress.DONE if given_up else Progress.PENDING
            page.put(replace(known, tries=known.tries + 1, due_ms=due_ms, state=state))
            if reason and known.tries < limits.POSTPONED_NOTES_MAX:
                page.note("postponed", errand=known.errand.name, reason=reason)

    def register(self, node: NodeRow) -> None:
        """Enter a node, or what it says of itself now."""
        self.roster.check(node)
        seen = self._node_versions.get(node.key, Seen("", 0, 0))
        stored = store_form(node, seen.version + 1)
        self.store.write([Change(stored, seen)], ())
        self._node_versions[node.key] = Seen(stored.state, stored.fence, stored.version)
        self.roster.add(node, self.now_ms())
        self.wake()

    def _recover(self) -> None:
        """Read what a coordinator needs to go on: open jobs, errands not done, nodes."""
        rows = self.store.rows("job", states=_OPEN, limit=limits.OPEN_JOBS_MAX)
        errands = self.store.rows("action", states=("PENDING",), limit=limits.PENDING_ERRANDS_MAX)
        for name in {each.job for each in (*rows, *errands)}:
            self._keep(Page.read(self.store.job(name)))
        for stored in self.store.rows("node", states=("DONE",), limit=NODES_MAX):
            row = parse(stored)
            if isinstance(row, NodeRow):
                self._node_versions[row.key] = Seen(stored.state, stored.fence, stored.version)
                self.roster.nodes[row.account] = row

    def _reload(self, identifier: Digest) -> None:
        """Read an open job again, so that its nodes do not find their leases gone."""
        if rows := self.store.job(identifier):
            self._keep(Page.read(rows))

    def _write(self, page: Page) -> None:
        if not page.dirty:
            return
        changes, entries = page.changes()
        try:
            self.store.write(changes, entries)
        except Conflict as error:
            raise CoordinatorUnavailable(str(error), hint="try again") from None
        page.written(changes)
        self.wake()

    def _keep(self, page: Page) -> None:
        name = page.job.id
        if job.TRANSITIONS[page.job.state] or page.errands:
            self._open[name] = page
            self._due_ms[name] = sweeping.due_ms(page)
            return
        self._forget(name)
        self._closed[name] = page
        while len(self._closed) > _CLOSED_PAGES:
            self._closed.popitem(last=False)

    def _forget(self, name: Digest) -> None:
        self._open.pop(name, None)
        self._due_ms.pop(name, None)
        self._closed.pop(name, None)
        self.progress.pop(name, None)


def _escrowed(page: Page, stamp: Stamp | None) -> None:
    """Let training begin: the budget lies in escrow."""
    if stamp is None or page.job.state is not job.State.SUBMITTED:
        return
    state = job.apply(page.job.state, job.Escrowed())
    page.put(replace(page.job, state=state, beacon=stamp.block))
    page.note("escrowed", block=stamp.number)
