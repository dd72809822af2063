"""A program's files are part of its state by digest, and come back from the artifacts."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from gensyn_lightning.errors import ArtifactError, Malformed, StateError
from gensyn_lightning.training import state
from gensyn_lightning.training.manifest import Entry, Folder
from gensyn_lightning.training.outputs import Removed
from gensyn_lightning.training.workspace import Workspace, needed


class Declared:
    """The folders of a manifest."""

    folders = (
        Folder("cwd", "", "", False, ()),
        Folder("root", "cwd", "runs", True, (Entry("listed.txt", 12),)),
    )


class Place:
    """A machine with a program's folders on it."""

    def __init__(self, base: Path, artifacts: Path) -> None:
        self.cwd = base / "cwd"
        self.root = self.cwd / "runs"
        self.root.mkdir(parents=True)
        (self.root / "listed.txt").touch()
        self.files = base / "files"
        folders = {"cwd": self.cwd, "root": self.root}
        self.workspace = Workspace(Declared(), folders, artifacts, self.files)  # type: ignore[arg-type]
        self.workspace.begin()

    def tree(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.cwd)): path.read_text()
            for path in sorted(self.cwd.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path / "here", tmp_path / "artifacts")


def test_files_move_to_another_machine(here: Place, tmp_path: Path) -> None:
    (here.root / "inner").mkdir()
    (here.root / "inner/a.txt").write_text("alpha")
    (here.root / "last.txt").symlink_to("inner/a.txt")
    (here.cwd / "notes.txt").write_text("beta")
    written = here.workspace.written()
    there = Place(tmp_path / "there", here.files)
    (there.root / "stale.txt").write_text("x")
    there.workspace.restore(written)
    assert there.tree() == here.tree()
    assert (there.root / "last.txt").is_symlink()
    assert there.workspace.written() == written
    assert there.workspace.outputs() == ((), ())


def test_a_link_may_outlive_its_target(here: Place, tmp_path: Path) -> None:
    (here.root / "last.txt").symlink_to("gone.txt")
    written = here.workspace.written()
    there = Place(tmp_path / "there", here.files)
    there.workspace.restore(written)
    assert (there.root / "last.txt").is_symlink()
    assert there.workspace.written() == written


def test_outputs_are_what_changed_in_writable_folders(here: Place) -> None:
    (here.root / "a.txt").write_text("alpha")
    (here.cwd / "notes.txt").write_text("beta")
    (here.root / "listed.txt").unlink()
    here.workspace.written()
    files, removed = here.workspace.outputs()
    assert [(each.folder, each.path, each.length) for each in files] == [("root", "a.txt", 5)]
    assert files[0].digest == blake3(b"alpha").digest()
    assert removed == (Removed("root", "listed.txt"),)
    assert (here.files / files[0].digest.hex()).read_text() == "alpha"


def test_a_file_changed_in_place_is_seen(here: Place) -> None:
    (here.root / "log").write_text("one")
    before = here.workspace.written()
    (here.root / "log").write_text("two")
    assert here.workspace.written() != before


def test_a_listed_file_is_empty_until_it_is_written(here: Place) -> None:
    assert here.workspace.written()["root"]["listed.txt"][2] == "listed"
    (here.root / "listed.txt").write_text("now")
    assert here.workspace.written()["root"]["listed.txt"][2] == "bytes"


def test_the_files_a_state_needs_are_known_from_its_structure(here: Place) -> None:
    (here.root / "a.txt").write_text("alpha")
    encoded = state.encode({"folders": here.workspace.written(), "model": {}})
    structure = json.loads(json.dumps(encoded.structure))
    assert needed(structure) == [blake3(b"alpha").digest()]
    with pytest.raises(Malformed):
        needed({"tree": []})


def test_a_link_out_of_its_folder_is_refused(here: Place) -> None:
    (here.root / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(StateError, match="link out of its folder"):
        here.workspace.written()


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"../a": ["00" * 32, 1, "bytes", ""]}, Malformed),
        ({"a": ["00" * 32, 1, "bytes", ""]}, ArtifactError),
        ({"a": ["../../x", 1, "bytes", ""]}, Malformed),
    ],
)
def test_a_state_that_names_no_file_of_ours_is_refused(
    here: Place, entry: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        here.workspace.restore({"root": entry})


def test_a_name_that_is_only_touched_stays_one(here: Place) -> None:
    before = here.workspace.written()
    os.utime(here.root / "listed.txt", (0, 0))
    assert here.workspace.written() == before
    assert here.workspace.outputs() == ((), ())
