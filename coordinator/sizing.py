"""How long the next segment shall be: the target time, learnt from the segments before it.

A segment costs a fixed time (a fork, a state read and written) and a time per event. Only the
second says how many events fit the target: dividing whole times would shrink segments whenever
the fixed time grows, until nothing but fixed time is left.

The fixed time is worth less the longer a job runs: past the target, a segment may last as long as
everything before it. Short jobs keep short segments, long ones are not cut up needlessly, and
never more than half of the work hangs on one segment.
"""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.limits import SEGMENT_GROWTH_MAX, SEGMENT_SHRINK_MAX
from gensyn_lightning.protocol.parameters import EVENTS_PER_TASK_MAX

_FIXED_SHARE_MAX = 16  # a segment's events are taken to cost at least 1/16 of its time
_UNLIKE = 4  # lengths that differ by a quarter tell the two costs apart
_TOO_LONG = 4
TARGETS_MAX = 4  # no segment aims at more than so many times the target


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known: microseconds per event, and the last segment's events and milliseconds."""

    event_us: int = 0
    events: int = 0
    spent_ms: int = 0


UNKNOWN = Pace()


def learn(pace: Pace, events: int, spent_ms: int, target_ms: int) -> Pace:
    """Return what is known after a segment of `events` took `spent_ms`."""
    if not events:
        return pace
    spent_ms = max(spent_ms, 1)
    most_us = max(1000 * spent_ms // events, 1)
    least_us = max(most_us // _FIXED_SHARE_MAX, 1)
    known_us = min(pace.event_us or most_us, most_us)
    if spent_ms > _TOO_LONG * target_ms:
        known_us = max(known_us, most_us // 2)
    longer = events - pace.events
    if pace.events and _UNLIKE * abs(longer) >= max(events, pace.events):
        slope_us = 1000 * (spent_ms - pace.spent_ms) // longer
        known_us = (known_us + min(max(slope_us, least_us), most_us)) // 2
    return Pace(max(known_us, 1), events, spent_ms)


def next_events(pace: Pace, before: int, trained: int, target_ms: int) -> int:
    """Return how many events to ask for, within a quarter and four times of `before`.

    `trained` is how many events the job has behind it; they stretch the target, up to four times.
    """
    wanted = before
    if pace.event_us:
        on_target = 1000 * target_ms // pace.event_us
        wanted = min(max(on_target, trained), TARGETS_MAX * on_target)
        if pace.spent_ms < TARGETS_MAX * target_ms:  # or fixed time may be most of it
            as_fast_as_the_last = TARGETS_MAX * target_ms * pace.events // pace.spent_ms
            wanted = min(wanted, max(on_target, as_fast_as_the_last))
    least = max(before // SEGMENT_SHRINK_MAX, 1)
    most = min(before * SEGMENT_GROWTH_MAX, EVENTS_PER_TASK_MAX)
    return min(max(wanted, least), most)
