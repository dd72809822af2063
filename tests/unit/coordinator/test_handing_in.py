"""What is handed in twice counts once; what is not as it should be does not count."""

from dataclasses import replace
from typing import Any

import pytest

from gensyn_lightning.errors import (
    ArtifactError,
    InvalidProof,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    Unauthenticated,
)
from gensyn_lightning.identity import sign_record
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Digest, Nonce, keccak
from gensyn_lightning.wire import nodes as wire


@pytest.fixture
def ready(world: Any) -> Any:
    """Return the solver with a lease, its work, and the commitment it is about to hand in."""
    while not any(each.work for each in world.actors):
        world.step()
    solver = next(each for each in world.actors if each.work)
    return world, solver, solver.commitment(solver.work, solver.honest_run(solver.work))


def state(world: Any, request: wire.CommitRequest) -> str:
    return str(world.page.attempts[request.fence].state.name)


def test_a_commitment_handed_in_twice_is_answered_the_same(ready: Any) -> None:
    world, solver, request = ready
    first = world.handing_in.commit(request, solver.caller)
    entries = len(world.log())
    again = world.handing_in.commit(request, solver.caller)
    assert again == first
    assert again.next is not None
    assert len(world.log()) == entries


def test_a_second_commitment_is_refused_and_kept(ready: Any) -> None:
    world, solver, request = ready
    world.handing_in.commit(request, solver.caller)
    other = replace(request.commitment, end_root=keccak(b"other"))
    signature = sign_record(other, world.domain, solver.account)
    second = replace(request, commitment=other, signature=signature)
    for _ in range(3):
        with pytest.raises(InvalidTransition):
            world.handing_in.commit(second, solver.caller)
    kept = world.page.attempts[request.fence].equivocations
    assert [each.commitment for each in kept] == [other]
    assert world.kinds().count("equivocated") == 1
    assert state(world, request) == "COMMITTED"


def test_a_signature_by_someone_else_is_refused(ready: Any) -> None:
    world, solver, request = ready
    stranger = sign_record(request.commitment, world.domain, world.account("stranger"))
    with pytest.raises(InvalidProof):
        world.handing_in.commit(replace(request, signature=stranger), solver.caller)
    forged = sign_record(request.store_receipt, world.domain, solver.account)
    with pytest.raises(InvalidProof):
        world.handing_in.commit(replace(request, store_signature=forged), solver.caller)
    assert state(world, request) == "LEASED"


def test_a_commitment_of_somebody_elses_lease_is_refused(ready: Any) -> None:
    world, solver, request = ready
    other = next(each for each in world.actors if each is not solver)
    with pytest.raises(Unauthenticated):
        world.handing_in.commit(request, other.caller)


@pytest.mark.parametrize("name", ["tape", "outputs"])
def test_bytes_that_are_not_stored_are_asked_for(ready: Any, name: str) -> None:
    world, solver, request = ready
    with pytest.raises(ArtifactError):
        world.handing_in.commit(replace(request, **{name: keccak(b"none")}), solver.caller)
    assert state(world, request) == "LEASED"
    world.handing_in.commit(request, solver.caller)


def test_a_statement_that_says_something_else_is_refused(ready: Any) -> None:
    world, solver, request = ready
    signed = sign_record(request.commitment, world.domain, world.account("x"))
    with pytest.raises(InvalidProof):
        world.handing_in.evidence.check_provenance(replace(request, signature=signed))
    with pytest.raises(LimitExceeded):
        world.handing_in.commit(replace(request, provenance=b" " * 300_000), solver.caller)


def test_a_commitment_after_the_lease_is_too_late(ready: Any) -> None:
    world, solver, request = ready
    world.clock.ms += 10_000
    world.engine.tick()
    with pytest.raises(LeaseLost):
        world.handing_in.commit(request, solver.caller)


def test_a_salt_nobody_asked_for_is_refused(ready: Any) -> None:
    world, solver, request = ready
    world.handing_in.commit(request, solver.caller)
    salt = wire.OpenSaltRequest(struct_hash(request.commitment), Nonce(bytes(16)))
    with pytest.raises(LeaseLost):
        world.handing_in.open_salt(salt, solver.caller)


def test_a_replay_is_not_shown_before_the_salt_is_open(world: Any) -> None:
    verifier = world.actors[2]
    while not verifier.promised:
        world.step()
    subject = next(iter(verifier.promised))
    if world.page.attempts[1].salt is None:
        with pytest.raises(InvalidTransition):
            verifier.report(subject)


def test_the_salt_is_asked_for_only_after_the_promise(world: Any) -> None:
    world.run()
    kinds = world.kinds()
    assert kinds.index("anchored") < kinds.index("drawn") < kinds.index("promised")
    assert kinds.index("promised") < kinds.index("salt_opened") < kinds.index("reported")


def test_another_promise_after_the_first_is_refused(world: Any) -> None:
    verifier = world.actors[2]
    while not verifier.promised:
        world.step()
    work, _ = next(iter(verifier.promised.values()))
    row = world.page.audits[work.fence]
    other = replace(row.promise, replay=Digest(bytes(32)))
    signature = sign_record(other, world.domain, verifier.account)
    request = wire.PromiseRequest(work.work_id, work.fence, other, signature)
    with pytest.raises((InvalidTransition, LeaseLost)):
        world.handing_in.promise(request, verifier.caller)
