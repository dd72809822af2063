"""What a solver signs about a segment: its start, its end, and proof that it was there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address, Digest, Nonce


class Outcome(IntEnum):
    """How a segment ended."""

    CONTINUES = 0
    FINISHED = 1
    RAISED = 2


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """The store's word that it holds the end state: digests, total length, until when."""

    artifacts: tuple[Digest, ...]
    length: int
    holder: Address


@dataclass(frozen=True, slots=True)
class Commitment:
    """One attempt's claim; a contract, a verifier and a reader of the report all check this record.

    `witness` is salted (see `salted_witness`), `raised` the digest of the exception for outcome
    RAISED and zero otherwise, `store_receipt` the digest of the `StoreReceipt` for the end state.
    `end_event` is the first event the segment does not cover.
    """

    job: Digest
    task: Digest
    task_index: int
    fence: int
    solver: Address
    first_event: int
    end_event: int
    batches: int
    outcome: Outcome
    raised: Digest
    start_root: Digest
    end_root: Digest
    tape_root: Digest
    outputs_root: Digest
    witness: Digest
    numerics: str
    sandbox_tier: str
    store_receipt: Digest


@dataclass(frozen=True, slots=True)
class SaltedWitness:
    """A witness root hidden until its salt opens, so that nobody can copy it."""

    salt: Nonce
    witness_root: Digest


def salted_witness(salt: Nonce, witness_root: Digest) -> Digest:
    """Return what a commitment carries instead of the witness root."""
    return struct_hash(SaltedWitness(salt, witness_root))
