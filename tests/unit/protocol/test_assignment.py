"""Draws are the same for whoever repeats them, fair, and never pick a party to the work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gensyn_lightning.protocol.assignment import (
    Candidate,
    Draw,
    Seed,
    draw_solvers,
    draw_verifiers,
    sampled,
)
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import ZERO, Address, keccak
from gensyn_lightning.protocol.parameters import PPM

DRAW = Draw(keccak(b"seed"), keccak(b"task"), "verify", 0)


def address(number: int) -> Address:
    return Address(keccak(number.to_bytes(4, "big"))[:20])


candidates = st.lists(
    st.builds(
        Candidate,
        node=st.integers(0, 40).map(address),
        owner=st.integers(50, 53).map(address),
        solves=st.booleans(),
        verifies=st.booleans(),
        numerics=st.just("native:0"),
    ),
    max_size=12,
    unique_by=lambda each: each.node,
)
owners = st.frozensets(st.integers(50, 53).map(address), max_size=3)


@given(candidates, owners, st.integers(0, 5), st.randoms())
def test_a_draw_is_the_same_for_whoever_repeats_it(
    field: list[Candidate], parties: frozenset[Address], count: int, chance: object
) -> None:
    shuffled = sorted(field, key=lambda each: keccak(each.node + b"other order"))
    chosen = draw_verifiers(DRAW, field, parties, count)
    assert chosen == draw_verifiers(DRAW, shuffled, parties, count)
    by_node = {each.node: each for each in field}
    eligible = [each for each in field if each.verifies and each.owner not in parties]
    assert len(chosen) == min(count, len(eligible))
    assert all(by_node[each].verifies for each in chosen)
    assert not {by_node[each].owner for each in chosen} & parties


@given(candidates, owners)
def test_every_eligible_solver_has_a_place(
    field: list[Candidate], parties: frozenset[Address]
) -> None:
    order = draw_solvers(DRAW, field, parties)
    assert set(order) == {each.node for each in field if each.solves and each.owner not in parties}
    assert len(order) == len(set(order))


@given(candidates, owners, st.integers(0, 4))
def test_a_longer_draw_begins_with_the_shorter(
    field: list[Candidate], parties: frozenset[Address], count: int
) -> None:
    longer = draw_verifiers(DRAW, field, parties, count + 1)
    assert longer[:count] == draw_verifiers(DRAW, field, parties, count)


def test_every_part_of_a_draw_changes_who_is_drawn() -> None:
    field = [Candidate(address(each), address(each), True, True, "n") for each in range(64)]
    others = [
        replace(DRAW, seed=ZERO),
        replace(DRAW, task=ZERO),
        replace(DRAW, purpose="solve"),
        replace(DRAW, round=1),
    ]
    orders = {draw_verifiers(each, field, frozenset(), 64) for each in (DRAW, *others)}
    assert len(orders) == 5


def test_every_node_is_drawn_about_as_often() -> None:
    field = [Candidate(address(each), address(each), True, True, "n") for each in range(4)]
    first = Counter(
        draw_verifiers(replace(DRAW, round=index), field, frozenset(), 1)[0] for index in range(800)
    )
    assert len(first) == 4
    assert all(120 < count < 280 for count in first.values())


def test_sampling_follows_the_rate() -> None:
    tasks = [keccak(index.to_bytes(4, "big")) for index in range(2000)]
    for rate, low, high in ((0, 0, 0), (PPM // 10, 130, 270), (PPM // 2, 900, 1100)):
        assert low <= sum(sampled(DRAW.seed, each, rate, 1) for each in tasks) <= high
    assert all(sampled(DRAW.seed, each, PPM, 1) for each in tasks)
    assert not any(sampled(DRAW.seed, each, 0, 1) for each in tasks)


def test_the_first_segment_is_always_sampled_where_any_may_be() -> None:
    tasks = [keccak(index.to_bytes(4, "big")) for index in range(100)]
    assert all(sampled(DRAW.seed, each, 1, 0) for each in tasks)
    assert not any(sampled(DRAW.seed, each, 0, 0) for each in tasks)


@given(st.binary(min_size=32, max_size=32), st.integers(0, PPM), st.integers(0, PPM))
def test_a_higher_rate_samples_whatever_a_lower_one_did(seed: bytes, one: int, two: int) -> None:
    low, high = sorted((one, two))
    task = keccak(seed)
    assert sampled(task, task, low, 1) <= sampled(task, task, high, 1)


def test_the_seed_holds_the_anchor_and_its_block() -> None:
    seed = Seed(keccak(b"task"), keccak(b"anchor"), keccak(b"block"))
    others = [replace(seed, **{name: ZERO}) for name in ("task", "anchored", "block")]
    assert len({struct_hash(each) for each in (seed, *others)}) == 4
