"""A file that is here by name only may be replaced, and not taken for what it is at home."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gensyn_lightning.errors import StateError
from gensyn_lightning.training.names_only import NamesOnly


@pytest.fixture(scope="module")
def guarded() -> NamesOnly:
    made = NamesOnly()
    made.guard()
    return made


@pytest.fixture
def file(tmp_path: Path, guarded: NamesOnly) -> Iterator[Path]:
    path = tmp_path / "history.txt"
    path.touch()
    guarded.add(path)
    yield path
    guarded.clear()


@pytest.mark.parametrize("mode", ["r", "rb", "a", "r+"])
def test_it_is_not_opened_for_what_is_in_it(file: Path, mode: str) -> None:
    with pytest.raises(StateError, match=r"history.txt was in its folder") as caught:
        file.open(mode)
    assert "before `fit`" in caught.value.hint


def test_another_name_for_it_is_no_way_around(file: Path) -> None:
    other = file.parent / "link"
    other.symlink_to(file)
    for path in (other, file.parent / "." / "history.txt"):
        with pytest.raises(StateError):
            os.open(path, os.O_RDONLY)


def test_once_it_is_written_anew_it_is_a_file_like_any_other(
    file: Path, guarded: NamesOnly
) -> None:
    assert guarded.has(file)
    file.write_text("new")
    with file.open("a") as more:
        more.write(", and more")
    assert file.read_text() == "new, and more"
    assert not guarded.has(file)


def test_so_it_is_once_it_was_replaced(file: Path) -> None:
    other = file.parent / "other"
    other.write_text("whole")
    other.replace(file)
    assert file.read_text() == "whole"


def test_it_is_not_moved_either(file: Path) -> None:
    with pytest.raises(StateError):
        file.rename(file.parent / "history.bak")
    with pytest.raises(StateError):
        os.link(file, file.parent / "history.bak")


def test_it_is_in_the_way_of_a_file_that_must_be_new(file: Path) -> None:
    with pytest.raises(FileExistsError):
        file.open("x")


def test_a_refusal_that_a_program_caught_is_not_forgotten(tmp_path: Path) -> None:
    names = NamesOnly()
    names.must_be_untouched()
    names.add(tmp_path / "cache")
    (tmp_path / "cache").touch()
    with pytest.raises(StateError):
        names._hear("open", (str(tmp_path / "cache"), "r", os.O_RDONLY))
    with pytest.raises(StateError, match="cache was in its folder"):
        names.must_be_untouched()
