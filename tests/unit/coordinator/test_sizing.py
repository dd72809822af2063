"""Segment lengths under fixed cost, noise and change."""

import random

import pytest

from coordinator.limits import FIRST_SEGMENT_EVENTS
from coordinator.sizing import TARGETS_MAX, UNKNOWN, learn, next_events


def lengths(
    fixed_ms: int, event_us: int, target_ms: int, noise: float = 0.0, stretch: bool = False
) -> list[int]:
    """Return the lengths of a job's segments; without `stretch` as if it had only just begun."""
    chance, pace, found = random.Random(3), UNKNOWN, [FIRST_SEGMENT_EVENTS]
    for _ in range(30):
        events = found[-1]
        spent = (fixed_ms + events * event_us / 1000) * chance.uniform(1 - noise, 1 + noise)
        pace = learn(pace, events, int(spent), target_ms)
        found.append(next_events(pace, events, sum(found) if stretch else 0, target_ms))
    return found


def test_a_segment_grows_to_the_target_time() -> None:
    assert 150 <= lengths(100, 20_000, 5_000)[-1] <= 300


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("stretch", [False, True])
def test_a_fixed_cost_above_the_target_does_not_shrink_segments_to_nothing(
    noise: float, stretch: bool
) -> None:
    assert lengths(8_000, 50_000, 5_000, noise, stretch)[-1] >= 25


def test_segments_grow_also_where_they_can_only_be_too_long() -> None:
    assert lengths(25_000, 50_000, 5_000, stretch=True)[-1] >= 5_000 // 50


def test_slow_events_make_short_segments() -> None:
    assert lengths(100, 1_000_000, 5_000)[-1] in range(3, 9)
    assert lengths(100, 9_000_000, 5_000)[-1] == 1


def test_one_step_is_within_a_quarter_and_four_times() -> None:
    fast, slow = learn(UNKNOWN, 16, 1, 5_000), learn(UNKNOWN, 16, 10**9, 5_000)
    assert next_events(fast, 16, 0, 5_000) == 64
    assert next_events(slow, 16, 0, 5_000) == 4
    assert next_events(slow, 1, 0, 5_000) == 1


def test_an_empty_segment_teaches_nothing() -> None:
    assert learn(UNKNOWN, 0, 500, 5_000) == UNKNOWN
    assert next_events(UNKNOWN, 16, 0, 5_000) == 16


def test_a_job_that_has_trained_for_long_gets_longer_segments() -> None:
    found = lengths(200, 30_000, 5_000, stretch=True)
    assert found[:2] == [16, 64]
    assert max(found) <= TARGETS_MAX * 5_000 // 30
    assert found[-1] > 3 * 5_000 // 30


def test_segments_take_as_long_as_what_is_before_them_or_the_target() -> None:
    found = lengths(200, 30_000, 5_000, stretch=True)
    on_target = 5_000 // 30
    for index, events in enumerate(found):
        assert events <= max(on_target, sum(found[:index]), FIRST_SEGMENT_EVENTS)


def test_a_minute_of_training_takes_few_segments() -> None:
    found = lengths(200, 27_800, 5_000, stretch=True)
    batches = 60_000_000 // 27_800
    assert next(n for n in range(len(found)) if sum(found[:n]) >= batches) <= 7


def test_noise_does_not_make_segments_longer_than_four_targets_by_much() -> None:
    assert max(lengths(200, 30_000, 5_000, noise=0.3, stretch=True)) <= 7 * 5_000 // 30
