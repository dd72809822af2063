"""Every cheat is caught at audit rate 1, the honest model comes back, and cheating does not pay."""

from __future__ import annotations

from typing import Any

import pytest

SEEDS = range(8)
SOLVER_CHEATS = ("CheatingSolver", "StaleSolver", "Copier", "OutputForger", "Padder")


def network(world: Any, actors: Any, **named: str) -> dict[str, Any]:
    """Put actors into a world: `solver_1="Copier"` is a Copier called solver-1."""
    made = {}
    for name, kind in named.items():
        solves = not name.startswith("verifier")
        made[name] = actors[kind](world, name.replace("_", "-"), solves=solves)
    return made


def rulings(world: Any, outcome: str) -> list[dict[str, Any]]:
    return [
        body for kind, body in world.log() if kind == "arbitrated" and body["outcome"] == outcome
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kill_rate", [0.0, 0.1])
@pytest.mark.parametrize("cheat", SOLVER_CHEATS)
def test_a_cheating_solver_is_refuted_and_unpaid(
    new_world: Any, actors: Any, cheat: str, kill_rate: float, seed: int
) -> None:
    world = new_world(seed, kill_rate=kill_rate)
    made = network(world, actors, solver_1=cheat, solver_2="Node", verifier_1="Node")
    world.submit()
    world.run()

    world.check_honest_end()
    cheater = made["solver_1"]
    tried = [each for each in world.page.attempts.values() if each.solver == cheater.address]
    claimed = [each for each in tried if each.handover is not None]
    if claimed:
        assert rulings(world, "REFUTED"), f"seed {seed}: nobody was refuted"
        assert cheater.address in world.page.job.excluded
    earned = sum(1 for each in world.page.audits.values() if each.verifier == cheater.address)
    assert world.ledger.balance(cheater.address) == 0 or earned


@pytest.mark.parametrize("seed", SEEDS)
def test_one_bad_segment_in_the_middle_costs_the_solver_only_what_comes_after(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed, events=200)
    made = network(world, actors, solver_1="CheatingSolver", solver_2="Node", verifier_1="Node")
    made["solver_1"].at = 120
    world.submit()
    world.run()

    world.check_honest_end()
    for ruling in rulings(world, "REFUTED"):
        attempt = world.page.attempts[ruling["fence"]]
        assert attempt.task.first_event <= 120 < attempt.handover.commitment.end_event
        later = [
            each
            for each in world.page.attempts.values()
            if each.solver == attempt.solver and each.task.index > attempt.task.index
        ]
        assert all(each.state.name in {"VOIDED", "EXPIRED", "FAILED_NODE"} for each in later)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("liar", ["LazyVerifier", "Accuser"])
@pytest.mark.parametrize("kill_rate", [0.0, 0.1])
def test_a_lying_verifier_stops_nobody_and_is_not_paid(
    new_world: Any, actors: Any, liar: str, kill_rate: float, seed: int
) -> None:
    world = new_world(seed, kill_rate=kill_rate)
    made = network(world, actors, solver_1="Node", solver_2="Node", verifier_1=liar)
    for each in ("solver_1", "solver_2"):
        made[each].verifies = False
        made[each].register()
    world.submit()
    world.run()

    world.check_honest_end()
    assert len(rulings(world, "UPHELD")) == world.page.job.accepted
    assert not rulings(world, "REFUTED")
    assert world.ledger.balance(made["verifier_1"].address) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_an_accomplice_is_caught_where_a_second_verifier_looks(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed, verifiers_per_segment=2)
    made = network(
        world,
        actors,
        solver_1="CheatingSolver",
        solver_2="Node",
        verifier_1="Accomplice",
        verifier_2="Node",
        verifier_3="Node",
    )
    for each in ("solver_1", "solver_2"):
        made[each].verifies = False
        made[each].register()
    world.submit()
    world.run()

    accomplice = made["verifier_1"].address
    if any(body["third"] == accomplice.hex() for body in rulings(world, "UPHELD")):
        return  # two of three collude: what two of three decide does not establish otherwise
    world.check_honest_end()
    wrong = [each for each in world.page.audits.values() if each.wrong]
    assert all(each.verifier == accomplice for each in wrong)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_withheld_salt_withdraws_the_segment_and_someone_else_trains_it(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed)
    made = network(world, actors, solver_1="SaltWithholder", solver_2="Node", verifier_1="Node")
    world.submit()
    world.run()

    world.check_honest_end()
    withheld = [each for each in world.page.attempts.values() if each.state.name == "WITHDRAWN"]
    assert all(each.solver == made["solver_1"].address for each in withheld)
    accepted = world.page.accepted()
    assert all(each.solver == made["solver_2"].address for each in accepted)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cheat", ["StateWithholder", "Vanisher"])
def test_whoever_does_not_deliver_loses_the_lease(
    new_world: Any, actors: Any, cheat: str, seed: int
) -> None:
    world = new_world(seed)
    made = network(world, actors, solver_1=cheat, solver_2="Node", verifier_1="Node")
    made["solver_1"].verifies = False
    if cheat == "StateWithholder":
        made["solver_1"].register()
    world.submit()
    world.run()

    world.check_honest_end()
    assert world.ledger.balance(made["solver_1"].address) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_two_claims_for_one_attempt_are_kept_as_proof(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed)
    made = network(world, actors, solver_1="Equivocator", solver_2="Equivocator", verifier_1="Node")
    world.submit()
    world.run()

    world.check_honest_end()
    proofs = [each for each in world.page.attempts.values() if each.equivocations]
    assert proofs
    assert all(each.solver in {m.address for m in made.values()} for each in proofs)
    assert "equivocated" in world.kinds()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_verifier_that_never_shows_its_replay_is_drawn_away_from(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed)
    made = network(world, actors, solver_1="Node", verifier_1="SilentVerifier", verifier_2="Node")
    made["solver_1"].verifies = False
    made["solver_1"].register()
    world.submit()
    world.run()

    world.check_honest_end()
    assert world.ledger.balance(made["verifier_1"].address) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_everyone_dishonest_but_one_solver_and_one_verifier_is_still_enough(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed, kill_rate=0.05)
    network(
        world,
        actors,
        solver_1="Copier",
        solver_2="SaltWithholder",
        solver_3="StaleSolver",
        solver_4="Vanisher",
        solver_5="Node",
        verifier_1="Node",
    )
    for each in world.actors[:4]:
        each.verifies = False
        each.register()
    world.submit()
    world.run()

    world.check_honest_end()


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_third_node_a_contradiction_is_inconclusive_and_unpaid(
    new_world: Any, actors: Any, seed: int
) -> None:
    world = new_world(seed)
    made = network(world, actors, solver_1="Node", verifier_1="Accuser")
    world.submit()
    world.run()

    assert world.page.job.reason.name == "INCONCLUSIVE"
    assert rulings(world, "INCONCLUSIVE")[-1]["third"] is None
    assert world.ledger.receipt(world.job) is None
    assert all(world.ledger.balance(each.address) == 0 for each in made.values())
    world.check_money()
    world.check_report(None)
