"""What a runner says of itself is taken as far as it makes sense, and no further."""

from typing import Any

import pytest

from gensyn_lightning.launcher.said import METRICS_MAX, NAME_CHARS_MAX, Said

BEFORE = Said(1, 20, 21, 2, 2.5, 0.25, {"loss": 0.5})


def test_numbers_come_as_text_or_as_numbers() -> None:
    said = {"event": 31, "batch": 24, "step": "25", "epoch": 2, "metrics": {"loss": "0.125"}}
    said |= {"seconds": "2.5", "hash_seconds": 1}
    body = {"solve": {"index": 3, "said": said}, "check": {"said": {"batch": 3}}}
    assert Said.read(body, Said()) == Said(3, 24, 25, 2, 2.5, 1.0, {"loss": 0.125})


@pytest.mark.parametrize("solve", [None, 7, [], {}, {"index": 1}, {"said": []}, {"said": None}])
def test_what_says_nothing_of_training_is_nothing(solve: Any) -> None:
    assert Said.read({"solve": solve}, BEFORE) is None


@pytest.mark.parametrize("nonsense", ["x", None, [], {}, "nan", "-inf", -1, 2**53, "1e400"])
def test_nonsense_leaves_a_count_as_it_was(nonsense: Any) -> None:
    said = Said.read(
        {"solve": {"index": 1, "said": dict.fromkeys(("batch", "step", "epoch"), nonsense)}}, BEFORE
    )
    assert said is not None
    assert (said.batch, said.step, said.epoch) == (20, 21, 2)
    assert said.metrics == BEFORE.metrics


def test_metrics_are_few_finite_and_printable() -> None:
    metrics = {"a\x1b[31m" + "n" * 100: 1, "nan": "nan", "word": "x"}
    metrics |= {f"m{at}": at for at in range(100)}
    said = Said.read({"solve": {"said": {"metrics": metrics}}}, Said())
    assert said is not None
    assert len(said.metrics) == METRICS_MAX - 2
    assert all(name.isprintable() and len(name) <= NAME_CHARS_MAX for name in said.metrics)
