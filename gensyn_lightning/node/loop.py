"""A node's life: register, wait for work, do it, hand it in, again, until it is asked to leave.

Whatever goes wrong with one piece of work ends that work alone. After a kill the coordinator gives
the same work again, or what was promised is still known from disk. A node that is asked to leave
registers for nothing, and ends when nobody can ask anything of it any more.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from importlib import metadata

import psutil

from gensyn_lightning.client import ENDED, Client
from gensyn_lightning.errors import (
    CoordinatorUnavailable,
    GensynError,
    LeaseLost,
    NetworkError,
    NotFound,
)
from gensyn_lightning.node.held import Held, Leases
from gensyn_lightning.node.memory import Memory
from gensyn_lightning.node.presence import Presence
from gensyn_lightning.node.segments import Segments
from gensyn_lightning.node.solver import TIER, Solver
from gensyn_lightning.node.verifier import Verifier
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import ZERO, Digest
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.repops import selftest
from gensyn_lightning.wire.nodes import (
    Command,
    CommandKind,
    RegisterRequest,
    Work,
    WorkKind,
)

PACKAGES = ("torch", "pytorch-lightning", "lightning", "torchmetrics", "numpy", "gensyn-lightning")
PAUSE_S = 0.5
CLAIM_WAIT_MS = 3_000  # so that a request to leave is heard soon
LEAVING_WAIT_MS = 500
REASON_CHARS_MAX = 500


class Node:
    """One node: a solver, a verifier or both, for one coordinator."""

    def __init__(  # noqa: PLR0913, PLR0917 - a node's whole equipment
        self,
        name: str,
        roles: frozenset[str],
        client: Client,
        memory: Memory,
        work: Segments,
        presence: Presence,
    ) -> None:
        self._name, self._roles, self._client, self._presence = name, roles, client, presence
        self._memory, self._numerics, self._answer = memory, work.numerics(), work.answer
        self._leaving, self._over = False, set[JobId]()
        self.leases = Leases(client, self._obey, self.say, presence.show)

    def say(self, text: str) -> None:
        """Write a line to this node's log."""
        print(f"{time.strftime('%H:%M:%S')} {self._name}: {text}", file=sys.stderr, flush=True)

    def run(self, solver: Solver, verifier: Verifier) -> None:
        """Work until killed, or until asked to leave and nothing is owed."""
        self._verifier, self._solver = verifier, solver
        solver.goes_on = lambda: not self._presence.asked_to_leave()
        self._register()
        self._presence.show(())
        work: Work | None = None
        while True:
            self._heed()
            work = work or self._claim()
            if work is not None:
                work = self._perform(work)
            elif self._leaving and not self._owes():
                self.say("left")
                return

    def _heed(self) -> None:
        """Register for nothing once the owner wants the node to leave."""
        if self._presence.asked_to_leave() and not self._leaving:
            self._leaving = True
            self.say("leaving: takes nothing more, finishes what it owes")
            self._presence.leaving()
            self._register()

    def _owes(self) -> bool:
        """Whether a salt or a replay may still be asked for: a segment of its own is undecided."""
        if self.leases.holding():
            return True
        for job, index in self._memory.committed().items():
            if job in self._over:
                continue
            try:
                found = self._client.job(job)
            except NotFound:
                self._over.add(job)
                continue
            except NetworkError as error:
                self.say(f"cannot leave yet: {error}")
                return True
            if found.state not in ENDED and found.accepted <= index:
                return True
            self._over.add(job)
        return False

    def _register(self) -> None:
        if self._leaving:
            self._client.register(self._registration(None))
            return
        outputs = self._answer(self._client.challenge())
        answer = self._client.register(self._registration(outputs))
        self.leases.start(answer.heartbeat_ms)
        names = " and ".join(self._numerics)
        self.say(f"registered to {' and '.join(sorted(self._roles))} under {names}")

    def _registration(self, outputs: Digest | None) -> RegisterRequest:
        """Return what this node offers: what it can do, or nothing once it is leaving."""
        stays, account = outputs is not None, self._client.identity.account.address
        return RegisterRequest(
            name=self._name,
            solves=stays and "solve" in self._roles,
            verifies=stays and "verify" in self._roles,
            numerics=self._numerics if stays else (),
            self_test=ZERO if outputs is None else selftest.bound(outputs, account),
            sandbox_tier=TIER,
            cpus=os.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
            software=json_bytes(_software()),
        )

    def _claim(self) -> Work | None:
        wait_ms = LEAVING_WAIT_MS if self._leaving else CLAIM_WAIT_MS
        try:
            answer = self._client.claim(wait_ms, self.leases.holding())
        except NotFound:
            self._register()
            return None
        except NetworkError as error:
            self.say(f"no work: {error}")
            time.sleep(PAUSE_S)
            return None
        if not self.leases.hear(answer.commands) and answer.work is None:
            time.sleep(PAUSE_S)  # the same command would come again at once
        return answer.work

    def _perform(self, work: Work) -> Work | None:
        """Do one piece of work; return the next if it came with the answer."""
        held = self.leases.take(work)
        self.say(f"{work.kind.name.lower()} segment {work.task.index} of {work.job_id.hex()[:16]}")
        try:
            if work.kind is not WorkKind.SOLVE:
                self._verifier.check(held)
                return None
            answer = self._solver.solve(held)
        except LeaseLost as error:
            self.say(f"stopped work on segment {work.task.index}: {error}")
        except CoordinatorUnavailable as error:
            self.say(f"segment {work.task.index} could not be handed in: {error}")
        except Exception as error:
            self._give_back(held, error)
            return None
        else:
            self.leases.let_go(work.work_id)
            self.leases.hear(answer.commands)
            return answer.next
        self.leases.let_go(work.work_id)
        return None

    def _give_back(self, held: Held, error: Exception) -> None:
        """Say why the work cannot be done, so that somebody else is asked."""
        self.leases.let_go(held.work.work_id)
        if not isinstance(error, GensynError):
            traceback.print_exc()
        self.say(f"failed segment {held.work.task.index}: {error}")
        reason = f"{type(error).__name__}: {error}"[:REASON_CHARS_MAX]
        try:
            self._client.fail(held.work, reason)
        except GensynError as refusal:
            self.say(f"could not give it back: {refusal}")
        time.sleep(PAUSE_S)

    def _obey(self, command: Command) -> None:
        if command.kind is CommandKind.OPEN_SALT:
            salt = self._memory.salt(command.subject)
            if salt is not None:
                self._client.open_salt(command.subject, salt)
        elif command.kind is CommandKind.REPORT:
            self._verifier.report(command.subject)
            self.leases.let_go(command.subject)


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found
