"""A verdict follows from the records: whoever has them computes the same one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from gensyn_lightning.errors import InvalidProof
from gensyn_lightning.protocol.commitment import Commitment, Outcome, salted_witness
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Nonce
from gensyn_lightning.protocol.verdict import (
    Arbitration,
    Replay,
    Verdict,
    arbitrate,
    blind,
    check_opening,
    compare,
    miss_chance_ppm,
    same_finding,
    tally,
    verdict,
)

SALT = Nonce(bytes([9] * 16))


def digest(number: int) -> Digest:
    return Digest(bytes([number] * 32))


HONEST = Replay(
    commitment=digest(1),
    verifier=Address(bytes([1] * 20)),
    draw=digest(2),
    end_event=8,
    batches=8,
    outcome=Outcome.CONTINUES,
    raised=ZERO,
    end_root=digest(3),
    tape_root=digest(4),
    outputs_root=digest(5),
    witness_root=digest(6),
    numerics="native:0123456789abcdef",
    nonce=Nonce(bytes([7] * 16)),
)
CLAIM = Commitment(
    job=digest(10),
    task=digest(11),
    task_index=0,
    fence=1,
    solver=Address(bytes([2] * 20)),
    first_event=0,
    end_event=8,
    batches=8,
    outcome=Outcome.CONTINUES,
    raised=ZERO,
    start_root=digest(12),
    end_root=digest(3),
    tape_root=digest(4),
    outputs_root=digest(5),
    witness=salted_witness(SALT, digest(6)),
    numerics="native:0123456789abcdef",
    sandbox_tier="none",
    store_receipt=digest(13),
)
FOUND: dict[str, Any] = {
    "end_event": 9,
    "batches": 7,
    "outcome": Outcome.FINISHED,
    "raised": digest(20),
    "tape_root": digest(20),
    "end_root": digest(20),
    "outputs_root": digest(20),
    "witness_root": digest(20),
    "numerics": "native:fedcba9876543210",
}


def test_the_same_findings_match() -> None:
    assert compare(CLAIM, SALT, HONEST) is None
    assert verdict(CLAIM, SALT, HONEST) is Verdict.MATCH


@pytest.mark.parametrize("name", FOUND)
def test_every_finding_counts_and_is_named(name: str) -> None:
    other = replace(HONEST, **{name: FOUND[name]})
    difference = compare(CLAIM, SALT, other)
    assert difference is not None
    assert difference.field == name.removesuffix("_root" if "witness" in name else "")
    assert difference.claimed != difference.found
    assert verdict(CLAIM, SALT, other) is Verdict.NO_MATCH
    assert not same_finding(other, HONEST)


def test_who_replayed_and_when_is_no_finding() -> None:
    other = replace(
        HONEST, verifier=Address(bytes(20)), draw=ZERO, nonce=Nonce(bytes(16)), commitment=ZERO
    )
    assert same_finding(other, HONEST)
    assert verdict(CLAIM, SALT, other) is Verdict.MATCH


def test_a_copied_commitment_never_matches_without_the_salt() -> None:
    copied = replace(HONEST, witness_root=CLAIM.witness)
    assert verdict(CLAIM, SALT, copied) is Verdict.NO_MATCH
    assert verdict(CLAIM, Nonce(bytes(16)), HONEST) is Verdict.NO_MATCH


def test_a_promise_binds_every_field_of_the_replay() -> None:
    promise = blind(HONEST)
    check_opening(promise, HONEST)
    for name, value in {**FOUND, "nonce": Nonce(bytes(16)), "draw": ZERO}.items():
        with pytest.raises(InvalidProof):
            check_opening(promise, replace(HONEST, **{name: value}))
    with pytest.raises(InvalidProof):
        check_opening(promise, replace(HONEST, verifier=Address(bytes(20))))


RIGHT, WRONG, OTHER = 3, 30, 31


@pytest.mark.parametrize(
    ("solver", "accuser", "third"),
    list(product((RIGHT, WRONG), (RIGHT, WRONG, OTHER), (3, 30, 31, None))),
)
def test_two_of_three_decide(solver: int, accuser: int, third: int | None) -> None:
    claim = replace(CLAIM, end_root=digest(solver))
    accusation = replace(HONEST, end_root=digest(accuser))
    opinion = None if third is None else replace(HONEST, end_root=digest(third))
    expected = Arbitration.INCONCLUSIVE
    if third is not None and third == solver:
        expected = Arbitration.UPHELD
    elif third is not None and third == accuser:
        expected = Arbitration.REFUTED
    assert arbitrate(claim, SALT, accusation, opinion) is expected


@pytest.mark.parametrize(
    ("segments", "replayed", "chance"),
    [(0, 0, 0), (1, 0, 1_000_000), (1, 1, 0), (10, 1, 900_000), (3, 1, 666_666), (10, 10, 0)],
)
def test_the_chance_to_miss_one_bad_segment_is_the_share_not_replayed(
    segments: int, replayed: int, chance: int
) -> None:
    assert miss_chance_ppm(segments, replayed) == chance


def test_verdicts_are_counted_by_kind() -> None:
    assert tally((Verdict.MATCH, Verdict.TIMEOUT, Verdict.MATCH)) == {
        Verdict.MATCH: 2,
        Verdict.TIMEOUT: 1,
    }
