"""A board says of every segment how far it is, whatever order a job's log brings."""

from __future__ import annotations

from typing import Any

import pytest

from gensyn_lightning.launcher import board
from gensyn_lightning.launcher.board import Board, Stage
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.job import JobId

SOLVER, VERIFIER = "aa" * 20, "bb" * 20
NAMES = {SOLVER: "solver-0", VERIFIER: "verifier-0"}


def hear(shown: Board, *entries: tuple[str, dict[str, Any]]) -> None:
    for at, (kind, body) in enumerate(entries):
        shown.hear(1000 * (at + 1), kind, body)


def new(batches_max: int = 0) -> Board:
    return Board(JobId(Digest(b"\1" * 32)), batches_max, NAMES)


def stages(shown: Board) -> dict[int, Stage]:
    return {index: each.stage for index, each in shown.pieces.items()}


LEASED = ("leased", {"index": 0, "solver": SOLVER})
NEXT_LEASED = ("leased", {"index": 1, "solver": SOLVER})
COMMITTED = ("committed", {"index": 0, "end_event": 10, "batches": 10})
DRAWN = ("drawn", {"index": 0, "verifier": VERIFIER})
REPLAYING = ("replaying", {"index": 0, "verifier": VERIFIER})


def test_a_segment_goes_from_training_to_the_same_bits() -> None:
    shown = new()
    seen = []
    for entry in (
        LEASED,
        COMMITTED,
        DRAWN,
        REPLAYING,
        ("promised", {"index": 0, "verifier": VERIFIER}),
        ("accepted", {"index": 0, "replayed": 1}),
    ):
        hear(shown, entry)
        seen.append((shown.pieces[0].stage, dict(shown.workers)))
    assert seen == [
        (Stage.TRAINING, {"solver-0": "trains segment 0"}),
        (Stage.HANDED_IN, {}),
        (Stage.CHECKED, {}),
        (Stage.CHECKED, {"verifier-0": "runs segment 0 again"}),
        (Stage.CHECKED, {}),
        (Stage.SAME_BITS, {}),
    ]
    assert shown.pieces[0].verifiers == ("verifier-0",)


def test_an_accepted_segment_that_nobody_ran_again_says_so() -> None:
    shown = new()
    hear(shown, LEASED, COMMITTED, ("accepted", {"index": 0, "replayed": 0}))
    assert stages(shown) == {0: Stage.ACCEPTED}


def test_a_refuted_segment_is_lost_with_what_was_built_on_it() -> None:
    shown = new()
    hear(
        shown,
        LEASED,
        COMMITTED,
        NEXT_LEASED,
        ("disputed", {"index": 0}),
        ("refuted", {"index": 0, "reason": "two of three"}),
        ("voided", {"first_index": 1, "end_index": 2}),
    )
    assert stages(shown) == {0: Stage.LOST}
    assert any("two of three" in line for line in shown.lines)


def test_segments_batches_checks_and_effort_are_counted() -> None:
    shown = new()
    hear(
        shown,
        LEASED,
        COMMITTED,
        NEXT_LEASED,
        ("committed", {"index": 1, "end_event": 25, "batches": 10}),
        DRAWN,
        ("accepted", {"index": 0, "replayed": 1}),
        ("reported", {"index": 0, "verdict": "MATCH"}),
        ("leased", {"index": 2, "solver": SOLVER}),
    )
    said = {"batch": 24, "epoch": 2, "metrics": {"loss": "0.12345"}}
    said |= {"seconds": "2.5", "hash_seconds": "0.25"}
    for index in (2, 77):  # there is no segment 77
        shown.hear(9000, "progress", {"solve": {"index": index, "said": said}})
    assert shown.lines == []
    assert shown.effort == (2.5, 0.25)
    assert shown.line() == "epoch 2, batch 24, loss 0.1235 | 2 segments, 1 accepted, 1 of 1 checks"


def test_what_is_lost_is_counted_no_longer_until_it_is_trained_again() -> None:
    shown = new()
    for index in (0, 1, 2):
        hear(shown, ("committed", {"index": index, "end_event": 10, "batches": 10}))
    hear(
        shown,
        ("accepted", {"index": 2, "replayed": 0}),
        ("reported", {"index": 1, "verdict": "NO_MATCH", "field": "end_root"}),
        ("arbitrated", {"index": 1, "outcome": "REFUTED"}),
        ("refuted", {"index": 1, "reason": "two of three say so"}),
        ("voided", {"first_index": 2, "end_index": 3}),
    )
    assert (shown.segments, shown.accepted, shown.batches) == (1, 0, 10)
    assert shown.trouble == "two of three say so"
    assert shown.lines == [
        "segment 1: a replay says no match, differs in end_root",
        "segment 1: arbitration says refuted",
        "segment 1 is trained again: two of three say so",
    ]
    hear(shown, ("committed", {"index": 1, "end_event": 20, "batches": 10}))
    assert (shown.segments, shown.batches) == (2, 20)


def test_rate_and_time_left_follow_the_log() -> None:
    shown = new(batches_max=40)
    assert shown.left_s is None
    shown.hear(1000, *LEASED)
    shown.hear(6000, *COMMITTED)
    assert shown.rate == 2.0
    assert shown.left_s == 15.0


def test_a_job_that_is_over_has_nobody_at_work() -> None:
    shown = new()
    hear(shown, LEASED, ("settled", {"tx": "12" * 32, "block": 3}))
    assert shown.is_over
    assert shown.state == "done"
    assert shown.at_work == {}


def test_progress_becomes_points_of_curves() -> None:
    shown = new()
    for step in (1, 2, 2):
        said = {"batch": step, "step": step, "metrics": {"loss": f"{1 / step}", "word": "x"}}
        shown.hear(step, "progress", {"solve": {"index": 0, "said": said}})
    shown.hear(3, "progress", {"check": {"said": 4}})
    assert shown.series == {"loss": [(1, 1.0), (2, 0.5)]}
    assert shown.lines == []


def test_what_is_trained_again_is_drawn_again() -> None:
    shown = new()
    for step, loss in ((1, 4.0), (2, 99.0), (3, 99.0), (2, 3.0)):
        said = {"step": step, "metrics": {"loss": f"{loss}"}}
        shown.hear(step, "progress", {"solve": {"index": 0, "said": said}})
    assert shown.series == {"loss": [(1, 4.0), (2, 3.0)]}


HOSTILE = ("nan", "inf", "1e300", -1, [], {}, None, "x", 2**70, True)


@pytest.mark.parametrize("said", HOSTILE)
def test_no_number_of_a_runner_ends_the_following(said: Any) -> None:
    shown = new(40)
    told = dict.fromkeys(("batch", "step", "epoch", "seconds", "hash_seconds"), said)
    told["metrics"] = {"loss": said, "evil\x1b[2J\x08": "1"}
    shown.hear(1, "progress", {"solve": {"index": said, "said": told}})
    assert shown.hear(2, "progress", {"solve": said}) == ""
    assert 0 <= shown.batches < 2**53
    assert all(name.isprintable() for name in shown.series)
    assert shown.line().isprintable()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("leased", {"index": 0}),
        ("leased", {"index": None, "solver": 5}),
        ("committed", {"index": "x"}),
        ("committed", {"index": 0}),
        ("drawn", {"index": 0}),
        ("voided", {}),
        ("accepted", {"index": 0, "replayed": "many"}),
    ],
)
def test_an_entry_that_makes_no_sense_is_said_and_left_out(kind: str, body: dict[str, Any]) -> None:
    shown = new()
    assert "cannot be read" in shown.hear(1, kind, body)
    hear(shown, LEASED, COMMITTED)
    assert stages(shown) == {0: Stage.HANDED_IN}


def test_long_curves_keep_their_end() -> None:
    points = [(at, float(at)) for at in range(5 * board.POINTS_MAX)]
    kept = board.thin(points)
    assert len(kept) <= board.POINTS_MAX
    assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_nodes_without_a_name_are_called_by_their_account() -> None:
    shown = new()
    hear(shown, ("leased", {"index": 0, "solver": "cc" * 20}))
    assert shown.pieces[0].solver == "cccccc…"
