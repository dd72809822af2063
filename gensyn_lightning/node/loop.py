"""A node's life: register, wait for work, do it, hand it in, again; only a kill ends it.

Whatever goes wrong with one piece of work ends that work alone. After a kill the coordinator gives
the same work again, or what was promised is still known from disk.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from importlib import metadata
from typing import NoReturn

import psutil

from gensyn_lightning.client import Client
from gensyn_lightning.errors import (
    CoordinatorUnavailable,
    GensynError,
    LeaseLost,
    NetworkError,
    NotFound,
)
from gensyn_lightning.node.held import Held, Leases
from gensyn_lightning.node.memory import Memory
from gensyn_lightning.node.segments import Segments
from gensyn_lightning.node.solver import TIER, Solver
from gensyn_lightning.node.verifier import Verifier
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.repops import selftest
from gensyn_lightning.wire.nodes import (
    CLAIM_WAIT_MS_MAX,
    Command,
    CommandKind,
    RegisterRequest,
    Work,
    WorkKind,
)

PACKAGES = ("torch", "pytorch-lightning", "lightning", "torchmetrics", "numpy", "gensyn-lightning")
PAUSE_S = 0.5
REASON_CHARS_MAX = 500


class Node:
    """One node: a solver, a verifier or both, for one coordinator."""

    def __init__(
        self, name: str, roles: frozenset[str], client: Client, memory: Memory, work: Segments
    ) -> None:
        self._name, self._roles, self._client = name, roles, client
        self._memory, self._numerics, self._answer = memory, work.numerics(), work.answer
        self.leases = Leases(client, self._obey, self.say)

    def say(self, text: str) -> None:
        """Write a line to this node's log."""
        print(f"{time.strftime('%H:%M:%S')} {self._name}: {text}", file=sys.stderr, flush=True)

    def run(self, solver: Solver, verifier: Verifier) -> NoReturn:
        """Work until killed."""
        self._verifier, self._solver = verifier, solver
        self._register()
        work: Work | None = None
        while True:
            work = work or self._claim()
            if work is not None:
                work = self._perform(work)

    def _register(self) -> None:
        outputs = self._answer(self._client.challenge())
        request = RegisterRequest(
            name=self._name,
            solves="solve" in self._roles,
            verifies="verify" in self._roles,
            numerics=self._numerics,
            self_test=selftest.bound(outputs, self._client.identity.account.address),
            sandbox_tier=TIER,
            cpus=os.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
            software=json_bytes(_software()),
        )
        answer = self._client.register(request)
        self.leases.start(answer.heartbeat_ms)
        names = " and ".join(self._numerics)
        self.say(f"registered to {' and '.join(sorted(self._roles))} under {names}")

    def _claim(self) -> Work | None:
        try:
            answer = self._client.claim(CLAIM_WAIT_MS_MAX, self.leases.holding())
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
