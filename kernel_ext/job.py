"""A job that goes on by itself: wait for it, await it, stop it, read its report."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from gensyn_lightning.client import Client
from gensyn_lightning.errors import CoordinatorUnavailable, InvalidTransition, NotFound
from gensyn_lightning.launcher.outcome import Outcome
from gensyn_lightning.network.connection import connected
from gensyn_lightning.protocol.job import JobId, display_id
from gensyn_lightning.report.fetching import fetch
from kernel_ext.following import Follower, Seen
from kernel_ext.live import LiveView
from kernel_ext.view import ReportView

POLL_S = 0.1


class Job:
    """One job of this notebook.

    `bring_back` calls the fit that was sent once more, to take over what came of it: the trainer
    is then as after a fit here. A job that is only looked at has none. `seen` is what was read of
    its log already.
    """

    def __init__(
        self,
        job: JobId,
        view: LiveView,
        bring_back: Callable[[], Outcome] | None = None,
        seen: Seen | None = None,
    ) -> None:
        self.job = job
        self.outcome: Outcome | None = None
        self._view, self._bring_back = view, bring_back
        self._follower = Follower(job, view, self._ended, seen)

    @property
    def name(self) -> str:
        """The job's name as people see it."""
        return display_id(self.job)

    @property
    def status(self) -> str:
        """What the job is doing."""
        board = self._view.board
        return "unknown" if board is None else board.state

    def wait(self, timeout: float | None = None) -> Outcome:
        """Wait until the job has ended, at most `timeout` seconds, and bring back its model.

        Raises `TimeoutError` if it has not, `CoordinatorUnavailable` if the network was lost, what
        the program raised, or `NotFound` where the fit it came from is not known.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._follower.wait(POLL_S):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} has not ended")
        return self._taken()

    def __await__(self) -> Generator[Any, None, Outcome]:
        """Wait without holding up the notebook, so that its buttons work."""
        while not self._follower.wait(0):
            yield from asyncio.sleep(POLL_S).__await__()
        return self._taken()

    def cancel(self) -> None:
        """Stop the job; what was accepted stays paid."""
        cancel(self.job)

    def report(self) -> ReportView:
        """Return the report as it stands now."""
        with connected() as client:
            return ReportView(write_report(client, self.job))

    def __repr__(self) -> str:
        return f"{self.name}: {self.status}"

    def _taken(self) -> Outcome:
        if not self._follower.is_over:
            raise CoordinatorUnavailable(
                f"{self.name} is no longer followed",
                hint=f"%gensyn_status {self.name} looks again, %gensyn_train TARGET --attach "
                f"{self.name} brings its model back",
            )
        if self.outcome is None:
            if self._bring_back is None:
                raise NotFound(
                    f"the fit of {self.name} is not known here",
                    hint=f"%gensyn_train TARGET --attach {self.name}",
                )
            self.outcome = self._bring_back()
        return self.outcome

    def _ended(self, client: Client) -> None:
        self._view.replace(ReportView(write_report(client, self.job)))


def cancel(job: JobId) -> None:
    """Stop a job; one that is over already stays as it is."""
    with connected() as client, contextlib.suppress(InvalidTransition):
        client.cancel(job)


def write_report(client: Client, job: JobId) -> Path:
    """Write the report of a job into the current folder and return where it is."""
    path = Path.cwd() / f"{display_id(job)}.report.json"
    path.write_bytes(fetch(client, job))
    return path
