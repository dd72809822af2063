"""A program is loaded only by the versions it was captured with, from the bytes it named."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from gensyn_lightning.errors import ArtifactError, Malformed, VersionSkew
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.training.folders import PathMap
from gensyn_lightning.training.manifest import (
    SCHEMA,
    Artifact,
    Flags,
    Manifest,
    Package,
    manifest_bytes,
)
from gensyn_lightning.training.packing import pack
from gensyn_lightning.training.program import check_versions, load_program

pytestmark = pytest.mark.filterwarnings("ignore")


def prepare(folder: Path, value: object) -> tuple[Digest, Manifest]:
    payload = {
        "trainer": value,
        "args": (),
        "kwargs": {},
        "generators": {},
        "gradients": [],
        "resume": None,
    }
    data, blocks, _ = pack(payload, PathMap({}), lambda obj: None, ())
    for each in (data, *blocks):
        (folder / digest_of(each).hex()).write_bytes(each)
    manifest = Manifest(
        schema=SCHEMA,
        flavour="pytorch_lightning",
        function="_fit_impl",
        interpreter="3.11.0",
        packages=(Package("torch", torch.__version__),),
        modules_by_value=(),
        program=Artifact(digest_of(data), len(data)),
        arrays=tuple(Artifact(digest_of(each), len(each)) for each in blocks),
        folders=(),
        loggers=(),
        threads=1,
        arithmetic="repops-1",
        flags=Flags(False, False, "float32", "highest"),
        environment=(),
    )
    return write(folder, manifest), manifest


def write(folder: Path, manifest: Manifest) -> Digest:
    data = manifest_bytes(manifest)
    (folder / digest_of(data).hex()).write_bytes(data)
    return digest_of(data)


def test_equal_arrays_are_stored_once_and_loaded_apart(tmp_path: Path) -> None:
    first, second = numpy.zeros(100_000), numpy.zeros(100_000)
    digest, manifest = prepare(tmp_path, [first, second, torch.ones(100_000)])
    assert manifest.arrays[0] == manifest.arrays[1]
    one, two, three = load_program(digest, tmp_path, {}).trainer
    one[:] = 5
    assert not two.any()
    assert three.untyped_storage().resizable()


@pytest.mark.parametrize("harm", ["missing", "short", "long", "changed"])
def test_an_array_with_other_bytes_is_refused(tmp_path: Path, harm: str) -> None:
    digest, manifest = prepare(tmp_path, torch.ones(100_000))
    file = tmp_path / manifest.arrays[0].digest.hex()
    data = file.read_bytes()
    changed = {"short": data[:-1], "long": data + b"1", "changed": b"\1" + data[1:]}
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(changed[harm])
    with pytest.raises(ArtifactError):
        load_program(digest, tmp_path, {})


def test_an_array_nobody_listed_is_refused(tmp_path: Path) -> None:
    _, manifest = prepare(tmp_path, torch.ones(100_000))
    with pytest.raises(Malformed, match="array 0 of 0"):
        load_program(write(tmp_path, replace(manifest, arrays=())), tmp_path, {})


def test_recorders_must_match_the_loggers(tmp_path: Path) -> None:
    digest, _ = prepare(tmp_path, 1)
    with pytest.raises(Malformed):
        load_program(digest, tmp_path, {}, loggers=["one too many"])


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (Package("torch", "1.0.0"), "torch 1.0.0, this machine has 2"),
        (Package("no-such-package", "1.0"), "no-such-package 1.0, this machine has none"),
    ],
)
def test_another_version_is_refused_in_one_line(
    tmp_path: Path, package: Package, message: str
) -> None:
    _, manifest = prepare(tmp_path, 1)
    with pytest.raises(VersionSkew, match=message) as caught:
        check_versions(replace(manifest, packages=(package,)))
    assert "\n" not in str(caught.value)
    assert package.version in caught.value.hint


def test_another_interpreter_is_refused(tmp_path: Path) -> None:
    digest, manifest = prepare(tmp_path, 1)
    load_program(digest, tmp_path, {})
    with pytest.raises(VersionSkew, match=r"Python 3\.9\.1"):
        load_program(write(tmp_path, replace(manifest, interpreter="3.9.1")), tmp_path, {})
