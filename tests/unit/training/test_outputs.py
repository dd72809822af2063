"""A segment's outputs are read back as they were written, and their root covers what counts."""

from dataclasses import replace
from typing import Any

import pytest

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol.canonical import json_bytes, parse_json
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training import outputs
from gensyn_lightning.training.outputs import Call, File, Line, Outputs, Removed

WRITTEN = Outputs(
    files=(
        File("root", "a/b.txt", Digest(b"\1" * 32), 5, "bytes"),
        File("root", "last.ckpt", Digest(b"\2" * 32), 9, "checkpoint", link="best.ckpt"),
    ),
    removed=(Removed("root", "old.ckpt"),),
    calls=(Call(3, 0, "experiment.add_scalar", {"tree": [["x"], {"$dict": []}]}),),
    lines=(Line(3, "stdout", "hello"),),
)


def test_outputs_come_back_as_they_were() -> None:
    data = outputs.encode(WRITTEN)
    assert outputs.parse(data) == WRITTEN
    assert outputs.encode(outputs.parse(data)) == data


@pytest.mark.parametrize(
    "change",
    [
        {"files": ()},
        {"files": (replace(WRITTEN.files[0], path="a/c.txt"), WRITTEN.files[1])},
        {"files": (WRITTEN.files[0], replace(WRITTEN.files[1], link=""))},
        {"removed": ()},
        {"calls": ()},
        {"calls": (replace(WRITTEN.calls[0], logger=1),)},
    ],
)
def test_the_root_covers_files_removals_and_calls(change: dict[str, Any]) -> None:
    assert outputs.root(replace(WRITTEN, **change)) != outputs.root(WRITTEN)


def test_lines_on_the_terminal_are_outside_the_root() -> None:
    assert outputs.root(replace(WRITTEN, lines=())) == outputs.root(WRITTEN)


def spoilt(**members: Any) -> bytes:
    return json_bytes({**parse_json(outputs.encode(WRITTEN), bytes_max=1 << 20), **members})


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        spoilt(schema="other"),
        spoilt(files={}),
        spoilt(files=[{"folder": "root"}]),
        spoilt(removed=[["root"]]),
        spoilt(calls=[[1, 0, "no method", {"tree": 1}]]),
        spoilt(calls=[[1, 0, "log", {"other": 1}]]),
        spoilt(calls=[[-1, 0, "log", {"tree": 1}]]),
        spoilt(lines=[[0, "tty", "x"]]),
        spoilt(extra=1),
    ],
)
def test_what_is_no_outputs_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        outputs.parse(data)


def test_outputs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = outputs.encode(WRITTEN)
    monkeypatch.setattr(outputs, "FILES_MAX", 1)
    with pytest.raises(LimitExceeded):
        outputs.parse(data)
    monkeypatch.setattr(outputs, "BYTES_MAX", 10)
    with pytest.raises(LimitExceeded):
        outputs.encode(WRITTEN)
