"""One fit as a job of the network: captured, tried, paid for, followed, brought back."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gensyn_lightning import config as settings
from gensyn_lightning.client import Client
from gensyn_lightning.errors import (
    InvalidProof,
    InvalidTransition,
    NetworkError,
    NotFound,
    NotReplayable,
)
from gensyn_lightning.launcher import terms
from gensyn_lightning.launcher.board import Board
from gensyn_lightning.launcher.collecting import Collector
from gensyn_lightning.launcher.display import Display
from gensyn_lightning.launcher.handing_over import HandingOver
from gensyn_lightning.launcher.options import Options
from gensyn_lightning.launcher.outcome import REPORT_NAME, Effort, Outcome, check, conclude
from gensyn_lightning.launcher.preflight import Preflight, Trial, must_not_ask
from gensyn_lightning.launcher.reach import Reach, reach
from gensyn_lightning.network import Home, Network, jobs
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.protocol.commitment import Outcome as CommitmentOutcome
from gensyn_lightning.protocol.digest import Money, Nonce
from gensyn_lightning.protocol.job import Job, JobId, Reason, State, display_id, job_id
from gensyn_lightning.training.capture import Captured, capture
from gensyn_lightning.training.returning import Result, Return

CANCEL_S, CANCEL_AGAIN_S = 60.0, 5.0
WHY = {
    Reason.CANCELLED: "was cancelled",
    Reason.TIMED_OUT: "took too long",
    Reason.INCONCLUSIVE: "could not be checked: no third node could decide a dispute",
    Reason.NOT_REPRODUCIBLE: "is not reproducible: running a segment again gave other bits",
    Reason.EXHAUSTED: "used up its budget or its attempts",
}


class Submission:
    """Carries one call of `trainer.fit` to the network and its result back to `trainer`."""

    def __init__(self, trainer: Any, options: Options) -> None:
        self.trainer, self.options = trainer, options
        self.config = settings.resolve(strategy=options.settings)
        self.display = options.display or Display(
            trainer.progress_bar_callback, quiet=self.config.quiet
        )
        self.board: Board | None = None
        self.outcome: Outcome | None = None
        self._cancel: Callable[[], None] | None = None
        self._same_program = True
        self._began = time.monotonic()
        self._moved = 0
        self._cursor = 0

    def run(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Have `function(*args, **kwargs)` run by the network; `trainer` is then as after it.

        Raises what the program raised, with the trainer's state as it was then. A job that is
        left to the network leaves `trainer` as an interrupted fit does, `outcome` as None.
        """
        home = Home(self.config.home).make()
        folder = Path(tempfile.mkdtemp(prefix="fit-", dir=home.path))
        try:
            captured = capture(
                self.trainer,
                function,
                args,
                kwargs,
                threads=self.options.threads,
                arithmetic=self.config.numerics,
                hashed=self.display.moved("hashing"),
            )
            back = Return(self.trainer, function, args, kwargs, captured)
            with reach(self.config, self.display.say, self.display.lost) as network:
                if self.options.attach:
                    job = self._attach(network, captured)
                else:
                    job = self._send(network, captured, folder, back)
                self._see_through(network, job, folder, back)
        finally:
            self.display.close()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def job(self) -> str:
        """The job's name as people see it, empty before it was submitted."""
        return "" if self.board is None else self.board.name

    def cancel(self) -> None:
        """Stop the job, if there is one by now."""
        if self._cancel is not None:
            self._cancel()

    def _attach(self, network: Reach, captured: Captured) -> Job:
        """Return the job to follow, which was submitted before."""
        name = jobs.find(Home(self.config.home), self.options.attach)
        job = network.client.job(name).job
        if job_id(job) != name:
            raise InvalidProof(f"the network answered with another job than {display_id(name)}")
        self.board = self._board(network, job, jobs.most_batches(Home(self.config.home), name))
        self._same_program = job.program == captured.manifest_digest
        if not self._same_program:
            self.display.say(
                f"{self.board.name} was sent from elsewhere; its model comes back if it fits here"
            )
        return job

    def _send(self, network: Reach, captured: Captured, folder: Path, back: Return) -> Job:
        """Try the fit, send what it needs and submit it."""
        artifacts = folder / "artifacts"
        handing_over = HandingOver(network.client, network.store, captured.artifacts, artifacts)
        captured.store(artifacts, handing_over.have)
        tried = self._try(network, captured, artifacts, folder)
        if tried.result.outcome is CommitmentOutcome.RAISED:
            self._give_up(tried, back)
        self._moved += handing_over.send(self.display.moved("sending"))
        return self._submit(network, captured, tried)

    def _see_through(self, network: Reach, job: Job, folder: Path, back: Return) -> None:
        """Follow the job to its end and bring back what came of it, unless it is let go."""
        name = job_id(job)
        if self.options.detach:
            self._let_go(name)
            return
        self._cancel = lambda: _cancel(network.client, name)
        interrupted = None
        try:
            self._follow(network, name)
        except KeyboardInterrupt as pressed:
            if self.options.lets_go:
                self._let_go(name)
                return
            interrupted = pressed
            self.display.say(f"{display_id(name)}: stopping; press Ctrl-C again to leave at once")
            self._cancel()
            self._follow(network, name, CANCEL_S)
        finally:
            self._cancel = None
        report = self._report_path()
        checked = check(network, job, report)
        assert checked.case is not None
        moved = self.display.moved("receiving")
        collector = Collector(network.client, checked.case.standing, checked.leaves, folder, moved)
        result = collector.collect(back.confined)
        self._moved += collector.bytes_moved
        self.outcome = conclude(network.client, checked, report, self._effort())
        self._finish(network, name, result, back, interrupted)

    def _let_go(self, name: JobId) -> None:
        """Leave the job to the network, and the trainer like one whose fit was interrupted."""
        state = self.trainer.state
        state.status = type(state.status).INTERRUPTED
        self.trainer.training = False
        self.display.say(f"{display_id(name)} goes on without this process")

    def _give_up(self, tried: Preflight, back: Return) -> None:
        """Raise what the program raised in its first batches: nothing was sent or paid."""
        self.display.say("the program raised in its first batches; nothing was sent or paid")
        try:
            back.apply(tried.as_result())
        except FileNotFoundError as error:
            error.add_note("Files do not travel with a program: load data before `fit` is called.")
            raise

    def _try(self, network: Reach, captured: Captured, artifacts: Path, folder: Path) -> Preflight:
        self.display.update(
            "trying the first batches: in two unlike environments, and across a cut", always=True
        )
        runner = Runner(Path(network.info.zygote))
        trial = Trial(runner, captured.manifest_digest, artifacts, folder)
        tried = trial.everything() if self.options.preflight else trial.run()
        must_not_ask(tried, os.environ)
        return tried

    def _submit(self, network: Reach, captured: Captured, tried: Preflight) -> Job:
        parameters = terms.parameters(
            network.client.network().parameters, self.config, self.options.verifiers
        )
        batches = terms.most_batches(self.trainer, tried.result.epoch_batches)
        job = Job(
            program=captured.manifest_digest,
            submitter=network.account.address,
            nonce=Nonce(secrets.token_bytes(16)),
            numerics=tried.result.numerics,
            initial_root=tried.result.start_root,
            sandbox_tier=terms.TIER,
            budget=terms.budget(
                self.config.budget,
                batches,
                parameters,
                network.ledger.balance(network.account.address),
            ),
            value_at_stake=Money(self.config.value_at_stake),
            parameters=parameters,
        )
        self.board = self._board(network, job, batches)
        name = job_id(job)
        jobs.remember(Home(self.config.home), name, batches)
        try:
            network.client.submit(job, list(captured.artifacts))
            network.ledger.deposit(network.account, job)
        except KeyboardInterrupt:
            with contextlib.suppress(NotFound):
                _cancel(network.client, name)
            raise
        self.display.say(f"{display_id(job_id(job))} submitted: {terms.said(job)}")
        return job

    def _follow(self, network: Reach, name: JobId, limit_s: float = 0.0) -> None:
        """Show the job's log until the job has ended; cancel it when it takes too long."""
        board = self.board
        assert board is not None
        with self._in_time(network, name, limit_s or self.config.timeout_seconds):
            for entry in network.client.events(name, self._cursor):
                self._cursor = max(self._cursor, entry.cursor)
                said = board.hear(entry.at_ms, entry.kind, entry.body)
                if self.options.on_event is not None:
                    self.options.on_event(entry)
                self.display.follow(board, said)
                Network.keep(self.config.home)

    @contextlib.contextmanager
    def _in_time(self, network: Reach, name: JobId, limit_s: float) -> Iterator[None]:
        """Cancel the job if the block takes longer than `limit_s`, unless that is 0.

        A thread does it: a job that nobody works on has no events either.
        """
        over = threading.Event()

        def stop() -> None:
            wait_s = limit_s
            while not over.wait(wait_s):
                wait_s = CANCEL_AGAIN_S
                with contextlib.suppress(NetworkError):  # whoever follows the job says so
                    _cancel(network.client, name)
                    return

        if limit_s:
            threading.Thread(target=stop, daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _finish(
        self,
        network: Reach,
        name: JobId,
        result: Result | None,
        back: Return,
        interrupted: KeyboardInterrupt | None,
    ) -> None:
        ended = network.client.job(name)
        self._tell()
        if result is not None:
            back.apply(result, same_program=self._same_program)
        if interrupted is not None:
            raise interrupted
        if ended.state is not State.SETTLED:
            reason = ended.reason or Reason.CANCELLED
            kind = NotReplayable if reason is Reason.NOT_REPRODUCIBLE else NetworkError
            raise kind(
                f"{display_id(name)} {WHY[reason]}",
                hint=(self.board and self.board.trouble)
                or "the trainer holds what was accepted until then",
            )

    def _tell(self) -> None:
        assert self.outcome is not None
        told = self.outcome
        self.display.say(f"{told.name}: {told.verdict}. {told.statement}")
        receipt = f"receipt in transaction {told.receipt_tx}" if told.receipt_tx else "no receipt"
        self.display.say(
            f"{told.batches} batches, paid {terms.credits_of(told.paid)}, {receipt}; "
            f"report: {told.report}"
        )

    def _board(self, network: Reach, job: Job, batches: int) -> Board:
        names = {each.node.hex(): each.name for each in network.client.network().nodes}
        return Board(job_id(job), batches, names)

    def _report_path(self) -> Path:
        return self.options.report or Path(self.trainer.default_root_dir) / REPORT_NAME

    def _effort(self) -> Effort:
        seconds = time.monotonic() - self._began
        assert self.board is not None
        return Effort(self._moved, *self.board.effort, seconds)


def _cancel(client: Client, name: JobId) -> None:
    """Stop a job; one that is over already stays as it is."""
    with contextlib.suppress(InvalidTransition):
        client.cancel(name)
