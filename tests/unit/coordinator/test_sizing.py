"""Segment lengths under fixed cost, noise and change."""

import random

import pytest

from coordinator.sizing import UNKNOWN, learn, next_events


def lengths(fixed_ms: int, event_us: int, target_ms: int, noise: float = 0.0) -> list[int]:
    chance, pace, events, found = random.Random(3), UNKNOWN, 16, []
    for _ in range(30):
        spent = (fixed_ms + events * event_us / 1000) * chance.uniform(1 - noise, 1 + noise)
        pace = learn(pace, events, int(spent), target_ms)
        events = next_events(pace, events, target_ms)
        found.append(events)
    return found


def test_a_segment_grows_to_the_target_time() -> None:
    assert 150 <= lengths(100, 20_000, 5_000)[-1] <= 300


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_fixed_cost_above_the_target_does_not_shrink_segments_to_nothing(noise: float) -> None:
    assert lengths(8_000, 50_000, 5_000, noise)[-1] >= 25


def test_slow_events_make_short_segments() -> None:
    assert lengths(100, 1_000_000, 5_000)[-1] in range(3, 9)
    assert lengths(100, 9_000_000, 5_000)[-1] == 1


def test_one_step_is_within_a_quarter_and_four_times() -> None:
    fast, slow = learn(UNKNOWN, 16, 1, 5_000), learn(UNKNOWN, 16, 10**9, 5_000)
    assert next_events(fast, 16, 5_000) == 64
    assert next_events(slow, 16, 5_000) == 4
    assert next_events(slow, 1, 5_000) == 1


def test_an_empty_segment_teaches_nothing() -> None:
    assert learn(UNKNOWN, 0, 500, 5_000) == UNKNOWN
    assert next_events(UNKNOWN, 16, 5_000) == 16
