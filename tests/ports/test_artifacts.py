"""What every store of artifacts does, whichever it is."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gensyn_lightning.artifacts import Artifacts, FolderArtifacts, MemoryArtifacts, Quota
from gensyn_lightning.artifacts.port import READ_BYTES_MAX
from gensyn_lightning.errors import ArtifactError, LimitExceeded, NotFound
from gensyn_lightning.protocol.digest import Address, Digest, digest_of

Make = Callable[[Quota], Artifacts]

DATA = os.urandom(300_000)
NAME = digest_of(DATA)
ANN, BOB = Address(b"a" * 20), Address(b"b" * 20)


@pytest.fixture(params=["folder", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "folder":
        return lambda quota: FolderArtifacts(tmp_path / "store", quota)
    return MemoryArtifacts


@pytest.fixture
def store(make: Make) -> Artifacts:
    return make(Quota())


@pytest.mark.parametrize("data", [b"", b"x", DATA, memoryview(DATA)], ids=len)
def test_what_is_put_can_be_read(data: bytes, store: Artifacts) -> None:
    digest = store.put(data)

    assert digest == digest_of(data)
    assert store.has(digest)
    assert store.length(digest) == len(data)
    assert store.read(digest) == data


def test_putting_twice_changes_nothing(store: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)

    assert store.put(DATA) == store.put(DATA) == store.put_file(tmp_path / "file") == NAME
    assert store.read(NAME) == DATA


def test_an_artifact_that_does_not_stand_is_not_found(store: Artifacts, tmp_path: Path) -> None:
    assert not store.has(NAME)
    for ask in (store.length, store.read, lambda name: store.materialise(name, tmp_path / "x")):
        with pytest.raises(NotFound):
            ask(NAME)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 10), (5, 10), (299_990, 100), (300_000, 10), (400_000, 1), (7, None)]
)
def test_a_piece_is_read_from_where_it_lies(
    offset: int, size: int | None, store: Artifacts
) -> None:
    store.put(DATA)
    end = None if size is None else offset + size

    assert store.read(NAME, offset, size) == DATA[offset:end]


def test_one_read_is_bounded(store: Artifacts) -> None:
    store.put(DATA)

    with pytest.raises(LimitExceeded):
        store.read(NAME, 0, READ_BYTES_MAX + 1)
    for offset, size in ((-1, 1), (0, -1)):
        with pytest.raises(ArtifactError):
            store.read(NAME, offset, size)


def test_a_materialised_artifact_is_a_read_only_file(store: Artifacts, tmp_path: Path) -> None:
    store.put(DATA)
    into = tmp_path / NAME.hex()
    for _ in range(2):
        store.materialise(NAME, into)

        assert into.read_bytes() == DATA
        assert into.stat().st_mode & 0o222 == 0
    assert [each.name for each in tmp_path.iterdir() if each.name != "store"] == [into.name]


def test_what_arrives_in_pieces_stands_once_finished(store: Artifacts) -> None:
    stage = store.stage(NAME, len(DATA))
    for start in range(0, len(DATA), 70_000):
        assert stage.offset == start
        stage.append(DATA[start : start + 70_000])
        assert not store.has(NAME)

    stage.finish()

    assert store.read(NAME) == DATA


def test_a_stage_goes_on_where_it_stopped(store: Artifacts) -> None:
    first = store.stage(NAME, len(DATA), ANN)
    first.append(DATA[:100_000])

    second = store.stage(NAME, len(DATA), ANN)
    assert second.offset == 100_000
    second.append(DATA[100_000:])
    second.finish()

    assert store.read(NAME) == DATA


def test_nobody_spoils_what_another_sends(store: Artifacts) -> None:
    spoiled = store.stage(NAME, len(DATA), ANN)
    spoiled.append(bytes(1000))
    good = store.stage(NAME, len(DATA), BOB)

    assert good.offset == 0
    good.append(DATA)
    good.finish()
    with pytest.raises(ArtifactError):
        spoiled.finish()

    assert store.read(NAME) == DATA


@pytest.mark.parametrize(
    "sent",
    [bytes(len(DATA)), DATA[:-1], DATA[:-1] + b"\x00", b""],
    ids=["zeros", "short", "last", "none"],
)
def test_other_bytes_never_stand(sent: bytes, store: Artifacts) -> None:
    stage = store.stage(NAME, len(DATA), ANN)
    stage.append(sent)

    with pytest.raises(ArtifactError):
        stage.finish()

    assert not store.has(NAME)
    assert store.stage(NAME, len(DATA), ANN).offset == 0, "what was wrong is dropped"


def test_more_bytes_than_announced_are_refused(store: Artifacts) -> None:
    stage = store.stage(NAME, 10)
    stage.append(DATA[:9])

    with pytest.raises(LimitExceeded):
        stage.append(DATA[:2])

    assert stage.offset == 9


def test_two_who_finish_the_same_artifact_both_succeed(store: Artifacts) -> None:
    stages = [store.stage(NAME, len(DATA), owner) for owner in (ANN, BOB)]
    for each in stages:
        each.append(DATA)
    for each in stages:
        each.finish()

    assert store.read(NAME) == DATA


@pytest.mark.parametrize(
    ("quota", "what"),
    [
        (Quota(artifact_bytes=999), "an artifact"),
        (Quota(store_bytes=1499), "the store"),
        (Quota(staged_bytes=1999), "being sent"),
        (Quota(stages=1), "being sent at once"),
    ],
    ids=["artifact", "store", "staged", "stages"],
)
def test_room_is_charged_before_the_first_byte(quota: Quota, what: str, make: Make) -> None:
    store = make(quota)

    def fill() -> None:
        for index in range(3):
            store.put(os.urandom(250))
            store.stage(Digest(bytes([index]) * 32), 1000, ANN)

    with pytest.raises(LimitExceeded, match=what):
        fill()
    if what.startswith("being"):
        store.stage(NAME, 1000, BOB)


def test_a_petabyte_is_refused_at_once(store: Artifacts) -> None:
    with pytest.raises(LimitExceeded):
        store.stage(NAME, 1 << 50)


def test_stages_nobody_writes_to_are_collected(store: Artifacts) -> None:
    store.stage(NAME, len(DATA), ANN).append(b"x")
    store.put(b"stands")

    assert store.collect(time.time() - 3600) == 0
    assert store.collect(time.time() + 1) == 1
    assert store.stage(NAME, len(DATA), ANN).offset == 0
    assert store.has(digest_of(b"stands"))


def test_many_threads_may_put_at_once(store: Artifacts) -> None:
    blobs = [os.urandom(1000) for _ in range(20)] * 4

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(store.put, blobs))

    assert [store.read(each) for each in names] == blobs


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_however_it_is_cut_it_arrives(store: Artifacts, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    name = digest_of(whole)
    if store.has(name):
        return
    for each in pieces:
        store.stage(name, len(whole), ANN).append(each)
    store.stage(name, len(whole), ANN).finish()

    assert store.read(name) == whole
