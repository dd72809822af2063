"""Follows a job from its log: once, up to now, or from a thread that keeps a view up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from gensyn_lightning import config
from gensyn_lightning.client import Client
from gensyn_lightning.errors import GensynError
from gensyn_lightning.launcher.board import Board
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.network.connection import connected
from gensyn_lightning.protocol.canonical import parse_json
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.report import logged
from gensyn_lightning.report.written import OUTPUTS_BYTES_MAX
from gensyn_lightning.wire.channel import PATIENCE_S
from kernel_ext.live import LiveView

Seen = tuple[Board, int]  # how a job stands, and the last entry of its log that says so


def board_of(client: Client, job: JobId) -> Seen:
    """Return how a job stands now, by its log and what it logged, and the last entry read."""
    names = {each.node.hex(): each.name for each in client.network().nodes}
    home = Home(config.resolve().home)
    board = Board(job, jobs.most_batches(home, job), names)
    last = client.job(job).cursor
    if last:
        for entry in client.events(job):
            board.hear(entry.at_ms, entry.kind, entry.body)
            if entry.cursor >= last:
                break
    board.draw(logged.joined(_calls(client, job, board)))
    return board, last


class Follower:
    """A thread that shows a job in `view` until the job ends, and then calls `ended`.

    `is_over` says that it saw the end. Whatever else ends the thread leaves the job alone, and
    the view says so.
    """

    def __init__(
        self,
        job: JobId,
        view: LiveView,
        ended: Callable[[Client], None],
        seen: Seen | None = None,
    ) -> None:
        self.job, self.is_over = job, False
        self._view, self._ended, self._seen = view, ended, seen
        self._thread = threading.Thread(target=self._run, name=f"follow {job.hex()}", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the thread has ended; return whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with connected(patience_s=PATIENCE_S, notice=self._view.lost) as client:
                self._follow(client)
                self.is_over = True
                self._ended(client)
        except Exception as error:  # a thread has nobody to raise to
            self._view.freeze(f"no longer followed: {error}")

    def _follow(self, client: Client) -> None:
        board, cursor = self._seen or board_of(client, self.job)
        self._view.follow(board)
        if board.is_over:
            return
        for entry in client.events(self.job, cursor):
            self._view.follow(board, board.hear(entry.at_ms, entry.kind, entry.body))


def _calls(client: Client, job: JobId, board: Board) -> Iterator[Any]:
    """Yield what the standing segments called loggers with; what cannot be read is said."""
    for each in client.segments(job):
        try:
            data = client.read(each.outputs, bytes_max=OUTPUTS_BYTES_MAX)
            found = parse_json(data, bytes_max=OUTPUTS_BYTES_MAX)
            calls = found["calls"] if isinstance(found, dict) else []
        except (GensynError, KeyError) as error:
            board.say(f"what segment {each.commitment.task_index} logged cannot be read: {error}")
            continue
        yield from calls if isinstance(calls, list) else []
