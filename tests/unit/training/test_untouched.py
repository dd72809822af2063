"""The digest of mapped memory is known for as long as nobody has written to it, by whatever way."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from blake3 import blake3

from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.repops.shim import loader
from gensyn_lightning.training import fingerprint, untouched
from gensyn_lightning.training.mapping import MAPPED_FROM_BYTES, mapped_or_read
from gensyn_lightning.training.packing import as_bytes

LENGTH = 2 * MAPPED_FROM_BYTES

pytestmark = pytest.mark.skipif(loader.load() is None, reason="no C++ compiler")


@pytest.fixture
def mapped(tmp_path: Path) -> torch.Tensor:
    path = tmp_path / "array"
    path.write_bytes(os.urandom(LENGTH))
    with path.open("rb", buffering=0) as file:
        storage = mapped_or_read(file, LENGTH)
    untouched.remember(storage, digest_of(as_bytes(storage)))
    return torch.tensor([], dtype=torch.uint8).set_(storage)


def known(tensor: torch.Tensor) -> Digest | None:
    return untouched.digest_at(tensor.data_ptr(), tensor.nbytes)


def test_memory_that_was_only_read_has_the_digest_of_its_file(mapped: torch.Tensor) -> None:
    assert any(as_bytes(mapped.untyped_storage()))
    assert known(mapped) == digest_of(as_bytes(mapped.untyped_storage()))


@pytest.mark.parametrize(
    "write",
    [
        lambda tensor: tensor[5].fill_(1),
        lambda tensor: tensor.numpy().__setitem__(LENGTH - 1, 1),
        lambda tensor: as_bytes(tensor.untyped_storage()).__setitem__(0, 1),
    ],
    ids=["torch", "numpy", "address"],
)
def test_whoever_writes_is_noticed(
    write: Callable[[torch.Tensor], object], mapped: torch.Tensor
) -> None:
    write(mapped)
    assert known(mapped) is None


def test_what_a_fork_inherits_written_counts_as_written(mapped: torch.Tensor) -> None:
    assert in_fork(lambda: known(mapped) is not None)
    assert in_fork(lambda: write_to(mapped) and known(mapped) is None)
    assert known(mapped) is not None, "what a fork writes is its own"
    assert write_to(mapped)
    assert in_fork(lambda: known(mapped) is None)


def test_a_part_is_not_the_whole(mapped: torch.Tensor) -> None:
    assert known(mapped[1:]) is None
    assert known(mapped[:-1]) is None


def test_memory_that_was_resized_is_another(mapped: torch.Tensor) -> None:
    address = mapped.data_ptr()
    mapped.resize_(2 * LENGTH)
    assert untouched.digest_at(address, LENGTH) is None


def test_memory_that_was_never_mapped_is_not_remembered() -> None:
    storage = torch.UntypedStorage(LENGTH)
    as_bytes(storage)[:] = bytes(LENGTH)
    untouched.remember(storage, digest_of(bytes(LENGTH)))
    assert untouched.digest_at(storage.data_ptr(), LENGTH) is None


def test_a_fingerprint_is_the_same_as_if_it_had_been_read(
    mapped: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [mapped, mapped.numpy(), mapped.view(torch.float32), mapped.numpy().view(np.int64)]
    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "blake3", unread)
        quick = [fingerprint.fingerprint(each) for each in values]
    monkeypatch.setattr(untouched, "digest_at", lambda address, length: None)
    fingerprint._NOTED.clear()
    assert quick == [fingerprint.fingerprint(each) for each in values]


def unread(*data: memoryview) -> blake3:
    raise AssertionError("the memory was read")


def write_to(tensor: torch.Tensor) -> bool:
    """Write without torch, whose threads are missing from a fork."""
    as_bytes(tensor.untyped_storage())[0] ^= 1
    return True


def in_fork(holds: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if holds() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
