"""Training a segment: run it, hand over the end state, sign what was done, go on with the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.errors import SandboxError
from gensyn_lightning.identity import Signature, sign_record
from gensyn_lightning.node.ahead import Ahead, following
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.memory import Memory
from gensyn_lightning.node.salt import salt
from gensyn_lightning.node.segments import Finding, Inputs, Segments, files_written, pick_up
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment, Outcome, StoreReceipt, salted_witness
from gensyn_lightning.protocol.digest import Digest, Nonce
from gensyn_lightning.protocol.task import task_id
from gensyn_lightning.report.statement import sign_provenance
from gensyn_lightning.training.request import SegmentResult
from gensyn_lightning.wire.jobs import StateRefs
from gensyn_lightning.wire.nodes import CommitRequest, CommitResponse, Work

TIER = "none"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a segment left: under which digests, and where their bytes lie in the cache."""

    state: StateRefs
    tape: Digest
    outputs: Digest
    files: Mapping[Digest, Path]


class Solver:
    """Trains segments for one node; `goes_ahead` with the next one while it hands one over."""

    goes_ahead = True

    def __init__(self, client: Client, segments: Segments, memory: Memory, say: Say) -> None:
        self.client, self.segments, self.memory, self.say = client, segments, memory, say
        self.goes_on: Callable[[], bool] = lambda: True
        self._ahead: Ahead | None = None

    def solve(self, held: Held) -> CommitResponse:
        """Train the segment of `held` and commit to it; the answer may bring the next one."""
        began = time.monotonic()
        begun = self._taken_over(held.work)
        with begun.place if begun else ExitStack() as place:
            folder, finding = self._trained(held, begun, place)
            ran = time.monotonic()
            kept = self._keep(finding)
            if self.goes_ahead and finding.result.outcome is Outcome.CONTINUES and self.goes_on():
                self._go_ahead(following(held.work, finding.result, kept.state), folder, place)
            answer: CommitResponse | None = None
            try:
                sent = self.hand_over(held.work, kept)
                answer = self.commit(held, finding.result, kept)
                self.segments.cache.shrink()
            finally:
                if answer is None or answer.next is None:
                    self.stop()
        self.say(
            f"segment {held.work.task.index}: events {held.work.task.first_event}"
            f"-{finding.result.end_event}, {finding.result.outcome.name.lower()}; "
            f"{ran - began:.2f} s (of which {finding.result.seconds:.2f} s inside), handed over "
            f"{sent} bytes in {time.monotonic() - ran:.2f} s"
        )
        return answer

    def train(self, held: Held, inputs: Inputs, scratch: Path) -> Finding:
        """Run the segment."""
        return self.segments.run(held, inputs, scratch)

    def hand_over(self, work: Work, kept: Kept) -> int:
        """Give the store the end state, the tape and the outputs; return how many bytes went."""
        return self.client.upload(kept.files)

    def receipt(self, work: Work, refs: StateRefs) -> tuple[StoreReceipt, Signature]:
        """Return the store's word that it holds the end state."""
        return self.client.store_receipt((refs.structure, refs.tensors))

    def keep_salt(self, work: Work, commitment: Commitment, hidden: Nonce) -> None:
        """Remember the salt, to open it when told."""
        self.memory.keep_salt(commitment, hidden)

    def commit(self, held: Held, result: SegmentResult, kept: Kept) -> CommitResponse:
        """Sign what was done and hand it in; return the answer."""
        work, refs = held.work, kept.state
        receipt, store_signature = self.receipt(work, refs)
        commitment = self._commitment(work, result, receipt)
        identity = self.client.identity
        signature = sign_record(commitment, identity.domain, identity.account)
        held.handed_in = True
        return self.client.commit(
            CommitRequest(
                work_id=work.work_id,
                fence=work.fence,
                commitment=commitment,
                signature=signature,
                state=refs,
                tape=kept.tape,
                outputs=kept.outputs,
                model=result.model,
                store_receipt=receipt,
                store_signature=store_signature,
                provenance=sign_provenance(identity, commitment, signature),
                spent_ms=round(1000 * result.seconds),
                wants_next=self.goes_on(),
            )
        )

    def stop(self) -> None:
        """End what was begun ahead, if anything was."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.give_up()

    def _taken_over(self, work: Work) -> Ahead | None:
        """Return what was begun ahead if it is `work`; end it if it is something else."""
        if self._ahead is not None and not self._ahead.is_for(work):
            self.stop()
        begun, self._ahead = self._ahead, None
        return begun

    def _trained(self, held: Held, begun: Ahead | None, place: ExitStack) -> tuple[Path, Finding]:
        """Return the segment of `held`, trained in a folder that lasts as long as `place`."""
        if begun is not None:
            try:
                return begun.folder, begun.finish(held)
            except SandboxError as error:
                self.say(f"what was begun ahead is lost: {error}")
                place.close()
        folder = place.enter_context(self.segments.place(held.work))
        inputs = self.segments.lay_out(held.work, folder)
        return folder, self.train(held, inputs, folder / "run")

    def _go_ahead(self, work: Work, folder: Path, place: ExitStack) -> None:
        """Begin `work` in `folder`; what comes of that is no reason not to hand over."""
        try:
            self._ahead = Ahead(self.segments, folder, work)
        except Exception as error:
            self.say(f"segment {work.task.index} is not begun ahead: {error!r}")
        else:
            self._ahead.place = place.pop_all()

    def _keep(self, finding: Finding) -> Kept:
        """Take what a segment left into the cache."""
        scratch, cache = finding.scratch, self.segments.cache
        names = ("state/structure.json", "state/tensors.safetensors", "tape.json", "outputs.json")
        digests = [cache.adopt(pick_up(scratch / name)) for name in names]
        written = [cache.adopt(path) for path in files_written(scratch).values()]
        files = {each: cache.get(each) for each in (*written, *digests)}
        return Kept(StateRefs(digests[0], digests[1]), digests[2], digests[3], files)

    def _commitment(self, work: Work, result: SegmentResult, receipt: StoreReceipt) -> Commitment:
        task = task_id(work.task)
        hidden = salt(self.client.identity.account, task, work.fence)
        commitment = Commitment(
            job=work.job_id,
            task=task,
            task_index=work.task.index,
            fence=work.fence,
            solver=self.client.identity.address,
            first_event=work.task.first_event,
            end_event=result.end_event,
            batches=result.batches,
            outcome=result.outcome,
            raised=result.raised,
            start_root=work.task.start_root,
            end_root=result.end_root,
            tape_root=result.tape_root,
            outputs_root=result.outputs_root,
            witness=salted_witness(hidden, result.witness_root),
            numerics=result.numerics,
            sandbox_tier=TIER,
            store_receipt=struct_hash(receipt),
        )
        self.keep_salt(work, commitment, hidden)
        return commitment
