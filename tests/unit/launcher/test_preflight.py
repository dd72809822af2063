"""A program whose first batch is not the same twice is refused, and the difference is named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gensyn_lightning.errors import CaptureError, NotReplayable
from gensyn_lightning.launcher.preflight import Preflight, compare, must_not_ask
from gensyn_lightning.protocol.commitment import Outcome
from gensyn_lightning.protocol.digest import ZERO, Digest
from gensyn_lightning.training import state
from gensyn_lightning.training.outputs import Outputs, encode
from gensyn_lightning.training.request import SegmentResult

ONE = Digest(bytes([1]) * 32)


def run(folder: Path, weight: float = 1.0, noise: str = "") -> Preflight:
    (folder / "state").mkdir(parents=True)
    end = state.encode({"model": {"w": torch.tensor(weight), "v": torch.zeros(2)}, "b": noise})
    state.save(end, folder / "state")
    (folder / "outputs.json").write_bytes(encode(Outputs((), (), (), ())))
    result = SegmentResult(
        outcome=Outcome.CONTINUES,
        raised=ZERO,
        raised_text="",
        end_event=1,
        batches=1,
        start_root=ZERO,
        end_root=end.root,
        tape_root=ZERO,
        witness_root=ZERO,
        outputs_root=ZERO,
        model=ZERO,
        numerics="native:0",
        seconds=0.1,
        hash_seconds=0.0,
        epoch_batches=40,
    )
    return Preflight(result, folder)


def test_two_runs_alike_pass(tmp_path: Path) -> None:
    compare(run(tmp_path / "a"), run(tmp_path / "b"))


def test_the_first_leaf_that_differs_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotReplayable, match=r"differ in model/w$|differ in model/w ") as caught:
        compare(run(tmp_path / "a"), run(tmp_path / "b", weight=2.0))
    assert "unseeded randomness" in caught.value.hint
    with pytest.raises(NotReplayable, match="differ in b"):
        compare(run(tmp_path / "c", noise="host a"), run(tmp_path / "d", 2.0, noise="host b"))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("start_root", "set up differently"),
        ("tape_root", "what it read from outside"),
        ("witness_root", "what it computed on the way"),
        ("outputs_root", "what it wrote"),
        ("raised", "the exception it raised"),
    ],
)
def test_any_other_difference_is_said_in_words(tmp_path: Path, field: str, words: str) -> None:
    first, second = run(tmp_path / "a"), run(tmp_path / "b")
    second = replace(second, result=replace(second.result, **{field: ONE}))
    with pytest.raises(NotReplayable, match=words):
        compare(first, second)


def test_the_first_batch_can_stand_for_the_whole_fit(tmp_path: Path) -> None:
    tried = run(tmp_path / "a")
    result = tried.as_result()
    assert result.outcome is Outcome.CONTINUES
    assert result.state.root == tried.result.end_root


def test_a_variable_that_is_set_here_and_not_there_is_named(tmp_path: Path) -> None:
    tried = run(tmp_path / "a")
    must_not_ask(tried, {"RATE": "1"})
    (tried.scratch / "asked.json").write_text('["RATE", "TERM_PROGRAM"]')
    must_not_ask(tried, {"HOME": "/root"})
    with pytest.raises(CaptureError, match="RATE"):
        must_not_ask(tried, {"RATE": "1"})
