"""An exception that is none of ours still ends in a way out, where one is known."""

import pytest

from gensyn_lightning.cli.advice import ADVICE, advice


@pytest.mark.parametrize(("words", "way_out"), ADVICE)
def test_what_is_known_is_told(words: str, way_out: str) -> None:
    assert advice(RuntimeError(f"oh: {words}!")) == way_out


def test_an_exception_knows_better_than_the_table() -> None:
    error = RuntimeError("Found no NVIDIA driver")
    error.add_note("Look behind the sofa.")
    assert advice(error) == "Look behind the sofa."


def test_nothing_is_made_up() -> None:
    assert advice(ValueError("seven")) == ""
