"""Checking a segment: replay it from its start state, promise blind what came out, then show it.

A verifier claims no verdict; it shows the roots it computed. What contradicts the commitment is
replayed once more in a fresh fork before anybody hears of it, since honest machines err.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.errors import LeaseLost, NotReplayable
from gensyn_lightning.identity import sign_record
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.memory import Memory, Promised
from gensyn_lightning.node.salt import replay_nonce
from gensyn_lightning.node.segments import Segments
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.verdict import Replay, blind, same_finding
from gensyn_lightning.report.statement import agreement, sign_test_result
from gensyn_lightning.training.request import SegmentResult
from gensyn_lightning.wire.nodes import PromiseRequest, ReportRequest, Work

Say = Callable[[str], None]


class Verifier:
    """Replays segments for one node."""

    def __init__(self, client: Client, segments: Segments, memory: Memory, say: Say) -> None:
        self.client, self.segments, self.memory, self.say = client, segments, memory, say

    def check(self, held: Held) -> None:
        """Replay the segment of `held` and promise the result; it stays held until reported."""
        work = held.work
        commitment = _commitment(work)
        known = self.memory.promised(work.work_id)
        replay = known.replay if known is not None else self._as_replay(work, self.replay(held))
        self.memory.keep_promised(Promised(work.work_id, work.fence, commitment, replay))
        promise = blind(replay)
        identity = self.client.identity
        signature = sign_record(promise, identity.domain, identity.account)
        self.client.promise(PromiseRequest(work.work_id, work.fence, promise, signature))
        _, failed = agreement(commitment, replay)
        found = f"other {', '.join(failed)}" if failed else "the same roots"
        self.say(f"segment {work.task.index}: replayed, {found}")

    def replay(self, held: Held) -> SegmentResult:
        """Return what replaying the segment gives; a contradiction is reproduced first."""
        work = held.work
        with self.segments.place(work) as folder:
            first = self._once(held, folder / "first")
            if self._agrees(work, first):
                return first
            second = self._once(held, folder / "second")
        same = same_finding(self._as_replay(work, first), self._as_replay(work, second))
        if same or self._agrees(work, second):
            return second
        raise NotReplayable(
            f"two replays of segment {work.task.index} gave two results",
            hint="the program or this machine is not deterministic",
        )

    def report(self, work_id: Digest) -> None:
        """Show the replay that was promised."""
        promised = self.memory.promised(work_id)
        if promised is None:
            raise LeaseLost("nothing was promised under this name")
        identity, replay = self.client.identity, promised.replay
        signature = sign_record(replay, identity.domain, identity.account)
        result = sign_test_result(identity, promised.commitment, replay, signature)
        self.client.report(ReportRequest(work_id, promised.fence, replay, signature, result))

    def _once(self, held: Held, folder: Path) -> SegmentResult:
        folder.mkdir(mode=0o700)
        inputs = self.segments.lay_out(held.work, folder)
        return self.segments.run(held, inputs, folder / "run").result

    def _agrees(self, work: Work, result: SegmentResult) -> bool:
        return not agreement(_commitment(work), self._as_replay(work, result))[1]

    def _as_replay(self, work: Work, result: SegmentResult) -> Replay:
        commitment = struct_hash(_commitment(work))
        draw = work.draw or Digest(bytes(32))
        return result.as_replay(
            commitment=commitment,
            verifier=self.client.identity.address,
            draw=draw,
            nonce=replay_nonce(self.client.identity.account, commitment, draw),
        )


def _commitment(work: Work) -> Commitment:
    if work.commitment is None:
        raise LeaseLost("there is nothing to check in this work")
    return work.commitment
