from __future__ import annotations

import contextlib
import random
import struct
import zipfile
from pathlib import Path

import pytest
from zips import records, saved, zipped

from gensyn_lightning.errors import ArtifactError, LimitExceeded
from gensyn_lightning.report import archive

PLAIN = [("archive/data.pkl", b"pickle"), ("archive/data/0", b"numbers")]


def test_the_records_are_found_by_name(tmp_path: Path) -> None:
    found = archive.read(zipped(tmp_path / "m.ckpt", PLAIN))
    assert {name: bytes(data) for name, data in found.items()} == {
        "data.pkl": b"pickle",
        "data/0": b"numbers",
    }


def test_torchs_own_zip_is_read_as_python_reads_it(tmp_path: Path) -> None:
    import torch

    path = saved({"a": torch.rand(100), "b": torch.rand(3)}, tmp_path / "m.ckpt")
    found = {f"archive/{name}": bytes(data) for name, data in archive.read(path).items()}
    assert found == dict(records(path))


@pytest.mark.parametrize(
    "entries",
    [
        [*PLAIN, PLAIN[1]],
        [*PLAIN, ("archive/DATA/0", b"numbers")],
        [*PLAIN, ("other/data/0", b"numbers")],
        [("data.pkl", b"pickle")],
        [*PLAIN, ("archive/data/ü", b"")],
    ],
)
def test_names_that_could_be_read_in_two_ways_are_refused(
    tmp_path: Path, entries: list[tuple[str, bytes]]
) -> None:
    with pytest.raises(ArtifactError):
        archive.read(zipped(tmp_path / "m.ckpt", entries))


def test_a_compressed_record_is_not_inflated(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.ckpt", [("archive/data.pkl", bytes(1 << 20))], zipfile.ZIP_DEFLATED)
    with pytest.raises(ArtifactError, match="compressed"):
        archive.read(path)


def test_what_torch_would_unpickle_before_the_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.ckpt", PLAIN)
    path.write_bytes(b"\x80\x02N." + path.read_bytes())
    with pytest.raises(ArtifactError, match="start"):
        archive.read(path)


def test_a_zip_with_bytes_after_its_end_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.ckpt", PLAIN)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ArtifactError, match="end"):
        archive.read(path)


def test_a_second_directory_is_refused(tmp_path: Path) -> None:
    honest = zipped(tmp_path / "honest", PLAIN).read_bytes()
    other = zipped(tmp_path / "other", [PLAIN[0], ("archive/data/0", b"poison!")]).read_bytes()
    # Python counts back from the end and finds the honest one; others go where the end points to.
    start = struct.unpack("<L", other[-6:-2])[0]
    both = other[:-22] + honest[:-22] + other[-22:]
    assert zipfile.ZipFile(_written(tmp_path / "m.ckpt", both)).read(PLAIN[1][0]) == b"numbers"
    assert other[start : start + 4] == b"PK\1\2"
    with pytest.raises(ArtifactError, match="two directories"):
        archive.read(tmp_path / "m.ckpt")


def test_entries_are_bounded_before_the_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ENTRIES_MAX", 1)
    with pytest.raises(LimitExceeded):
        archive.read(zipped(tmp_path / "m.ckpt", PLAIN))


def test_damage_is_an_error_of_ours_or_harmless(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    whole = saved({"a": None}, tmp_path / "m.ckpt").read_bytes()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0xFF))
        with contextlib.suppress(ArtifactError, LimitExceeded):
            archive.read(_written(tmp_path / "m.ckpt", bytes(data[dice.choice((0, 0, 0, 1)) :])))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
