"""What the chain says about a finished job, and the signed copy people keep."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from gensyn_lightning.protocol.digest import Address, Digest, Money
from gensyn_lightning.protocol.verdict import DisputeClass


class Status(IntEnum):
    """The one word a job ends with."""

    VERIFIED = 0
    UNVERIFIED = 1
    INCONCLUSIVE = 2
    CANCELLED = 3
    NOT_REPRODUCIBLE = 4


@dataclass(frozen=True, slots=True)
class Receipt:
    """This model results from this program under these numerics; this much was re-executed.

    `replayed` counts segments with a matching replay, `owners` the independent owners who made
    them. `single_operator` is true when one operator runs every node, as at home. It does not
    say that the data was good or the model useful.
    """

    job: Digest
    program: Digest
    submitter: Address
    model: Digest
    end_root: Digest
    segments: int
    replayed: int
    owners: int
    numerics: str
    sandbox_tier: str
    dispute_class: DisputeClass
    single_operator: bool
    commitments_root: Digest
    settle_root: Digest
    paid: Money
