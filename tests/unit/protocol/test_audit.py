"""An audit's whole life, state by state and event by event."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol import audit
from gensyn_lightning.protocol.audit import Audit, State, apply
from gensyn_lightning.protocol.digest import Digest

PROMISE, REPLAY = Digest(bytes([1] * 32)), Digest(bytes([2] * 32))
EVENTS = {
    "Leased": audit.Leased(900),
    "Heartbeat": audit.Heartbeat(900),
    "LeaseExpired": audit.LeaseExpired(),
    "Promised": audit.Promised(PROMISE),
    "Reported": audit.Reported(REPLAY),
    "Dropped": audit.Dropped(),
}
# Written out a second time, by hand: whatever is not here must be refused.
ALLOWED = {
    ("DRAWN", "Leased"): "LEASED",
    ("DRAWN", "LeaseExpired"): "EXPIRED",
    ("DRAWN", "Dropped"): "CANCELLED",
    ("LEASED", "Heartbeat"): "LEASED",
    ("LEASED", "LeaseExpired"): "EXPIRED",
    ("LEASED", "Promised"): "PROMISED",
    ("LEASED", "Dropped"): "CANCELLED",
    ("PROMISED", "Heartbeat"): "PROMISED",
    ("PROMISED", "LeaseExpired"): "EXPIRED",
    ("PROMISED", "Reported"): "REPORTED",
    ("PROMISED", "Dropped"): "CANCELLED",
}


def test_every_event_is_tried_here() -> None:
    assert {type(each) for each in EVENTS.values()} == set(get_args(audit.Event))
    assert set(audit.TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "event"), list(product([each.name for each in State], EVENTS)))
def test_every_state_answers_every_event(state: str, event: str) -> None:
    before = Audit(State[state], fence=3, lease_until_ms=500)
    expected = ALLOWED.get((state, event))
    if expected is None:
        with pytest.raises(InvalidTransition, match=f"{event}.*{state}"):
            apply(before, EVENTS[event])
        return
    after = apply(before, EVENTS[event])
    assert after.state is State[expected]
    assert after.fence == 3
    assert after.lease_until_ms == (900 if event in ("Leased", "Heartbeat") else 500)
    assert after.promise == (PROMISE if event == "Promised" else None)
    assert after.replay == (REPLAY if event == "Reported" else None)


def test_nothing_is_reported_that_was_not_promised() -> None:
    before = {state for (state, event), after in ALLOWED.items() if after == "REPORTED"}
    assert before == {"PROMISED"}


def test_what_is_terminal_never_changes() -> None:
    terminal = {each.name for each in State if not audit.TRANSITIONS[each]}
    assert terminal == {"REPORTED", "EXPIRED", "CANCELLED"}
