"""A task's whole life, state by state and event by event, and its name."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from typing import get_args

import pytest

from gensyn_lightning.errors import InvalidTransition
from gensyn_lightning.protocol import task
from gensyn_lightning.protocol.digest import ZERO, Digest
from gensyn_lightning.protocol.task import State, Task, apply, task_id

EVENTS = {each.__name__: each() for each in get_args(task.Event)}
# Written out a second time, by hand: whatever is not here must be refused.
ALLOWED = {
    ("OPEN", "AttemptStarted"): "LEASED",
    ("OPEN", "Abandoned"): "CLOSED",
    ("LEASED", "AttemptCommitted"): "COMMITTED",
    ("LEASED", "AttemptLost"): "OPEN",
    ("LEASED", "Abandoned"): "CLOSED",
    ("COMMITTED", "AttemptAccepted"): "ACCEPTED",
    ("COMMITTED", "AttemptLost"): "OPEN",
    ("COMMITTED", "Abandoned"): "CLOSED",
}


def test_every_state_has_a_row() -> None:
    assert set(task.TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "event"), list(product([each.name for each in State], EVENTS)))
def test_every_state_answers_every_event(state: str, event: str) -> None:
    expected = ALLOWED.get((state, event))
    if expected is None:
        with pytest.raises(InvalidTransition, match=f"{event}.*{state}"):
            apply(State[state], EVENTS[event])
    else:
        assert apply(State[state], EVENTS[event]) is State[expected]


def test_what_is_terminal_never_changes() -> None:
    terminal = {each.name for each in State if not task.TRANSITIONS[each]}
    assert terminal == {"ACCEPTED", "CLOSED"}


def test_every_field_names_the_task() -> None:
    first = Task(ZERO, 0, 0, 8, ZERO)
    other = Task(Digest(bytes([1] * 32)), 1, 2, 9, Digest(bytes([2] * 32)))
    for each in fields(Task):
        assert task_id(replace(first, **{each.name: getattr(other, each.name)})) != task_id(first)
