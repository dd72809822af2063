"""Artifacts are fetched once, checked by name, and dropped oldest first."""

import os
from pathlib import Path

from gensyn_lightning.artifacts import FolderArtifacts
from gensyn_lightning.node.cache import Cache, digest_of_file, sharing
from gensyn_lightning.protocol.digest import Digest, digest_of

CONTENT = {digest_of(data): data for data in (b"", b"one", b"two" * 100)}


class Source:
    def __init__(self) -> None:
        self.asked: list[Digest] = []

    def fetch(self, digest: Digest, into: Path) -> None:
        self.asked.append(digest)
        into.write_bytes(CONTENT[digest])


def test_an_artifact_is_fetched_once(tmp_path: Path) -> None:
    source = Source()
    cache = Cache(tmp_path / "cache", source.fetch)
    for digest, data in (*CONTENT.items(), *CONTENT.items()):
        assert cache.get(digest).read_bytes() == data
    assert len(source.asked) == len(CONTENT)


def test_what_is_laid_out_shares_its_bytes(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", Source().fetch)
    cache.lay_out(CONTENT, tmp_path / "out")
    for digest in CONTENT:
        assert os.path.samefile(tmp_path / "out" / digest.hex(), cache.get(digest))


def test_what_lies_in_a_store_on_this_disk_is_shared(tmp_path: Path) -> None:
    store, source = FolderArtifacts(tmp_path / "store"), Source()
    one, two = (digest_of(each) for each in (b"one", b"two" * 100))
    store.put(b"one")
    cache = Cache(tmp_path / "cache", sharing(tmp_path / "store", source.fetch))
    assert os.path.samefile(cache.get(one), store.path(one))
    assert cache.get(two).read_bytes() == CONTENT[two]
    assert source.asked == [two]


def test_what_a_store_on_this_disk_has_wrong_is_fetched(tmp_path: Path) -> None:
    store, source = FolderArtifacts(tmp_path / "store"), Source()
    store.path(digest_of(b"one")).write_bytes(b"two")
    cache = Cache(tmp_path / "cache", sharing(tmp_path / "store", source.fetch))
    assert cache.get(digest_of(b"one")).read_bytes() == b"one"
    assert source.asked == [digest_of(b"one")]


def test_a_file_made_here_need_not_be_fetched(tmp_path: Path) -> None:
    source = Source()
    cache = Cache(tmp_path / "cache", source.fetch)
    (tmp_path / "made").write_bytes(b"one")
    digest = cache.adopt(tmp_path / "made")
    assert digest == digest_of(b"one") == digest_of_file(tmp_path / "made")
    assert cache.get(digest).read_bytes() == b"one"
    assert source.asked == []


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    source = Source()
    cache = Cache(tmp_path / "cache", source.fetch, bytes_max=301)
    old, new = digest_of(b"one"), digest_of(b"two" * 100)
    os.utime(cache.get(old), (1, 1))
    os.utime(cache.get(new), (2, 2))
    cache.shrink()
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [new.hex()]
