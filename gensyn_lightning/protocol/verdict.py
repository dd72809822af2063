"""What a replay says about a commitment, and how blind reports are opened and compared.

A verifier never claims a verdict: it reveals the roots it computed, and the verdict follows from
comparing them with the commitment, so that whoever has the records can recompute it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

from gensyn_lightning.errors import InvalidProof
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment, Outcome, salted_witness
from gensyn_lightning.protocol.digest import Address, Digest, Nonce


class Verdict(IntEnum):
    """What is known about a segment."""

    MATCH = 0
    NO_MATCH = 1
    TIMEOUT = 2
    CANCELLED = 3
    INCONCLUSIVE = 4
    NOT_REPRODUCIBLE = 5


class DisputeClass(IntEnum):
    """How a contradiction was settled: by arithmetic on the chain, or by replaying control flow."""

    NONE = 0
    ARITHMETIC = 1
    CONTROL = 2


@dataclass(frozen=True, slots=True)
class Replay:
    """The roots one node found by replaying an attempt's segment; the witness root is unsalted.

    `draw` names the draw that chose this node, `nonce` hides the report until it opens. `batches`
    is counted again, since it is what a solver is paid for.
    """

    commitment: Digest
    verifier: Address
    draw: Digest
    end_event: int
    batches: int
    outcome: Outcome
    raised: Digest
    end_root: Digest
    tape_root: Digest
    outputs_root: Digest
    witness_root: Digest
    numerics: str
    nonce: Nonce


@dataclass(frozen=True, slots=True)
class BlindReport:
    """A verifier's promise of its replay, signed before the salt opens."""

    commitment: Digest
    verifier: Address
    replay: Digest


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing a replay found otherwise; `field` names the commitment's field."""

    field: str
    claimed: str
    found: str


def blind(replay: Replay) -> BlindReport:
    """Return the promise that binds a verifier to `replay` without showing it."""
    return BlindReport(replay.commitment, replay.verifier, struct_hash(replay))


def check_opening(promise: BlindReport, replay: Replay) -> None:
    """Raise `InvalidProof` unless `replay` is what `promise` promised."""
    if blind(replay) != promise:
        raise InvalidProof("the replay is not the one that was promised")


def compare(commitment: Commitment, salt: Nonce, replay: Replay) -> Difference | None:
    """Return the first field in which `replay` contradicts `commitment`, or None when all agree."""
    pairs = (
        ("end_event", commitment.end_event, replay.end_event),
        ("outcome", commitment.outcome.name, replay.outcome.name),
        ("raised", commitment.raised.hex(), replay.raised.hex()),
        ("tape_root", commitment.tape_root.hex(), replay.tape_root.hex()),
        ("end_root", commitment.end_root.hex(), replay.end_root.hex()),
        ("outputs_root", commitment.outputs_root.hex(), replay.outputs_root.hex()),
        ("witness", commitment.witness.hex(), salted_witness(salt, replay.witness_root).hex()),
        ("batches", commitment.batches, replay.batches),
        ("numerics", commitment.numerics, replay.numerics),
    )
    for field, claimed, found in pairs:
        if claimed != found:
            return Difference(field, str(claimed), str(found))
    return None


def verdict(commitment: Commitment, salt: Nonce, replay: Replay) -> Verdict:
    """Return MATCH when the replay agrees with every root of the commitment, else NO_MATCH."""
    return Verdict.MATCH if compare(commitment, salt, replay) is None else Verdict.NO_MATCH


def same_finding(left: Replay, right: Replay) -> bool:
    """Whether two replays found the same roots, whoever made them."""
    return _finding(left) == _finding(right)


class Arbitration(IntEnum):
    """What two of three independent replays say about a contradicted commitment."""

    UPHELD = 0
    REFUTED = 1
    INCONCLUSIVE = 2


def arbitrate(
    commitment: Commitment, salt: Nonce, accuser: Replay, third: Replay | None
) -> Arbitration:
    """Two of three decide: the solver's commitment, the accuser's replay and a third key's."""
    if third is None:
        return Arbitration.INCONCLUSIVE
    if compare(commitment, salt, third) is None:
        return Arbitration.UPHELD
    if same_finding(accuser, third):
        return Arbitration.REFUTED
    return Arbitration.INCONCLUSIVE


def miss_chance_ppm(segments: int, replayed: int) -> int:
    """Return the chance, in parts per million, that one bad segment was not replayed."""
    return 1_000_000 * (segments - replayed) // segments if segments else 0


def tally(verdicts: tuple[Verdict, ...]) -> dict[Verdict, int]:
    """Count verdicts of each kind."""
    return dict(Counter(verdicts))


def _finding(replay: Replay) -> tuple[object, ...]:
    return (
        replay.end_event,
        replay.batches,
        replay.outcome,
        replay.raised,
        replay.end_root,
        replay.tape_root,
        replay.outputs_root,
        replay.witness_root,
        replay.numerics,
    )
