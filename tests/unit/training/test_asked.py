"""What a program looks for in its environment and does not find is known by name."""

import os
from collections.abc import Iterator

import pytest

from gensyn_lightning.training.asked import Asked


@pytest.fixture
def asked() -> Iterator[Asked]:
    kind = type(os.environ)
    real, real_set = kind.__getitem__, kind.__setitem__
    made = Asked()
    made.install()
    yield made
    kind.__getitem__ = real  # type: ignore[method-assign]
    kind.__setitem__ = real_set  # type: ignore[method-assign]


def test_every_way_to_ask_counts(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IS_HERE", "1")
    for name in ("GET", "GETENV", "IN"):
        monkeypatch.delenv(name, raising=False)
    asked.names.clear()
    assert os.environ.get("GET", "default") == "default"
    assert os.getenv("GETENV") is None
    assert "IN" not in os.environ
    assert os.environ["IS_HERE"] == "1"
    with pytest.raises(KeyError):
        os.environ["ITEM"]
    assert asked.names == {"GET", "GETENV", "IN", "ITEM"}


def test_what_libraries_ask_for_does_not(asked: Asked) -> None:
    os.path.expandvars("$NOT_SET_ANYWHERE")
    assert asked.names == set()


def test_a_default_that_is_set_was_not_read(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADE_UP", "")
    monkeypatch.delenv("MADE_UP")
    os.environ.setdefault("MADE_UP", "1")
    assert "MADE_UP" not in asked.names
