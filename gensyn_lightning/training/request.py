"""What a runner is asked to run, and what it found; read by processes that never load torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import Address, Digest, Nonce
from gensyn_lightning.protocol.verdict import Replay


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """Run the program named `manifest` from `state` until the first cut at or after `target_event`.

    `artifacts` is a folder of files named by their digest, `state` one with the two files of a
    state (None before event 0). `start_root` seeds the witness; it is zero while nobody knows it,
    at preflight. `tape` is a recording to replay; with `tape_follows` it is being made, and waited
    for once the program is loaded. With `target_file` the target is not known yet either: at
    the first cut that file is waited for, and read. With `beyond` the state at that cut is kept
    under `kept/` and the number of its event, and the segment ends at the cut after it. `trace`
    also writes every event's state root; `perturb` other than 0 asks for an unlike environment,
    as at preflight.
    """

    manifest: Digest
    artifacts: Path
    state: Path | None
    first_event: int
    target_event: int
    start_root: Digest
    tape: Path | None = None
    tape_follows: bool = False
    target_file: Path | None = None
    beyond: bool = False
    trace: bool = False
    perturb: int = 0


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """Where a segment ended; `raised_text` is for people, the rest is what gets committed.

    `witness_root` is unsalted, `model` the digest of the model in the end state, `hash_seconds`
    the part of `seconds` that went into digests, `epoch_batches` how many training batches an
    epoch has, 0 where nothing says so.
    """

    outcome: Outcome
    raised: Digest
    raised_text: str
    end_event: int
    batches: int
    start_root: Digest
    end_root: Digest
    tape_root: Digest
    witness_root: Digest
    outputs_root: Digest
    model: Digest
    numerics: str
    seconds: float
    hash_seconds: float
    epoch_batches: int

    def as_replay(
        self, *, commitment: Digest, verifier: Address, draw: Digest, nonce: Nonce
    ) -> Replay:
        """Return what was found as the record that is compared with a commitment."""
        return Replay(
            commitment=commitment,
            verifier=verifier,
            draw=draw,
            end_event=self.end_event,
            batches=self.batches,
            outcome=self.outcome,
            raised=self.raised,
            end_root=self.end_root,
            tape_root=self.tape_root,
            outputs_root=self.outputs_root,
            witness_root=self.witness_root,
            numerics=self.numerics,
            nonce=nonce,
        )
