"""Progress as it travels: bounded, and nothing canonical JSON cannot carry."""

from typing import Any

import pytest

from gensyn_lightning.node.held import Held
from gensyn_lightning.protocol.canonical import json_bytes


class Nothing:
    """Stands where no work is looked at."""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"event": 3, "epoch": 1}, {"event": 3, "epoch": 1}),
        ({"metrics": {"loss": 0.5, "n": 2}}, {"metrics": {"loss": "0.5", "n": 2}}),
        ({"event": float("nan")}, {"event": "nan"}),
        ({"event": 2**60}, {"event": str(2**60)}),
    ],
)
def test_progress_is_kept_as_canonical_json(said: dict[str, Any], shown: dict[str, Any]) -> None:
    held = Held(Nothing())  # type: ignore[arg-type]
    held.advance(said)
    assert held.progress == shown
    json_bytes(held.progress)


def test_progress_is_bounded() -> None:
    held = Held(Nothing())  # type: ignore[arg-type]
    held.advance({"x" * 1000: "y" * 1000, **{str(each): each for each in range(1000)}})
    assert len(json_bytes(held.progress)) < 8192


def test_an_event_is_taken_from_progress() -> None:
    held = Held(Nothing())  # type: ignore[arg-type]
    held.advance({"event": 7})
    held.advance({"event": "many"})
    assert held.event == 7
