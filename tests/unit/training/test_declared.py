"""Files may come back into the folders that loggers and callbacks name, and nowhere else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gensyn_lightning.errors import CaptureError
from gensyn_lightning.training import declared
from gensyn_lightning.training.declared import declare
from gensyn_lightning.training.manifest import Folder


def trainer(root: Path | str, loggers: Any = (), callbacks: Any = ()) -> SimpleNamespace:
    return SimpleNamespace(
        default_root_dir=str(root), loggers=list(loggers), callbacks=list(callbacks)
    )


def logger(save_dir: str | None, version: Any = 0) -> SimpleNamespace:
    return SimpleNamespace(save_dir=save_dir, name="logs", version=version)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def writable(folders: tuple[Folder, ...], places: dict[str, Path], here: Path) -> set[str]:
    return {str(places[each.name].relative_to(here)) for each in folders if each.writable}


def test_the_working_folder_is_known_but_not_writable(here: Path) -> None:
    folders, places = declare(trainer(here))
    assert folders[0].name == "cwd"
    assert writable(folders, places, here) == {"checkpoints"}


def test_with_a_logger_only_its_own_version_is_writable(here: Path) -> None:
    folders, places = declare(trainer(here, [logger(str(here))]))
    assert writable(folders, places, here) == {"logs/version_0"}


def test_a_root_the_user_chose_is_writable(here: Path) -> None:
    folders, places = declare(trainer(here / "runs", [logger("elsewhere", "abc")]))
    assert writable(folders, places, here) == {"runs", "elsewhere", "elsewhere/logs/abc"}


def test_folders_of_callbacks_are_writable_and_nest(here: Path) -> None:
    callback = SimpleNamespace(dirpath=str(here / "runs/best"))
    folders, _ = declare(trainer(here / "runs", callbacks=[SimpleNamespace(), callback]))
    nested = {each.name: (each.parent, each.relative) for each in folders}
    assert nested["callback-1"] == ("root", "best")
    assert nested["root"] == ("cwd", "runs")


def test_what_lies_there_is_listed_once(here: Path) -> None:
    checkpoints = here / "runs/checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "last.ckpt").write_bytes(b"1234")
    (here / "runs/notes.txt").write_bytes(b"1")
    (here / "runs/link").symlink_to("/etc/passwd")
    (here / "runs/other").mkdir()
    (here / "runs/other/unseen").write_bytes(b"1")
    (here / "source.py").write_bytes(b"")
    folders, _ = declare(trainer(here / "runs"))
    listed = {each.name: [(e.path, e.length) for e in each.entries] for each in folders}
    assert listed == {
        "cwd": [],
        "root": [("notes.txt", 1)],
        "checkpoints": [("last.ckpt", 4)],
    }


def test_a_folder_of_too_many_files_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "ENTRIES_MAX", 3)
    (here / "checkpoints").mkdir()
    for each in range(5):
        (here / f"checkpoints/{each}").touch()
    with pytest.raises(CaptureError, match="more than 3 files"):
        declare(trainer(here))


def test_a_remote_folder_is_refused(here: Path) -> None:
    with pytest.raises(CaptureError, match="not a folder of this machine"):
        declare(trainer("s3://bucket/runs"))
