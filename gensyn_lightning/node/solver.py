"""Training a segment: run it, hand over the end state, sign what was done, go on with the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.identity import Signature, sign_record
from gensyn_lightning.node.held import Held
from gensyn_lightning.node.memory import Memory
from gensyn_lightning.node.salt import salt
from gensyn_lightning.node.segments import Finding, Inputs, Segments, files_written, pick_up
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment, StoreReceipt, salted_witness
from gensyn_lightning.protocol.digest import Digest, Nonce
from gensyn_lightning.protocol.task import task_id
from gensyn_lightning.report.statement import sign_provenance
from gensyn_lightning.training.request import SegmentResult
from gensyn_lightning.wire.jobs import StateRefs
from gensyn_lightning.wire.nodes import CommitRequest, CommitResponse, Work

TIER = "none"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What the store holds of a segment, under which digests."""

    state: StateRefs
    tape: Digest
    outputs: Digest
    bytes_sent: int


class Solver:
    """Trains segments for one node."""

    def __init__(self, client: Client, segments: Segments, memory: Memory, say: Say) -> None:
        self.client, self.segments, self.memory, self.say = client, segments, memory, say
        self.goes_on: Callable[[], bool] = lambda: True

    def solve(self, held: Held) -> CommitResponse:
        """Train the segment of `held` and commit to it; the answer may bring the next one."""
        began = time.monotonic()
        with self.segments.place(held.work) as folder:
            inputs = self.segments.lay_out(held.work, folder)
            laid_out = time.monotonic()
            finding = self.train(held, inputs, folder / "run")
            ran = time.monotonic()
            handed_over = self.hand_over(held.work, finding)
            answer = self._commit(held, finding.result, handed_over)
        self.say(
            f"segment {held.work.task.index}: events {held.work.task.first_event}"
            f"-{finding.result.end_event}, {finding.result.outcome.name.lower()}; fetched in "
            f"{laid_out - began:.2f} s, ran {ran - laid_out:.2f} s "
            f"(of which {finding.result.seconds:.2f} s inside), handed over "
            f"{handed_over.bytes_sent} bytes in {time.monotonic() - ran:.2f} s"
        )
        return answer

    def train(self, held: Held, inputs: Inputs, scratch: Path) -> Finding:
        """Run the segment."""
        return self.segments.run(held, inputs, scratch)

    def hand_over(self, work: Work, finding: Finding) -> HandedOver:
        """Give the store the end state, the tape and the outputs; keep them here as well."""
        scratch, cache = finding.scratch, self.segments.cache
        made = [
            pick_up(scratch / name)
            for name in ("state/structure.json", "state/tensors.safetensors")
        ]
        made += [pick_up(scratch / name) for name in ("tape.json", "outputs.json")]
        digests = [cache.adopt(path) for path in made]
        written = files_written(scratch)
        for path in written.values():
            cache.adopt(path)
        sent = self.client.upload(written | dict(zip(digests, made, strict=True)))
        return HandedOver(StateRefs(digests[0], digests[1]), digests[2], digests[3], sent)

    def receipt(self, work: Work, refs: StateRefs) -> tuple[StoreReceipt, Signature]:
        """Return the store's word that it holds the end state."""
        return self.client.store_receipt((refs.structure, refs.tensors))

    def keep_salt(self, work: Work, commitment: Commitment, hidden: Nonce) -> None:
        """Remember the salt, to open it when told."""
        self.memory.keep_salt(commitment, hidden)

    def _commit(self, held: Held, result: SegmentResult, handed: HandedOver) -> CommitResponse:
        work, refs = held.work, handed.state
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
                tape=handed.tape,
                outputs=handed.outputs,
                model=result.model,
                store_receipt=receipt,
                store_signature=store_signature,
                provenance=sign_provenance(identity, commitment, signature),
                spent_ms=round(1000 * result.seconds),
                wants_next=self.goes_on(),
            )
        )

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
