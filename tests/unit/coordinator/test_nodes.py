"""Leases: who gets work, who keeps it, and what an old fence is worth."""

from dataclasses import replace
from typing import Any

import pytest

from gensyn_lightning.errors import LeaseLost, LimitExceeded, Malformed, NotFound, Unauthenticated
from gensyn_lightning.identity import Identity, Role
from gensyn_lightning.protocol.digest import ZERO, Digest
from gensyn_lightning.repops import VERSION, selftest
from gensyn_lightning.wire import nodes as wire


def claim(world: Any, node: Any, *holding: bytes) -> wire.ClaimResponse:
    answer: wire.ClaimResponse = world.nodes.claim(wire.ClaimRequest(0, holding), node.caller)
    return answer


def beat(world: Any, node: Any, work: wire.Work, **changes: Any) -> wire.HeartbeatResponse:
    request = wire.HeartbeatRequest(work.work_id, work.fence, 3, b'{"loss":"0x1p-1"}')
    answer: wire.HeartbeatResponse = world.nodes.heartbeat(replace(request, **changes), node.caller)
    return answer


@pytest.fixture
def leased(world: Any) -> Any:
    """Return the solver the draw chose, the other one, and the work."""
    world.clock.ms += 1
    for first, second in (world.actors[:2], world.actors[1::-1]):
        work = claim(world, first).work
        if work is not None:
            return first, second, work
    raise AssertionError("nobody was drawn")


def test_only_the_drawn_solver_gets_an_open_task_at_first(world: Any) -> None:
    found = [claim(world, each).work for each in world.actors]
    assert sum(1 for each in found if each is not None) == 1
    assert found[2] is None


def test_a_drawn_solver_that_does_not_come_is_not_waited_for(world: Any, leased: Any) -> None:
    first, second, work = leased
    world.nodes.fail(wire.FailRequest(work.work_id, work.fence, "no memory"), first.caller)
    world.clock.ms += 3_000
    assert claim(world, second).work is not None


def test_it_is_known_whether_time_alone_may_bring_work(world: Any, leased: Any) -> None:
    first, _, work = leased
    assert not world.nodes.work_lies_open()
    world.nodes.fail(wire.FailRequest(work.work_id, work.fence, "no memory"), first.caller)
    assert world.nodes.work_lies_open()


def test_after_a_failure_the_other_solver_is_preferred(world: Any, leased: Any) -> None:
    first, second, work = leased
    world.nodes.fail(wire.FailRequest(work.work_id, work.fence, "no memory"), first.caller)
    assert claim(world, first).work is None
    again = claim(world, second).work
    assert again is not None
    assert again.fence > work.fence


def test_work_whose_answer_was_lost_is_given_again(world: Any, leased: Any) -> None:
    first, _, work = leased
    again = claim(world, first).work
    assert again is not None
    assert (again.work_id, again.fence) == (work.work_id, work.fence)
    assert claim(world, first, work.work_id).work is None


def test_work_that_is_over_is_cancelled(world: Any, leased: Any) -> None:
    first, _, work = leased
    world.clock.ms += 5_000
    world.engine.tick()
    kinds = [each.kind for each in claim(world, first, work.work_id).commands]
    assert kinds == [wire.CommandKind.CANCEL]
    with pytest.raises(LeaseLost):
        beat(world, first, work)


def test_a_heartbeat_keeps_the_lease(world: Any, leased: Any) -> None:
    first, _, work = leased
    for _ in range(10):
        world.clock.ms += 3_000
        assert beat(world, first, work).lease_until_ms > world.clock.ms
        world.engine.tick()
    assert world.page.attempts[work.fence].state.name == "LEASED"
    shown = world.engine.progress[world.job]["solve"]
    assert shown["event"] == 3
    assert shown["said"] == {"loss": "0x1p-1"}


def test_a_segment_that_takes_too_long_is_lost_however_alive_its_solver(
    world: Any, leased: Any
) -> None:
    first, _, work = leased
    for _ in range(30):
        beat(world, first, work)
        world.clock.ms += 2_000
        world.engine.tick()
    with pytest.raises(LeaseLost):
        beat(world, first, work)
    assert world.kinds()[-1] == "leaseexpired"
    assert world.log()[-1][1]["reason"] == "too slow"


@pytest.mark.parametrize("fence", [0, 2, 10**6])
def test_another_fence_is_refused(world: Any, leased: Any, fence: int) -> None:
    first, _, work = leased
    with pytest.raises(LeaseLost):
        beat(world, first, work, fence=fence + work.fence * (fence == 0) + 1)


def test_somebody_elses_work_is_refused(world: Any, leased: Any) -> None:
    _, second, work = leased
    with pytest.raises(Unauthenticated):
        beat(world, second, work)
    with pytest.raises(Unauthenticated):
        world.nodes.fail(wire.FailRequest(work.work_id, work.fence, ""), second.caller)


def test_progress_is_a_bounded_json_object(world: Any, leased: Any) -> None:
    first, _, work = leased
    with pytest.raises(Malformed):
        beat(world, first, work, progress=b"[1]")
    with pytest.raises(LimitExceeded):
        beat(world, first, work, progress=b" " * 20_000)


def test_an_unregistered_node_is_told_so(world: Any, simulated: Any) -> None:
    stranger = world.account("stranger")
    identity = Identity(stranger, world.domain, (Role.SOLVER,), clock=world.clock.now_ms)
    with pytest.raises(NotFound):
        world.nodes.claim(wire.ClaimRequest(0, ()), simulated._caller(identity))


def registration(  # noqa: PLR0917
    name: str, solves: bool, verifies: bool, arithmetic: str, tier: str, self_test: Digest = ZERO
) -> wire.RegisterRequest:
    return wire.RegisterRequest(name, solves, verifies, (arithmetic,), self_test, tier, 1, 1, b"{}")


def test_a_node_shows_that_it_computes_the_reproducible_operators(world: Any) -> None:
    node = world.actors[0]
    challenge = world.nodes.challenge(wire.ChallengeRequest(), node.caller).challenge
    right = selftest.bound(selftest.outputs(challenge), node.address)
    request = registration(node.name, True, True, VERSION, "none", right)
    world.nodes.register(request, node.caller)
    assert world.engine.roster.nodes[node.address].numerics == (VERSION,)


@pytest.mark.parametrize("case", ["none", "another's", "another challenge's", "unasked"])
def test_a_wrong_answer_to_the_challenge_is_refused(world: Any, case: str) -> None:
    node, other = world.actors[:2]
    challenge = world.nodes.challenge(wire.ChallengeRequest(), node.caller).challenge
    right = selftest.outputs(challenge)
    answers = {
        "none": ZERO,
        "another's": selftest.bound(right, other.address),
        "another challenge's": selftest.bound(selftest.outputs(ZERO), node.address),
        "unasked": selftest.bound(right, node.address),
    }
    arithmetic = "native:here" if case == "unasked" else VERSION
    request = registration(node.name, True, True, arithmetic, "none", answers[case])
    with pytest.raises(Unauthenticated, match="does not compute"):
        world.nodes.register(request, node.caller)


def test_a_role_must_be_delegated(world: Any, simulated: Any) -> None:
    identity = Identity(
        world.account("v"), world.domain, (Role.VERIFIER,), clock=world.clock.now_ms
    )
    request = registration("v", True, True, "n", "none")
    with pytest.raises(Unauthenticated):
        world.nodes.register(request, simulated._caller(identity))


def test_the_same_solver_goes_on_with_the_next_segment(world: Any, leased: Any) -> None:
    first, _, work = leased
    world.clock.ms += 500
    first.commit(work)
    assert first.work is not None
    assert first.work.task.index == 1
    assert first.work.task.start_root == first.honest_run(work).end_root
    assert first.work.start is not None
    assert world.page.attempts[first.work.fence].draw is None


def test_nodes_of_another_arithmetic_get_nothing(world: Any) -> None:
    for node in world.actors:
        request = registration(node.name, True, True, "native:else", "none")
        world.nodes.register(request, node.caller)
        assert claim(world, node).work is None


def test_registrations_survive_a_restart(world: Any) -> None:
    before = dict(world.engine.roster.nodes)
    world.restart()
    assert world.engine.roster.nodes == before


def test_an_account_keeps_its_owner(world: Any, simulated: Any) -> None:
    node = world.actors[0]
    other = Identity(
        node.account,
        world.domain,
        (Role.SOLVER, Role.VERIFIER),
        owner=world.account("somebody").address,
        clock=world.clock.now_ms,
    )
    request = registration(node.name, True, True, "n", "none")
    with pytest.raises(Unauthenticated):
        world.nodes.register(request, simulated._caller(other))


def test_what_a_node_says_of_itself_later_changes_no_record_of_a_job(world: Any) -> None:
    while world.page.job.accepted < 1:
        world.step()
    for node in world.actors:
        request = registration(node.name, False, False, "native:new", "S")
        world.nodes.register(request, node.caller)
    for node in world.actors:
        node.register()
    world.run()
    world.check_honest_end()


def test_a_node_that_became_another_machine_does_not_go_on(world: Any, leased: Any) -> None:
    first, _, work = leased
    request = registration(first.name, True, True, "native:else", "none")
    world.nodes.register(request, first.caller)
    first.commit(work)
    assert first.work is None
    assert world.page.members[first.address].numerics == world.record.numerics


def test_a_delegation_still_covers_what_its_node_did_in_an_open_job(
    world: Any, simulated: Any, leased: Any
) -> None:
    first, _, _ = leased
    narrow = Identity(first.account, world.domain, (Role.VERIFIER,), clock=world.clock.now_ms)
    request = registration(first.name, False, True, "n", "none")
    with pytest.raises(Unauthenticated):
        world.nodes.register(request, simulated._caller(narrow))
    world.run()
    world.nodes.register(request, simulated._caller(narrow))
