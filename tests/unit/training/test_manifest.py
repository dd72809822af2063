"""A manifest is one canonical document, and a broken one is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.errors import ArtifactError, GensynError
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.training.manifest import (
    ENTRIES_MAX,
    SCHEMA,
    Artifact,
    Entry,
    Flags,
    Folder,
    LoggerMeta,
    Manifest,
    Package,
    Place,
    PlaceKind,
    Variable,
    check_relative,
    manifest_bytes,
    parse_manifest,
    read_manifest,
)

LARGE = Artifact(Digest(bytes([2]) * 32), 1 << 20)
INSIDE = Place(PlaceKind.INSIDE, "root", "logs/version_0")
NONE = Place(PlaceKind.NONE, "", "")
MANIFEST = Manifest(
    schema=SCHEMA,
    flavour="pytorch_lightning",
    function="_fit_impl",
    interpreter="3.11.7",
    packages=(Package("torch", "2.13.0+cpu"),),
    modules_by_value=("mymodel",),
    program=Artifact(Digest(bytes([1]) * 32), 1000),
    arrays=(LARGE, LARGE),
    folders=(
        Folder("cwd", "", "", False, ()),
        Folder("root", "cwd", "runs/a", True, (Entry("last.ckpt", 12),)),
    ),
    loggers=(LoggerMeta("m:CSVLogger", "x", False, "0", True, False, INSIDE, NONE, INSIDE),),
    threads=2,
    arithmetic="repops-1",
    flags=Flags(False, False, "float32", "highest"),
    environment=(Variable("PL_GLOBAL_SEED", "7"),),
)


def test_a_manifest_comes_back_from_its_bytes() -> None:
    assert parse_manifest(manifest_bytes(MANIFEST)) == MANIFEST


def test_each_artifact_is_named_once() -> None:
    assert list(MANIFEST.artifacts()) == [MANIFEST.program, LARGE]


def test_a_manifest_is_read_by_its_digest(tmp_path: Path) -> None:
    data = manifest_bytes(MANIFEST)
    (tmp_path / digest_of(data).hex()).write_bytes(data)
    assert read_manifest(digest_of(data), tmp_path) == MANIFEST


def test_other_bytes_under_that_name_are_refused(tmp_path: Path) -> None:
    digest = digest_of(manifest_bytes(MANIFEST))
    with pytest.raises(ArtifactError, match="missing"):
        read_manifest(digest, tmp_path)
    (tmp_path / digest.hex()).write_bytes(manifest_bytes(replace(MANIFEST, threads=3)))
    with pytest.raises(ArtifactError, match="other bytes"):
        read_manifest(digest, tmp_path)


def nested(*names: str) -> tuple[Folder, ...]:
    return tuple(Folder(name, "", "", True, ()) for name in names)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "gensyn.manifest/2"},
        {"flavour": "os"},
        {"threads": 0},
        {"threads": 5000},
        {"program": Artifact(Digest(bytes(32)), 1 << 40)},
        {"arrays": (Artifact(Digest(bytes(32)), 10),)},
        {"folders": nested("a", "a")},
        {"folders": nested("../a")},
        {"folders": nested("")},
        {"folders": nested("x" * 33)},
        {"folders": nested(*(f"f{each}" for each in range(65)))},
        {"folders": (Folder("a", "later", "b", True, ()), Folder("later", "", "", True, ()))},
        {"folders": (*nested("a"), Folder("b", "a", "", True, ()))},
        {"folders": (*nested("a"), Folder("b", "a", "../c", True, ()))},
        {"folders": (*nested("a"), Folder("b", "", "c", True, ()))},
        {"folders": (Folder("a", "", "", True, (Entry("/etc/passwd", 1),)),)},
        {"folders": (Folder("a", "", "", True, (Entry("x", 1),) * (ENTRIES_MAX + 1)),)},
    ],
    ids=str,
)
def test_a_manifest_that_breaks_a_rule_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(GensynError):
        parse_manifest(manifest_bytes(replace(MANIFEST, **changes)))


@pytest.mark.parametrize("path", ["a", "a/b.ckpt", "a b/ü=1.ckpt", "...", "a/.hidden", ""])
def test_ordinary_paths_are_inside(path: str) -> None:
    assert check_relative(path) == path
