"""A submission follows its job to the end, and no longer than it was told to."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from gensyn_lightning.launcher.options import Options
from gensyn_lightning.launcher.submission import Submission
from gensyn_lightning.protocol.digest import ZERO
from gensyn_lightning.protocol.job import JobId

WAIT_S = 30.0


class Silent:
    """A network that says nothing of a job until it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def events(self, name: JobId, cursor: int) -> Iterator[Any]:
        self.cancelled.wait(WAIT_S)
        yield from ()

    def cancel(self, name: JobId) -> None:
        self.cancelled.set()


def test_a_job_that_nothing_happens_to_is_cancelled_in_time() -> None:
    trainer = SimpleNamespace(progress_bar_callback=None)
    submission = Submission(trainer, Options(settings={"timeout_seconds": 0.1, "quiet": True}))
    submission.board = SimpleNamespace(hear=None)  # type: ignore[assignment]
    silent = Silent()
    submission._follow(SimpleNamespace(client=silent), JobId(ZERO))  # type: ignore[arg-type]
    assert silent.cancelled.is_set()
