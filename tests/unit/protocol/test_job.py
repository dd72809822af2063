"""A job's whole life, state by state and event by event, and its names."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol import job
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, Nonce
from gensyn_lightning.protocol.job import Job, Reason, State, apply, display_id, job_id
from gensyn_lightning.protocol.parameters import Parameters

EVENTS = {
    "Escrowed": job.Escrowed(),
    "PrefixAccepted": job.PrefixAccepted(),
    "Settled": job.Settled(),
    "Stopped": job.Stopped(Reason.CANCELLED),
    "Refunded": job.Refunded(),
}
# Written out a second time, by hand: whatever is not here must be refused.
ALLOWED = {
    ("SUBMITTED", "Escrowed"): "TRAINING",
    ("SUBMITTED", "Stopped"): "REFUNDED",
    ("TRAINING", "PrefixAccepted"): "SETTLING",
    ("TRAINING", "Stopped"): "REFUNDING",
    ("SETTLING", "Settled"): "SETTLED",
    ("REFUNDING", "Refunded"): "REFUNDED",
}


def test_every_event_is_tried_here() -> None:
    assert {type(each) for each in EVENTS.values()} == set(get_args(job.Event))
    assert set(job.TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "event"), list(product([each.name for each in State], EVENTS)))
def test_every_state_answers_every_event(state: str, event: str) -> None:
    expected = ALLOWED.get((state, event))
    if expected is None:
        with pytest.raises(InvalidTransition, match=f"{event}.*{state}"):
            apply(State[state], EVENTS[event])
    else:
        assert apply(State[state], EVENTS[event]) is State[expected]


def test_a_job_ends_paid_or_refunded_and_never_both() -> None:
    terminal = {each.name for each in State if not job.TRANSITIONS[each]}
    assert terminal == {"SETTLED", "REFUNDED"}


JOB = Job(
    program=Digest(bytes([1] * 32)),
    submitter=Address(bytes([2] * 20)),
    nonce=Nonce(bytes([3] * 16)),
    numerics="native:0123456789abcdef",
    initial_root=ZERO,
    sandbox_tier="none",
    budget=Money(10),
    value_at_stake=Money(0),
    parameters=Parameters(),
)


def test_a_retry_keeps_the_name_and_a_second_run_gets_another() -> None:
    assert job_id(replace(JOB, budget=Money(11))) == job_id(JOB)
    for other in (
        replace(JOB, nonce=Nonce(bytes(16))),
        replace(JOB, program=ZERO),
        replace(JOB, submitter=Address(bytes(20))),
    ):
        assert job_id(other) != job_id(JOB)


def test_people_see_a_short_name() -> None:
    assert display_id(job_id(JOB)) == f"job-{job_id(JOB).hex()[:16]}"
