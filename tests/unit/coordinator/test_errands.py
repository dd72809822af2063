"""Errands on the ledger: done again without harm, and patient with a chain that is away."""

from dataclasses import replace
from typing import Any

from coordinator.errands import LedgerWorker
from coordinator.rows import ActionRow, Errand
from gensyn_lightning.errors import LedgerError
from gensyn_lightning.protocol.digest import ZERO, Money


def errand(world: Any, kind: Errand, subject: bytes = ZERO) -> Any:
    action = ActionRow(world.job, kind, subject, 0)  # type: ignore[arg-type]
    return world.worker.run(action, world.page.job)


def test_a_settlement_asked_for_twice_is_paid_once(world: Any) -> None:
    world.run()
    balances = [world.ledger.balance(each) for each in world.addresses]
    again = errand(world, Errand.SETTLE)
    assert again.done
    assert again.stamp == world.page.job.closed
    assert [world.ledger.balance(each) for each in world.addresses] == balances


def test_an_escrow_that_is_not_there_yet_is_waited_for_in_silence(simulated: Any) -> None:
    world = simulated.World(1)
    world.ledger.deposit, kept = (lambda *_: None), world.ledger.deposit
    world.submit()
    found = errand(world, Errand.CONFIRM)
    assert not found.done
    assert found.reason == ""
    kept(world.submitter, world.record)
    assert errand(world, Errand.CONFIRM).done


def test_an_escrow_for_another_job_is_no_budget(simulated: Any) -> None:
    world = simulated.World(2)
    lower = replace(world.record, budget=Money(5))
    world.ledger.deposit, kept = (lambda *_: None), world.ledger.deposit
    world.submit()
    kept(world.submitter, lower)
    found = errand(world, Errand.CONFIRM)
    assert not found.done
    assert found.reason


def test_without_an_escrow_there_is_nothing_to_refund(simulated: Any) -> None:
    world = simulated.World(3)
    world.ledger.deposit = lambda *_: None
    world.submit()
    assert errand(world, Errand.REFUND).done


def test_a_budget_its_submitter_reclaimed_is_refunded_already(simulated: Any) -> None:
    world = simulated.World(4)
    world.submit()
    world.run()  # nobody is there: the job times out and is refunded
    assert errand(world, Errand.REFUND).stamp == world.page.job.closed


def test_a_chain_that_is_away_postpones(world: Any) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise LedgerError("the chain does not answer")

    worker = LedgerWorker(Away(), world.operator)  # type: ignore[arg-type]
    for kind in Errand:
        action = ActionRow(world.job, kind, ZERO, 0)
        outcome = worker.run(action, world.page.job)
        assert not outcome.done
        assert outcome.reason
