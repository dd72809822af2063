"""Jobs that end early, or find nobody: what was accepted is paid, the rest goes back."""

from __future__ import annotations

from typing import Any

import pytest

from gensyn_lightning.errors import InvalidTransition, Unauthenticated
from gensyn_lightning.wire import jobs as wire


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kill_rate", [0.0, 0.1])
def test_a_cancelled_job_pays_what_was_accepted_and_refunds_the_rest(
    new_world: Any, actors: Any, kill_rate: float, seed: int
) -> None:
    world = new_world(seed, events=400, kill_rate=kill_rate)
    actors["Node"](world, "solver-1")
    actors["Node"](world, "verifier-1", solves=False)
    world.submit()
    world.run(until=lambda: world.page.job.accepted >= seed % 4)
    world.insist("cancel", wire.CancelRequest(world.job), world.caller)
    world.run()

    assert world.state().name == "REFUNDED"
    assert world.page.job.reason.name == "CANCELLED"
    accepted = sum(e.handover.commitment.batches for e in world.page.accepted())
    paid = sum(world.ledger.balance(each) for each in world.addresses)
    assert paid == accepted * world.parameters.price_per_batch
    world.check_money()


def test_only_the_submitter_stops_a_job(new_world: Any, actors: Any) -> None:
    world = new_world(1)
    node = actors["Node"](world, "solver-1")
    world.submit()
    with pytest.raises(Unauthenticated):
        world.call("cancel", wire.CancelRequest(world.job), node.caller)


def test_a_settled_job_cannot_be_stopped(new_world: Any, actors: Any) -> None:
    world = new_world(2)
    actors["Node"](world, "solver-1")
    actors["Node"](world, "verifier-1", solves=False)
    world.submit()
    world.run()
    with pytest.raises(InvalidTransition):
        world.call("cancel", wire.CancelRequest(world.job), world.caller)


def test_a_job_nobody_trains_is_refunded_in_full(new_world: Any) -> None:
    world = new_world(3)
    world.submit()
    world.run()

    assert world.page.job.reason.name == "TIMED_OUT"
    assert world.ledger.balance(world.submitter.address) == 1_000_000


def test_a_segment_nobody_can_check_is_not_accepted(new_world: Any, actors: Any) -> None:
    world = new_world(4)
    actors["Node"](world, "solver-1")
    world.submit()
    world.run()

    assert world.page.job.reason.name == "INCONCLUSIVE"
    assert world.page.job.accepted == 0
    world.check_money()


def test_a_job_without_its_budget_is_given_up(new_world: Any, actors: Any) -> None:
    world = new_world(5)
    actors["Node"](world, "solver-1")
    world.ledger.deposit = lambda *_: None
    world.submit()
    world.run()

    assert world.state().name == "REFUNDED"
    assert world.page.job.reason.name == "TIMED_OUT"


def test_a_budget_that_runs_out_ends_the_job_and_pays_what_it_covers(
    new_world: Any, actors: Any
) -> None:
    world = new_world(6, events=2_000)
    actors["Node"](world, "solver-1")
    actors["Node"](world, "verifier-1", solves=False)
    world.submit()
    world.run()

    assert world.page.job.reason.name == "EXHAUSTED"
    assert world.page.job.accepted > 0
    world.check_money()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rate", [0, 100_000, 500_000])
def test_unsampled_segments_are_accepted_with_the_prefix(
    new_world: Any, actors: Any, rate: int, seed: int
) -> None:
    world = new_world(seed, events=600, audit_rate_ppm=rate)
    actors["Node"](world, "solver-1")
    actors["Node"](world, "verifier-1", solves=False)
    world.submit()
    world.run()

    world.check_honest_end()
    receipt = world.ledger.receipt(world.job)
    sampled = [e for e in world.page.accepted() if e.sample.name == "SAMPLED"]
    assert receipt.replayed == len(sampled)


@pytest.mark.parametrize("seed", range(6))
def test_a_program_that_gives_everyone_other_bits_is_called_not_reproducible(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed)
    actors["Node"](world, "solver-1")
    for name in ("verifier-1", "verifier-2", "verifier-3", "verifier-4", "verifier-5"):
        actors["Diverger"](world, name, solves=False)
    world.submit()
    world.run()

    assert world.page.job.reason.name == "NOT_REPRODUCIBLE"
    assert world.page.job.accepted == 0
    world.check_money()
    world.check_report(None)
