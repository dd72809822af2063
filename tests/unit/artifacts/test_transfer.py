import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise, repeat
from pathlib import Path
from random import Random
from typing import Any

import pytest
from blake3 import blake3

from gensyn_lightning.artifacts import FolderArtifacts, MemoryArtifacts, Quota
from gensyn_lightning.artifacts.serving import ArtifactService
from gensyn_lightning.artifacts.transfer import download, missing, read, upload
from gensyn_lightning.errors import (
    ArtifactError,
    CoordinatorUnavailable,
    LimitExceeded,
    NotFound,
)
from gensyn_lightning.identity import Account, Identity
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.wire import transfer as wire
from gensyn_lightning.wire.channel import Channel

MIB = 1 << 20
LARGE = os.urandom(30 * MIB)
NAME = digest_of(LARGE)


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "store", Quota(artifact_bytes=1 << 30))


@pytest.fixture
def channels(served: Any, store: FolderArtifacts, domain: Domain) -> Iterator[Any]:
    """Channels to a server that serves `store`, or to a proxy in front of it."""
    made: list[Channel] = []
    served.start((wire.RPCS, ArtifactService(store, Account.generate(), domain)))

    def connect(address: str = "", patience_s: float = 20) -> Channel:
        identity = Identity(Account.generate(), domain)
        made.append(Channel(address or served.address, identity, patience_s=patience_s))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture
def channel(channels: Any) -> Channel:
    return channels()


def budgets(random: Random) -> Iterator[int]:
    """Let every connection carry a little more than one chunk."""
    while True:
        yield random.randrange(MIB + MIB // 8, MIB + MIB // 2)


def test_everything_missing_is_sent_once(channel: Channel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LARGE)
    small = {digest_of(each): each for each in (b"", b"a", b"b" * 5000)}
    artifacts = {**small, NAME: tmp_path / "file", digest_of(b"view"): memoryview(b"view")}
    seen: list[tuple[int, int]] = []

    sent = upload(channel, artifacts, lambda done, total: seen.append((done, total)))

    assert sent == len(LARGE) + 5001 + 4
    assert seen[0] == (0, sent)
    assert seen[-1] == (sent, sent)
    assert missing(channel, list(artifacts)) == []
    assert upload(channel, artifacts) == 0


def test_an_upload_outlives_every_cut(
    channels: Any, served: Any, store: FolderArtifacts, random: Random
) -> None:
    proxy = served.proxy(budgets(random))

    upload(channels(proxy.address), {NAME: LARGE})

    assert store.read(NAME, 0, 10) == LARGE[:10]
    assert blake3(store.path(NAME).read_bytes()).digest() == NAME
    assert proxy.cuts >= 20


def test_a_download_outlives_every_cut(
    channels: Any, served: Any, store: FolderArtifacts, random: Random, tmp_path: Path
) -> None:
    store.put(LARGE)
    proxy = served.proxy(budgets(random))
    seen: list[int] = []

    length = download(
        channels(proxy.address), NAME, tmp_path / "got", lambda done, total: seen.append(done)
    )

    assert length == len(LARGE)
    assert (tmp_path / "got").read_bytes() == LARGE
    assert seen == sorted(seen), "nothing is fetched twice"
    assert seen[-1] == len(LARGE)
    assert proxy.cuts >= 20
    assert not (tmp_path / "got.part").exists()


def test_a_download_goes_on_in_another_process(
    channel: Channel, store: FolderArtifacts, tmp_path: Path
) -> None:
    store.put(LARGE)
    (tmp_path / "got.part").write_bytes(LARGE[: 20 * MIB])
    seen: list[int] = []

    download(channel, NAME, tmp_path / "got", lambda done, total: seen.append(done))

    assert seen[0] > 20 * MIB
    assert (tmp_path / "got").read_bytes() == LARGE


@pytest.mark.parametrize("part", [bytes(100), LARGE + b"x", LARGE], ids=["wrong", "long", "whole"])
def test_a_spoiled_part_is_fetched_anew(
    part: bytes, channel: Channel, store: FolderArtifacts, tmp_path: Path
) -> None:
    store.put(LARGE)
    (tmp_path / "got.part").write_bytes(part)

    download(channel, NAME, tmp_path / "got")

    assert (tmp_path / "got").read_bytes() == LARGE


def test_a_restart_in_the_middle_costs_nothing(
    channel: Channel, served: Any, store: FolderArtifacts
) -> None:
    restarts = iter((served.restart, served.restart))
    marks = iter((10 * MIB, 20 * MIB, 1 << 60))
    mark = [next(marks)]

    def progress(done: int, total: int) -> None:
        if done > mark[0]:
            mark[0] = next(marks)
            next(restarts)()

    upload(channel, {NAME: LARGE}, progress)

    assert next(restarts, None) is None
    assert store.has(NAME)


def test_after_a_crash_of_the_store_sending_goes_on_where_it_stopped(
    channel: Channel, served: Any, store: FolderArtifacts, domain: Domain, tmp_path: Path
) -> None:
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        if seen and done > 15 * MIB and max(seen) <= 15 * MIB:
            served.stop()
            again = FolderArtifacts(tmp_path / "store")  # a new process knows what is on disk
            served.start((wire.RPCS, ArtifactService(again, Account.generate(), domain)))
        seen.append(done)

    upload(channel, {NAME: LARGE}, progress)

    back = [before - after for before, after in pairwise(seen) if after < before]
    assert len(back) <= 1
    assert all(each < 10 * MIB for each in back), "what was under way is sent again, no more"
    assert store.has(NAME)


SENDER = """
import sys, time
from pathlib import Path
from gensyn_lightning.artifacts.transfer import upload
from gensyn_lightning.identity import Account, Identity
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.wire.channel import Channel

def progress(done, total):
    print(done, flush=True)
    if done > 15 << 20:
        time.sleep(600)  # until it is killed

address, key, chain, escrow, name, path = sys.argv[1:]
domain = Domain(int(chain), Address(bytes.fromhex(escrow)))
channel = Channel(address, Identity(Account(bytes.fromhex(key)), domain))
upload(channel, {Digest(bytes.fromhex(name)): Path(path)}, progress)
"""


def test_a_sender_that_was_killed_goes_on_where_it_stopped(
    served: Any, channels: Any, store: FolderArtifacts, domain: Domain, tmp_path: Path
) -> None:
    key = Account.generate().secret()
    (tmp_path / "file").write_bytes(LARGE)
    said = [served.address, key.hex(), str(domain.chain_id), domain.escrow.hex(), NAME.hex()]
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, *said, str(tmp_path / "file")], stdout=subprocess.PIPE
    )
    assert sender.stdout is not None
    try:
        for line in sender.stdout:
            if int(line) > 15 * MIB:
                break
    finally:
        sender.kill()
        sender.communicate()
    channel = Channel(served.address, Identity(Account(key), domain), patience_s=20)
    seen: list[int] = []

    assert upload(channel, {NAME: tmp_path / "file"}, lambda done, _: seen.append(done)) > 0
    channel.close()

    assert seen[0] == 0
    assert seen[1] == min(seen[1:]) > 5 * MIB, "what arrived before is not sent again"
    back = [before - after for before, after in pairwise(seen) if after < before]
    assert len(back) <= 1, "the store may still be taking in what the dead sender had sent"
    assert store.has(NAME)


def test_a_source_that_is_not_what_its_digest_says_is_refused(
    channel: Channel, store: FolderArtifacts
) -> None:
    with pytest.raises(ArtifactError, match="are others"):
        upload(channel, {digest_of(b"right"): b"wrong"})

    assert not store.has(digest_of(b"right"))
    upload(channel, {digest_of(b"right"): b"right"})


def test_a_source_that_shrinks_is_refused(channels: Any, tmp_path: Path) -> None:
    class Shrunk(type(tmp_path)):  # type: ignore[misc]
        def stat(self, **options: Any) -> Any:
            return os.stat_result((0, 0, 0, 0, 0, 0, 1000, 0, 0, 0))

    (tmp_path / "file").write_bytes(b"short")

    with pytest.raises(CoordinatorUnavailable, match="does not take"):
        upload(channels(patience_s=0.2), {digest_of(b"x" * 1000): Shrunk(tmp_path / "file")})


def test_half_an_upload_of_other_bytes_does_not_stop_the_right_ones(
    channels: Any, store: FolderArtifacts
) -> None:
    channel = channels()
    owner = channel.identity.address
    store.stage(NAME, len(LARGE), owner).append(bytes(5 * MIB))

    upload(channel, {NAME: LARGE})

    assert store.has(NAME)


def test_what_the_store_will_not_hold_is_refused_before_it_is_sent(channel: Channel) -> None:
    with pytest.raises(LimitExceeded):
        channel.call(wire.OPEN, wire.OpenRequest(NAME, 1 << 40))


def test_an_artifact_nobody_has_is_not_found(channel: Channel, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read(channel, NAME, bytes_max=100)
    with pytest.raises(NotFound):
        download(channel, NAME, tmp_path / "got")


def test_what_is_read_is_bounded(channel: Channel, store: FolderArtifacts, tmp_path: Path) -> None:
    name = store.put(b"0123456789")

    assert read(channel, name, bytes_max=10) == b"0123456789"
    with pytest.raises(LimitExceeded):
        read(channel, name, bytes_max=9)
    with pytest.raises(LimitExceeded):
        download(channel, name, tmp_path / "got", bytes_max=9)


def test_without_progress_patience_ends(channels: Any, served: Any, store: FolderArtifacts) -> None:
    store.put(LARGE)
    proxy = served.proxy(repeat(5000))

    with pytest.raises(CoordinatorUnavailable):
        read(channels(proxy.address, patience_s=0.5), NAME, bytes_max=1 << 30)


class Lying(ArtifactService):
    """A store that sends other bytes, or pieces nobody asked for, or stops early."""

    def __init__(self, how: str, store: MemoryArtifacts, domain: Domain) -> None:
        super().__init__(store, Account.generate(), domain)
        self.how = how

    async def get(self, request: Any, caller: Any) -> Any:
        length, offset, data = 5, request.offset, b"right"[request.offset :]
        if self.how == "early":
            return
        if self.how == "bytes":
            data = b"wrong"[offset:]
        elif self.how == "offset":
            offset += 1
        elif self.how == "longer":
            data += b"!"
        elif self.how == "huge":
            length = 1 << 60
        yield wire.ArtifactsGetResponse(length, wire.Chunk(offset, data))


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("bytes", ArtifactError),
        ("offset", ArtifactError),
        ("longer", ArtifactError),
        ("huge", LimitExceeded),
        ("early", CoordinatorUnavailable),
    ],
)
def test_a_lying_store_is_caught(
    how: str, error: type[Exception], served: Any, domain: Domain, tmp_path: Path
) -> None:
    address = served.start((wire.RPCS, Lying(how, MemoryArtifacts(), domain)))
    channel = Channel(address, Identity(Account.generate(), domain), patience_s=0.3)

    with pytest.raises(error):
        read(channel, digest_of(b"right"), bytes_max=100)
    with pytest.raises(error):
        download(channel, digest_of(b"right"), tmp_path / "got")
    channel.close()

    assert not (tmp_path / "got").exists()


def test_a_digest_list_longer_than_one_request_is_split(channel: Channel) -> None:
    names = [Digest(index.to_bytes(32, "big")) for index in range(wire.DIGESTS_MAX + 5)]

    assert missing(channel, names) == names
