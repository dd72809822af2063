"""Files from the network land in declared folders, or not at all."""

import os
from pathlib import Path

import pytest

from gensyn_lightning.errors import ArtifactError, GensynError, LimitExceeded, Malformed
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.manifest import Folder


def confined(tmp_path: Path, **limits: int) -> ConfinedFolders:
    folders = (
        Folder("cwd", "", "", False, ()),
        Folder("root", "cwd", "runs", True, ()),
    )
    return ConfinedFolders(folders, {"cwd": tmp_path, "root": tmp_path / "runs"}, **limits)


def everything_under(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*")}


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    written = confined(tmp_path).write("root", "a/b/c.ckpt", lambda file: file.write(b"bytes"))
    assert written == tmp_path / "runs/a/b/c.ckpt"
    assert written.read_bytes() == b"bytes"
    assert not written.stat().st_mode & 0o111


def test_a_file_replaces_the_one_before_it(tmp_path: Path) -> None:
    folders = confined(tmp_path)
    for content in (b"first", b"second"):
        folders.write("root", "last.ckpt", lambda file, content=content: file.write(content))
    assert (tmp_path / "runs/last.ckpt").read_bytes() == b"second"
    assert everything_under(tmp_path / "runs") == {"last.ckpt"}


@pytest.mark.parametrize(
    "path",
    [
        "../escape",
        "a/../../escape",
        "/etc/passwd",
        "//etc/passwd",
        "",
        ".",
        "..",
        "a//b",
        "a/./b",
        "a/",
        "a\\b",
        "a\x00b",
        "line\nbreak",
        "bell\x07",
        "x" * 300,
        "y/" * 300 + "z",
        "\udce4",
    ],
)
def test_a_path_that_does_not_stay_inside_is_refused(tmp_path: Path, path: str) -> None:
    folders = confined(tmp_path)
    with pytest.raises(GensynError):
        folders.write("root", path, lambda file: file.write(b"bytes"))
    with pytest.raises(GensynError):
        folders.reserve("root", path, 1)
    assert everything_under(tmp_path) == set()


@pytest.mark.parametrize("folder", ["cwd", "home", "", "../root"])
def test_a_folder_nobody_declared_writable_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(Malformed):
        confined(tmp_path).write(folder, "mymodel.py", lambda file: file.write(b"bytes"))
    assert everything_under(tmp_path) == set()


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/inner").symlink_to(outside)
    with pytest.raises(ArtifactError, match="link"):
        confined(tmp_path).write("root", "inner/file", lambda file: file.write(b"bytes"))
    assert everything_under(outside) == set()


def test_a_link_at_the_end_is_replaced_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/last.ckpt").symlink_to(secret)
    confined(tmp_path).write("root", "last.ckpt", lambda file: file.write(b"bytes"))
    assert secret.read_bytes() == b"secret"
    assert not (tmp_path / "runs/last.ckpt").is_symlink()


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket"])
def test_only_a_regular_file_may_be_in_the_way(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "runs/here"
    target.parent.mkdir()
    if kind == "folder":
        target.mkdir()
    else:
        os.mknod(target, 0o600 | (0o010000 if kind == "fifo" else 0o140000))
    folders = confined(tmp_path)
    with pytest.raises(ArtifactError, match="in the way"):
        folders.write("root", "here", lambda file: file.write(b"bytes"))
    with pytest.raises(ArtifactError, match="in the way"):
        folders.remove("root", "here")
    assert everything_under(tmp_path / "runs") == {"here"}


def test_a_file_in_the_way_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/a").write_bytes(b"file")
    with pytest.raises(ArtifactError):
        confined(tmp_path).write("root", "a/b", lambda file: file.write(b"bytes"))


def test_a_file_that_cannot_be_filled_leaves_nothing_behind(tmp_path: Path) -> None:
    def fill(file: object) -> None:
        raise ArtifactError("cut short")

    with pytest.raises(ArtifactError, match="cut short"):
        confined(tmp_path).write("root", "a.ckpt", fill)
    assert everything_under(tmp_path / "runs") == set()


def test_a_link_to_a_neighbour_is_made(tmp_path: Path) -> None:
    folders = confined(tmp_path)
    folders.write("root", "a/best.ckpt", lambda file: file.write(b"best"))
    for _ in range(2):
        made = folders.link("root", "a/last.ckpt", "best.ckpt")
    assert os.readlink(made) == "best.ckpt"
    assert made.read_bytes() == b"best"


@pytest.mark.parametrize("target", ["", "/etc/passwd", "../best.ckpt", "a/../../b", "x\x00y"])
def test_a_link_out_of_its_folder_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(GensynError):
        confined(tmp_path).link("root", "last.ckpt", target)
    assert everything_under(tmp_path) == set()


def test_too_many_files_are_refused_before_they_are_fetched(tmp_path: Path) -> None:
    folders = confined(tmp_path, files_max=2)
    folders.reserve("root", "a", 1)
    folders.reserve("root", "b", 1)
    with pytest.raises(LimitExceeded):
        folders.reserve("root", "c", 1)


@pytest.mark.parametrize("length", [-1, 11, 1 << 60])
def test_too_many_bytes_are_refused_before_they_are_fetched(tmp_path: Path, length: int) -> None:
    with pytest.raises(LimitExceeded):
        confined(tmp_path, bytes_max=10).reserve("root", "a", length)


def test_removing_a_file_leaves_others_and_links_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept")
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "old.ckpt").write_bytes(b"old")
    (runs / "link").symlink_to(kept)
    folders = confined(tmp_path)
    folders.remove("root", "old.ckpt")
    folders.remove("root", "link")
    folders.remove("root", "never/there")
    assert everything_under(tmp_path) == {"kept", "runs"}
