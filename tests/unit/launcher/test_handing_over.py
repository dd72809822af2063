"""What a submitter and the network can share is shared; what they cannot is sent."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.artifacts import FolderArtifacts
from gensyn_lightning.artifacts.serving import ArtifactService
from gensyn_lightning.client import Client
from gensyn_lightning.errors import ArtifactError
from gensyn_lightning.identity import Account, Identity
from gensyn_lightning.launcher.handing_over import HandingOver
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.wire import transfer as wire

LARGE, SMALL = os.urandom(3 << 20), b"small"
ARTIFACTS = {digest_of(each): each for each in (LARGE, SMALL)}


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "store")


@pytest.fixture
def client(served: Any, store: FolderArtifacts, domain: Domain) -> Iterator[Client]:
    address = served.start((wire.RPCS, ArtifactService(store, Account.generate(), domain)))
    with Client(address, Identity(Account.generate(), domain), patience_s=20) as made:
        yield made


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    folder = tmp_path / "laid-out"
    folder.mkdir()
    for digest, data in ARTIFACTS.items():
        (folder / digest.hex()).write_bytes(data)
    return folder


def test_on_one_disk_nothing_is_copied_or_sent(
    client: Client, store: FolderArtifacts, laid_out: Path
) -> None:
    seen: list[tuple[int, int]] = []
    over = HandingOver(client, store, ARTIFACTS, laid_out)

    assert over.send(lambda done, total: seen.append((done, total))) == 0

    assert client.missing(list(ARTIFACTS)) == []
    for digest in ARTIFACTS:
        assert os.path.samefile(store.path(digest), laid_out / digest.hex())
    assert max(seen) == (len(LARGE) + len(SMALL),) * 2


def test_what_the_network_has_is_not_written_again(
    client: Client, store: FolderArtifacts, tmp_path: Path
) -> None:
    store.put(LARGE)
    over = HandingOver(client, store, ARTIFACTS, tmp_path)
    assert over.have(digest_of(LARGE), tmp_path / "there")
    assert os.path.samefile(store.path(digest_of(LARGE)), tmp_path / "there")
    assert not over.have(digest_of(SMALL), tmp_path / "not-there")


def test_without_a_common_disk_everything_is_sent(
    client: Client, store: FolderArtifacts, laid_out: Path
) -> None:
    over = HandingOver(client, None, ARTIFACTS, laid_out)
    assert not over.have(digest_of(LARGE), laid_out / "there")
    assert over.send() == len(LARGE) + len(SMALL)
    assert store.read(digest_of(SMALL)) == SMALL
    assert over.send() == 0


def test_a_file_that_was_changed_is_not_handed_over(
    client: Client, store: FolderArtifacts, laid_out: Path
) -> None:
    (laid_out / digest_of(LARGE).hex()).write_bytes(LARGE[:-1] + b"x")
    with pytest.raises(ArtifactError, match="are others"):
        HandingOver(client, store, ARTIFACTS, laid_out).send()
    assert not store.has(digest_of(LARGE))
