"""Folders stand elsewhere on every machine, and paths follow them."""

from dataclasses import replace
from pathlib import Path

import pytest

from gensyn_lightning.errors import GensynError
from gensyn_lightning.training.folders import PathMap, lay_out
from gensyn_lightning.training.manifest import Entry, Folder, Manifest, Place, PlaceKind

HERE = PathMap({"cwd": Path("/home/me"), "root": Path("/home/me/runs"), "all": Path("/")})


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("/home/me", ("cwd", "")),
        ("/home/me/runs/a.ckpt", ("root", "a.ckpt")),
        ("/home/me/runs2", ("cwd", "runs2")),
        ("/etc/passwd", ("all", "etc/passwd")),
        ("relative/path", None),
        ("", None),
    ],
)
def test_a_path_belongs_to_the_deepest_folder(text: str, split: tuple[str, str] | None) -> None:
    assert HERE.split(text) == split
    if split is not None:
        assert HERE.join(*split) == text


def test_places_are_written_down_and_found_again() -> None:
    there = PathMap({"cwd": Path("/scratch/cwd"), "root": Path("/scratch/cwd/runs")})
    assert HERE.place(None).kind is PlaceKind.NONE
    assert there.resolve(HERE.place(None)) is None
    assert there.resolve(HERE.place("runs/logs")) == "runs/logs"
    assert there.resolve(HERE.place(Path("/home/me/runs/logs"))) == "/scratch/cwd/runs/logs"


@pytest.mark.parametrize(("folder", "path"), [("nobody", "a"), ("root", "../../etc/passwd")])
def test_a_place_outside_every_folder_is_refused(folder: str, path: str) -> None:
    with pytest.raises(GensynError):
        HERE.resolve(Place(PlaceKind.INSIDE, folder, path))


def test_folders_nest_as_they_did_and_files_are_there_by_name(tmp_path: Path) -> None:
    folders = (
        Folder("cwd", "", "", False, ()),
        Folder("root", "cwd", "runs/a", True, (Entry("last.ckpt", 12), Entry("old/x", 1))),
        Folder("elsewhere", "", "", True, ()),
    )
    manifest = replace(_manifest(), folders=folders)
    placed = lay_out(manifest, tmp_path)
    assert placed["root"] == placed["cwd"] / "runs/a"
    assert placed["elsewhere"].parent == placed["cwd"].parent
    assert (placed["root"] / "last.ckpt").read_bytes() == b""
    assert (placed["root"] / "old/x").exists()


def _manifest() -> Manifest:
    from gensyn_lightning.protocol.digest import ZERO
    from gensyn_lightning.training.manifest import SCHEMA, Artifact, Flags

    return Manifest(
        schema=SCHEMA,
        flavour="pytorch_lightning",
        function="_fit_impl",
        interpreter="3.11.7",
        packages=(),
        modules_by_value=(),
        program=Artifact(ZERO, 1),
        arrays=(),
        folders=(),
        loggers=(),
        threads=1,
        arithmetic="repops-1",
        flags=Flags(False, False, "float32", "highest"),
        environment=(),
    )
