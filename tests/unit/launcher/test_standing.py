"""A job's log becomes one line that says where it stands."""

from typing import Any

from gensyn_lightning.launcher.standing import Standing


def hear(standing: Standing, *entries: tuple[str, dict[str, Any]]) -> list[str]:
    return [said for kind, body in entries if (said := standing.hear(kind, body))]


def committed(index: int, end_event: int) -> tuple[str, dict[str, Any]]:
    return "committed", {"index": index, "end_event": end_event, "batches": 10}


def test_segments_batches_and_checks_are_counted() -> None:
    standing = Standing()
    lines = hear(
        standing,
        ("leased", {"index": 0}),
        committed(0, 12),
        committed(1, 25),
        ("drawn", {"index": 0}),
        ("accepted", {"index": 0}),
        ("reported", {"index": 0, "verdict": "MATCH"}),
    )
    said = {"event": 31, "batch": 24, "epoch": 2, "metrics": {"loss": "0.12345"}}
    said |= {"seconds": "2.5", "hash_seconds": "0.25"}
    standing.progress({"solve": {"index": 2, "said": said}, "check": {"said": {"batch": 3}}})
    assert lines == []
    assert standing.effort == (2.5, 0.25)
    assert standing.line() == (
        "epoch 2, batch 24, loss 0.1235 | 2 segments, 1 accepted, 1 of 1 checks"
    )


def test_what_is_refuted_is_forgotten_with_everything_after_it() -> None:
    standing = Standing()
    said = hear(
        standing,
        committed(0, 10),
        committed(1, 20),
        committed(2, 30),
        ("reported", {"index": 1, "verdict": "NO_MATCH", "field": "end_root"}),
        ("arbitrated", {"index": 1, "outcome": "REFUTED"}),
        ("refuted", {"index": 1, "reason": "two of three say so"}),
        ("voided", {"first_index": 2, "end_index": 3}),
        committed(1, 20),
    )
    assert standing.segments == 2
    assert standing.batches == 20
    assert said == [
        "segment 1: a replay says no match, differs in end_root",
        "segment 1: arbitration says refuted",
        "segment 1 is trained again: two of three say so",
    ]


def test_progress_that_is_nonsense_is_ignored() -> None:
    standing = Standing()
    for said in ({"epoch": "x", "metrics": ["loss"], "batch": None}, [], None):
        standing.progress({"solve": {"said": said}})
    standing.progress({"solve": 7})
    standing.progress({"solve": {"said": {"metrics": {"loss": "x", "accuracy": 1}}}})
    assert standing.line() == "batch 0, accuracy 1 | 0 segments, 0 accepted"
