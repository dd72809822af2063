"""Follows a job from its log: once, up to now, or from a thread that keeps a view up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gensyn_lightning import config
from gensyn_lightning.client import Client
from gensyn_lightning.errors import GensynError
from gensyn_lightning.launcher.board import Board
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.canonical import parse_json
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.report import logged
from gensyn_lightning.report.fetching import connected
from gensyn_lightning.report.written import OUTPUTS_BYTES_MAX
from kernel_ext.live import LiveView


def board_of(client: Client, job: JobId) -> Board:
    """Return how a job stands now, from its log and from what its segments logged."""
    names = {each.node.hex(): each.name for each in client.network().nodes}
    home = Home(config.resolve().home)
    board = Board(job, jobs.most_batches(home, job), names)
    last = client.job(job).cursor
    for entry in client.events(job):
        board.hear(entry.at_ms, entry.kind, entry.body)
        if entry.cursor >= last:
            break
    calls = (
        call
        for each in client.segments(job)
        for call in parse_json(
            client.read(each.outputs, bytes_max=OUTPUTS_BYTES_MAX), bytes_max=OUTPUTS_BYTES_MAX
        )["calls"]
    )
    board.draw(logged.joined(calls))
    return board


class Follower:
    """A thread that shows a job in `view` until the job ends, and then calls `ended`.

    Errors of the network end the following, not the job: the view then says so.
    """

    def __init__(self, job: JobId, view: LiveView, ended: Callable[[Client], None]) -> None:
        self.job, self._view, self._ended = job, view, ended
        self._thread = threading.Thread(target=self._run, name=f"follow {job.hex()}", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the job has ended; return whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with connected(config.resolve(), self._view.lost) as (client, _):
                self._follow(client)
                self._ended(client)
        except GensynError as error:
            self._view.freeze(f"no longer followed: {error}")

    def _follow(self, client: Client) -> None:
        board = board_of(client, self.job)
        self._view.follow(board)
        if board.is_over:
            return
        for entry in client.events(self.job, client.job(self.job).cursor):
            self._view.follow(board, board.hear(entry.at_ms, entry.kind, entry.body))
