"""Every bound of a job and every field of a commitment, broken one at a time."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator import admission
from gensyn_lightning.errors import InvalidProof, LimitExceeded, Malformed
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import Address, Digest, Money, keccak
from gensyn_lightning.protocol.parameters import EMBEDDED, Parameters

OTHER = keccak(b"other")


@pytest.fixture
def handed(world: Any) -> Any:
    """Return a solver's honest commitment, and the attempt it is about."""
    while not any(each.work for each in world.actors):
        world.step()
    solver = next(each for each in world.actors if each.work)
    request = solver.commitment(solver.work, solver.honest_run(solver.work))
    return request, world.page.attempts[solver.work.fence], world


@pytest.mark.parametrize("parameters", [EMBEDDED, Parameters()], ids=["embedded", "usual"])
def test_usual_parameters_are_admitted(world: Any, parameters: Parameters) -> None:
    admission.check_job(replace(world.record, parameters=parameters))


@pytest.mark.parametrize(
    "changes",
    [
        {"audit_rate_ppm": 1_000_001},
        {"verifier_share_ppm": 2_000_000},
        {"colluding_share_ppm": 2_000_000},
        {"verifiers_per_segment": 0},
        {"verifiers_per_segment": 9},
        {"redraws_max": 17},
        {"lease_ms": 0},
        {"lease_ms": 99},
        {"salt_window_ms": 2**63},
        {"job_total_ms": 91 * 86_400_000},
    ],
    ids=str,
)
def test_parameters_out_of_bounds_are_refused(world: Any, changes: dict[str, int]) -> None:
    given = replace(world.parameters, **changes)
    with pytest.raises(LimitExceeded):
        admission.check_job(replace(world.record, parameters=given))


def test_a_job_without_a_budget_and_a_lease_longer_than_its_work_are_refused(world: Any) -> None:
    with pytest.raises(Malformed, match="budget"):
        admission.check_job(replace(world.record, budget=Money(0)))
    given = replace(world.parameters, lease_ms=61_000)
    with pytest.raises(Malformed, match="lease"):
        admission.check_job(replace(world.record, parameters=given))


def test_an_honest_commitment_fits_its_lease(handed: Any) -> None:
    request, row, world = handed
    admission.check_commitment(request, row, world.record, world.operator.address)


@pytest.mark.parametrize(
    "changes",
    [
        {"job": OTHER},
        {"task": OTHER},
        {"task_index": 5},
        {"fence": 99},
        {"solver": Address(bytes(20))},
        {"first_event": 1},
        {"end_event": 15},
        {"end_event": 0, "batches": 0, "outcome": Outcome.CONTINUES},
        {"end_event": 1 << 22},
        {"batches": 17},
        {"start_root": OTHER},
        {"numerics": "native:else"},
        {"sandbox_tier": "S"},
        {"raised": OTHER},
        {"outcome": Outcome.RAISED},
        {"store_receipt": OTHER},
    ],
    ids=str,
)
def test_a_commitment_about_something_else_is_refused(handed: Any, changes: Any) -> None:
    request, row, world = handed
    wrong = replace(request, commitment=replace(request.commitment, **changes))
    with pytest.raises(Malformed):
        admission.check_commitment(wrong, row, world.record, world.operator.address)


def test_a_receipt_of_another_store_or_over_other_bytes_is_refused(handed: Any) -> None:
    request, row, world = handed
    for changes in ({"holder": Address(bytes(20))}, {"artifacts": (OTHER, OTHER)}):
        receipt = replace(request.store_receipt, **changes)
        claim = replace(request.commitment, store_receipt=struct_hash(receipt))
        wrong = replace(request, store_receipt=receipt, commitment=claim)
        with pytest.raises(Malformed):
            admission.check_commitment(wrong, row, world.record, world.operator.address)


def test_a_fit_may_raise_before_its_first_event(handed: Any) -> None:
    request, row, world = handed
    claim = replace(
        request.commitment, end_event=0, batches=0, outcome=Outcome.RAISED, raised=OTHER
    )
    raised = replace(request, commitment=claim)
    admission.check_commitment(raised, row, world.record, world.operator.address)


def test_a_replay_must_be_the_promised_one_of_this_draw(world: Any) -> None:
    world.run()
    row = next(iter(world.page.audits.values()))
    admission.check_replay(row.replay, row)
    with pytest.raises(InvalidProof):
        admission.check_replay(replace(row.replay, end_root=OTHER), row)
    with pytest.raises(InvalidProof):
        admission.check_replay(row.replay, replace(row, promise=None))
    with pytest.raises(Malformed):
        admission.check_replay(row.replay, replace(row, draw=replace(row.draw, round=3)))


def test_a_promise_must_be_about_the_commitment_and_by_the_drawn(world: Any) -> None:
    world.run()
    row = next(iter(world.page.audits.values()))
    judged = world.page.attempts[row.attempt]
    admission.check_promise(row.promise, row, judged)
    for wrong in (
        replace(row.promise, commitment=Digest(OTHER)),
        replace(row.promise, verifier=Address(bytes(20))),
    ):
        with pytest.raises(Malformed):
            admission.check_promise(wrong, row, judged)
