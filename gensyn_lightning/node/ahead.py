"""The next segment of a job, begun while the one before it is being handed over.

Whoever hands in a segment is usually given the next one, and that starts from the state that was
just made: so its runner may be set up, and run the first event, before anybody has said how far it
shall go. Nothing of it is claimed until a lease for exactly that segment has come.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gensyn_lightning.node.held import Held
from gensyn_lightning.node.segments import Finding, Inputs, Segments, clear
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training.request import SegmentResult
from gensyn_lightning.wire.jobs import StateRefs
from gensyn_lightning.wire.nodes import Work

TARGET_NAME = "target"


class Ahead:
    """A segment that was begun on trust, in the folder of the one before it.

    Once begun it owns that folder: `place` removes it.
    """

    def __init__(self, segments: Segments, folder: Path, work: Work) -> None:
        """Begin `work`, whose target is not known yet."""
        self.folder, self.place = folder, ExitStack()
        self._work, self._held = work, Held(work)
        self._target = folder / TARGET_NAME
        clear(folder)
        inputs = segments.lay_out(work, folder)
        self._finding: Future[Finding] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(segments, inputs), name="ahead", daemon=True
        )
        self._thread.start()

    def is_for(self, work: Work) -> bool:
        """Whether `work` is what was begun."""
        task, begun = work.task, self._work.task
        return (
            work.kind is self._work.kind
            and work.job_id == self._work.job_id
            and task.first_event == begun.first_event
            and task.start_root == begun.start_root
        )

    def finish(self, held: Held) -> Finding:
        """Run on to the target of `held`, whose lease it is from now on."""
        self._held.pass_on_to(held)
        partial = self.folder / f"{TARGET_NAME}.partial"
        partial.write_text(str(held.work.task.target_event))
        os.replace(partial, self._target)
        return self._finding.result()

    def give_up(self) -> None:
        """End what was begun for nothing, and leave the folder."""
        self._held.stop.set()
        self._thread.join()
        self.place.close()

    def _run(self, segments: Segments, inputs: Inputs) -> None:
        try:
            finding = segments.run(
                self._held, inputs, self.folder / "run", target_file=self._target
            )
        except BaseException as error:
            self._finding.set_exception(error)
        else:
            self._finding.set_result(finding)


def following(work: Work, result: SegmentResult, state: StateRefs) -> Work:
    """Return the segment after `work`, as its lease will name it, but for how far it goes."""
    task = replace(
        work.task,
        index=work.task.index + 1,
        first_event=result.end_event,
        target_event=result.end_event + 1,
        start_root=result.end_root,
    )
    return replace(work, work_id=Digest(bytes(32)), task=task, start=state)
