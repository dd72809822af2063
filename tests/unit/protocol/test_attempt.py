"""An attempt's whole life, state by state and event by event."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol import attempt
from gensyn_lightning.protocol.attempt import Attempt, State, apply
from gensyn_lightning.protocol.digest import Digest

COMMITMENT = Digest(bytes(range(32)))
EVENTS = {
    "Heartbeat": attempt.Heartbeat(900),
    "LeaseExpired": attempt.LeaseExpired(),
    "NodeFailed": attempt.NodeFailed(),
    "Committed": attempt.Committed(COMMITMENT),
    "Contradicted": attempt.Contradicted(),
    "PrefixAccepted": attempt.PrefixAccepted(),
    "Upheld": attempt.Upheld(),
    "Refuted": attempt.Refuted(),
    "PredecessorRefuted": attempt.PredecessorRefuted(),
    "SaltWithheld": attempt.SaltWithheld(),
    "JobStopped": attempt.JobStopped(),
}
# Written out a second time, by hand: whatever is not here must be refused.
ALLOWED = {
    ("LEASED", "Heartbeat"): "LEASED",
    ("LEASED", "LeaseExpired"): "EXPIRED",
    ("LEASED", "NodeFailed"): "FAILED_NODE",
    ("LEASED", "Committed"): "COMMITTED",
    ("LEASED", "PredecessorRefuted"): "VOIDED",
    ("LEASED", "JobStopped"): "CANCELLED",
    ("COMMITTED", "Contradicted"): "DISPUTED",
    ("COMMITTED", "PrefixAccepted"): "ACCEPTED",
    ("COMMITTED", "PredecessorRefuted"): "VOIDED",
    ("COMMITTED", "SaltWithheld"): "WITHDRAWN",
    ("COMMITTED", "JobStopped"): "CANCELLED",
    ("DISPUTED", "Upheld"): "ACCEPTED",
    ("DISPUTED", "Refuted"): "REFUTED",
    ("DISPUTED", "PredecessorRefuted"): "VOIDED",
    ("DISPUTED", "JobStopped"): "CANCELLED",
}
TERMINAL = {"ACCEPTED", "REFUTED", "EXPIRED", "CANCELLED", "FAILED_NODE", "VOIDED", "WITHDRAWN"}


def test_every_event_is_tried_here() -> None:
    assert {type(each) for each in EVENTS.values()} == set(get_args(attempt.Event))
    assert set(attempt.TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "event"), list(product([each.name for each in State], EVENTS)))
def test_every_state_answers_every_event(state: str, event: str) -> None:
    before = Attempt(State[state], fence=3, lease_until_ms=500)
    expected = ALLOWED.get((state, event))
    if expected is None:
        with pytest.raises(InvalidTransition, match=f"{event}.*{state}"):
            apply(before, EVENTS[event])
        return
    after = apply(before, EVENTS[event])
    assert after.state is State[expected]
    assert after.fence == 3
    assert after.lease_until_ms == (900 if event == "Heartbeat" else 500)
    assert after.commitment == (COMMITMENT if event == "Committed" else None)


def test_what_is_terminal_never_changes() -> None:
    assert {each.name for each in State if not attempt.TRANSITIONS[each]} == TERMINAL


def test_every_state_can_be_reached_from_a_lease() -> None:
    reached, queue = {"LEASED"}, ["LEASED"]
    while queue:
        state = queue.pop()
        for (before, _), after in ALLOWED.items():
            if before == state and after not in reached:
                reached.add(after)
                queue.append(after)
    assert reached == {each.name for each in State}
