"""What submitters may ask, and what they are told."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator import limits
from gensyn_lightning.errors import (
    ArtifactError,
    InvalidProof,
    LimitExceeded,
    Malformed,
    NotFound,
    Unauthenticated,
)
from gensyn_lightning.identity import sign_record
from gensyn_lightning.protocol.digest import Money, Nonce, keccak
from gensyn_lightning.wire import jobs as wire


def submit(world: Any, **changes: Any) -> wire.SubmitResponse:
    record = replace(world.record, **changes)
    signature = sign_record(record, world.domain, world.submitter)
    answer: wire.SubmitResponse = world.jobs.submit(
        wire.SubmitRequest(record, signature, ()), world.caller
    )
    return answer


def test_the_same_job_sent_twice_is_one(world: Any) -> None:
    assert submit(world) == wire.SubmitResponse(world.job, False)
    assert submit(world, nonce=Nonce(bytes(16))).created


def test_another_job_under_the_same_nonce_is_refused(world: Any) -> None:
    with pytest.raises(Malformed):
        submit(world, budget=Money(7))


def test_a_job_is_signed_and_sent_by_its_submitter(world: Any) -> None:
    record = replace(world.record, nonce=Nonce(b"n" * 16))
    signature = sign_record(record, world.domain, world.account("stranger"))
    with pytest.raises(InvalidProof):
        world.jobs.submit(wire.SubmitRequest(record, signature, ()), world.caller)
    signature = sign_record(record, world.domain, world.submitter)
    with pytest.raises(Unauthenticated):
        world.jobs.submit(wire.SubmitRequest(record, signature, ()), world.actors[0].caller)


def test_a_program_must_be_uploaded_first(world: Any) -> None:
    with pytest.raises(ArtifactError):
        submit(world, program=keccak(b"not there"))


def test_open_jobs_of_one_submitter_are_bounded(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OPEN_JOBS_PER_SUBMITTER_MAX", 2)
    submit(world, nonce=Nonce(b"2" * 16))
    with pytest.raises(LimitExceeded):
        submit(world, nonce=Nonce(b"3" * 16))


def test_a_job_says_how_far_it_is(world: Any) -> None:
    while world.page.job.accepted < 1:
        world.step()
    found = world.jobs.get(wire.JobsGetRequest(world.job), world.caller)
    assert found.state.name == "TRAINING"
    assert found.accepted == 1
    assert found.end is None
    world.run()
    found = world.jobs.get(wire.JobsGetRequest(world.job), world.caller)
    assert found.state.name == "SETTLED"
    assert found.events == world.events
    assert found.replayed == found.segments == found.accepted
    assert found.receipt == world.ledger.receipt(world.job)
    assert found.transaction == world.ledger.closed(world.job).digest
    assert found.end is not None


def test_segments_come_in_order_and_in_pages(world: Any) -> None:
    world.run()
    whole = world.jobs.segments(wire.SegmentsRequest(world.job, 0), world.caller)
    assert [each.commitment.task_index for each in whole.segments] == list(range(whole.total))
    assert all(each.accepted for each in whole.segments)
    rest = world.jobs.segments(wire.SegmentsRequest(world.job, 1), world.caller)
    assert rest.segments == whole.segments[1:]
    beyond = world.jobs.segments(wire.SegmentsRequest(world.job, 10**9), world.caller)
    assert beyond.segments == ()


def test_an_unknown_job_is_not_found(world: Any) -> None:
    for name, request in (
        ("get", wire.JobsGetRequest(keccak(b"x"))),
        ("segments", wire.SegmentsRequest(keccak(b"x"), 0)),
        ("cancel", wire.CancelRequest(keccak(b"x"))),
        ("dossier", wire.DossierRequest(keccak(b"x"))),
    ):
        with pytest.raises(NotFound):
            getattr(world.jobs, name)(request, world.caller)


def test_the_network_lists_its_nodes(world: Any) -> None:
    found = world.jobs.network(wire.NetworkRequest(), world.caller)
    assert {each.name for each in found.nodes} == {"solver-1", "solver-2", "verifier-1"}
    assert found.coordinator == world.operator.address
    assert found.domain == world.domain
