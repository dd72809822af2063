"""A report's curves are numbers that were committed to, and no others."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.report import logged
from gensyn_lightning.report.dsse import signature
from gensyn_lightning.report.finding import Result
from gensyn_lightning.report.form import PAYLOAD_TYPE
from gensyn_lightning.report.verify import verify


def call(metrics: Any, step: Any = 3, *, logger: int = 0, method: str = "log_metrics") -> list[Any]:
    named = [["metrics", {"$dict": metrics}], ["step", step]]
    return [7, logger, method, {"tree": [[], {"$dict": named}]}]


def outputs(*calls: Any) -> bytes:
    return json_bytes({"files": [], "removed": [], "calls": list(calls), "lines": []})


def number(value: float) -> dict[str, str]:
    return {"$float": value.hex()}


def test_numbers_are_read_from_positional_and_named_arguments() -> None:
    positional = [0, 0, "log_metrics", {"tree": [[{"$dict": [["loss", 2]]}, 5], {"$dict": []}]}]
    assert logged.points(positional) == [("loss", 5, 2.0)]
    named = call([["loss", number(0.5)], ["epoch", 1]])
    assert logged.points(named) == [("loss", 3, 0.5)]
    assert logged.numbers(named) == (3, {"loss": 0.5, "epoch": 1.0})


@pytest.mark.parametrize(
    "other",
    [
        call([["loss", "high"]]),
        call([["loss", True]]),
        call([["loss", 1]], step=None),
        call([["loss", 1]], method="log_hyperparams"),
        call("loss"),
        call([["loss"], 7]),
        call([["loss", {"$float": "zz"}]]),
        call([["loss", {"$float": "0x1p99999"}]]),
        call([["loss", 2**70]]),
        [0, 0, "log_metrics", {"container": "00"}],
        "log_metrics",
    ],
)
def test_what_logs_no_number_is_no_point(other: Any) -> None:
    assert logged.points(other) == []


def test_long_curves_are_thinned_evenly_and_rare_ones_kept() -> None:
    many = [call([["loss", number(1 / (1 + step))]], step) for step in range(1000)]
    rare = [call([["accuracy", number(0.5)]], step) for step in (0, 999)]
    rows = logged.collect([outputs(*many[:500], rare[0]), outputs(*many[500:], rare[1])])
    found = logged.curves(rows)
    steps = [step for step, _ in found["loss"]]
    assert len(steps) == logged.CALLS_MAX
    assert (steps[0], steps[-1]) == (0, 999)
    assert max(after - before for before, after in pairwise(steps)) <= 11
    assert found["accuracy"] == [(0, 0.5), (999, 0.5)]


def test_of_two_loggers_the_first_counts() -> None:
    calls = [call([["loss", 1]]), call([["loss", 1]], logger=1)]
    assert logged.curves(logged.collect([outputs(*calls)])) == {"loss": [(3, 1.0)]}


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].update(call=rows[0]["call"].replace('"loss"', '"lost"')),
        lambda rows: rows[0].update(call=rows[0]["call"].replace("0x1.", "0x1.8")),
        lambda rows: rows[0].update(segment=9),
        lambda rows: rows[0].update(index=0),
        lambda rows: rows[0]["siblings"].pop(),
        lambda rows: rows.append(rows[0]),
        lambda rows: rows.reverse(),
    ],
)
def test_a_number_that_was_not_logged_is_found(paper: Any, change: Any) -> None:
    played = paper(segments=2)
    body = json.loads(played.report())["body"]
    assert len(body["logged"]) == 2
    change(body["logged"])
    signed = signature(json_bytes(body), played.submitter.identity.node_key, PAYLOAD_TYPE)
    done = verify(json_bytes({"body": body, "signature": signed}), played.pins())
    assert [e.name for e in done.lines if e.result is Result.FAIL] == [
        "numbers stand under their outputs roots"
    ]
