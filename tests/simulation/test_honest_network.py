"""Honest nodes, and a coordinator that may die at any write."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("seed", range(10))
def test_an_honest_job_is_settled_with_every_segment_replayed(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed)
    solver = actors["Node"](world, "solver-1", verifies=False)
    actors["Node"](world, "solver-2", verifies=False)
    actors["Node"](world, "verifier-1", solves=False)
    world.submit()
    world.run()

    world.check_honest_end()
    receipt = world.ledger.receipt(world.job)
    assert receipt.replayed == receipt.segments
    assert world.ledger.balance(solver.address) > 0 or "solver-1 was never drawn"


@pytest.mark.parametrize("seed", range(20))
def test_a_coordinator_killed_at_any_write_loses_nothing_and_pays_once(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed, events=400, kill_rate=0.15)
    for name in ("solver-1", "solver-2"):
        actors["Node"](world, name)
    actors["Node"](world, "verifier-1", solves=False)
    world.submit()
    world.run()

    world.check_honest_end()
    assert world.kills > 0


def play(new_world: Any, actors: Any, **kill: int) -> Any:
    world = new_world(7, events=30)
    for name in ("solver-1", "solver-2"):
        actors["Node"](world, name)
    actors["Node"](world, "verifier-1", solves=False)
    for name, at in kill.items():
        setattr(world.store, name, at)
    world.submit()
    world.run()
    world.check_honest_end()
    return world


def test_a_kill_before_or_after_every_single_write_changes_nothing(
    new_world: Any, actors: Any
) -> None:
    calm = play(new_world, actors)
    for write in range(3, calm.store.writes):  # the first three register the nodes
        for when in ("kill_before", "kill_after"):
            world = play(new_world, actors, **{when: write})
            assert world.kills == 1, (when, write)
            assert world.ledger.receipt(world.job).end_root == calm.honest_root
