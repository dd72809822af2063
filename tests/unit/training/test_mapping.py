"""An array's file becomes memory like any other of torch's, and stays as it is."""

import os
from pathlib import Path

import pytest
import torch

from gensyn_lightning.errors import ArtifactError
from gensyn_lightning.repops.shim import loader
from gensyn_lightning.training.mapping import MAPPED_FROM_BYTES, mapped_or_read
from gensyn_lightning.training.packing import as_bytes

LENGTH = MAPPED_FROM_BYTES + 12


@pytest.fixture(params=["mapped", "read"])
def content(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    if request.param == "read":
        monkeypatch.setattr(loader, "load", lambda: None)
    elif loader.load() is None:
        pytest.skip("no C++ compiler")
    path = tmp_path / "array"
    path.write_bytes(os.urandom(LENGTH))
    path.chmod(0o444)
    return path


def storage(path: Path, length: int = LENGTH) -> torch.UntypedStorage:
    with path.open("rb", buffering=0) as file:
        return mapped_or_read(file, length)


def test_it_holds_the_bytes_of_the_file(content: Path) -> None:
    assert bytes(as_bytes(storage(content))) == content.read_bytes()


def test_what_is_written_stays_with_the_program(content: Path) -> None:
    before = content.read_bytes()
    one, other = (torch.tensor([], dtype=torch.uint8).set_(storage(content)) for _ in range(2))
    one.fill_(7)
    assert one.eq(7).all()
    assert bytes(as_bytes(other.untyped_storage())) == content.read_bytes() == before


def test_it_can_be_resized_like_any_other(content: Path) -> None:
    before = content.read_bytes()
    found = storage(content)
    assert found.resizable()
    tensor = torch.tensor([], dtype=torch.uint8).set_(found)
    tensor.resize_(2 * LENGTH)
    assert bytes(as_bytes(found)[:LENGTH]) == before
    assert found.nbytes() == 2 * LENGTH


def test_the_file_may_go_while_its_bytes_are_in_use(content: Path) -> None:
    before = content.read_bytes()
    found = storage(content)
    content.unlink()
    assert bytes(as_bytes(found)) == before


@pytest.mark.parametrize("length", [LENGTH - 1, LENGTH + 1])
def test_a_file_of_another_length_is_refused(content: Path, length: int) -> None:
    with pytest.raises(ArtifactError, match=f"{length} bytes lies in a file of {LENGTH}"):
        storage(content, length)


def test_mapped_memory_is_not_its_processs_own(tmp_path: Path) -> None:
    if loader.load() is None:
        pytest.skip("no C++ compiler")
    path = tmp_path / "array"
    path.write_bytes(bytes(32 << 20))
    before = own_memory()
    found = storage(path, 32 << 20)
    assert sum(as_bytes(found)[:: 1 << 12]) == 0  # a byte of every page
    assert own_memory() - before < 8 << 20


def own_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(each.split()[1]) for each in lines if each.startswith("RssAnon"))
