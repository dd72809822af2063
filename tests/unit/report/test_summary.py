from __future__ import annotations

from typing import Any

import pytest

from gensyn_lightning.report import case
from gensyn_lightning.report.summary import miss_ppm, summarise


def told(played: Any) -> dict[str, Any]:
    return summarise(case.read(played.dossier()))


def test_coverage_counts_segments_and_batches(paper: Any) -> None:
    found = told(paper(segments=4))
    assert (found["segments"], found["sampled"], found["replayed"]) == (4, 4, 4)
    assert (found["batches"], found["batches_replayed"]) == (32, 32)


def test_a_bad_segment_is_missed_when_nobody_looks(paper: Any) -> None:
    assert miss_ppm(case.read(paper(rate_ppm=0).dossier())) == 1_000_000


def test_a_bad_segment_is_missed_when_whoever_looks_colludes(paper: Any) -> None:
    assert miss_ppm(case.read(paper().dossier())) == 200_000


def test_sampling_some_lies_between(paper: Any) -> None:
    played = paper(segments=12, rate_ppm=400_000)
    found = told(played)
    assert 0 < found["replayed"] < 12
    missed = 12 - found["replayed"]
    assert found["miss_ppm"] == -(-(missed * 1_000_000 + found["replayed"] * 200_000) // 12)
    assert f"{missed} of 12 segments were not run again." in found["not_checked"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({}, "no dispute stands"),
        ({"rate_ppm": 0}, "one node's word"),
        ({"settle": False}, "not settled yet"),
    ],
)
def test_the_statement_is_plain_words(paper: Any, how: dict[str, Any], says: str) -> None:
    assert says in told(paper(**how))["statement"]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("CANCELLED", "CANCELLED"),
        ("TIMED_OUT", "CANCELLED"),
        ("INCONCLUSIVE", "INCONCLUSIVE"),
        ("NOT_REPRODUCIBLE", "NOT_REPRODUCIBLE"),
        ("EXHAUSTED", "INCONCLUSIVE"),
    ],
)
def test_a_stopped_job_ends_with_its_reason(paper: Any, reason: str, status: str) -> None:
    records = paper(settle=False).dossier()
    records["job"] |= {"state": "REFUNDING", "reason": reason}
    assert summarise(case.read(records))["status"] == status


def test_what_is_never_checked_is_always_said(paper: Any) -> None:
    notes = " ".join(told(paper())["not_checked"])
    for words in ("One operator", "without a sandbox", "data was good", "owner is an account"):
        assert words in notes
