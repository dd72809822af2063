"""A file that lies is refused: never opened wide, never accepted, never a crash."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from gensyn_lightning.errors import (
    ArtifactError,
    GensynError,
    LimitExceeded,
    Malformed,
    StateError,
)
from gensyn_lightning.training import files, tree
from gensyn_lightning.training.state import State, decode, encode, load, save

LIMIT = 1 << 20


def sample() -> State:
    base = torch.arange(6, dtype=torch.float32)
    return encode(
        {
            "model": {
                "weight": torch.nn.Parameter(torch.eye(3)),
                "base": base,
                "view": base[2:4],
                "tied": base.view(6),
                "wide": torch.zeros(2, dtype=torch.complex128),
                "flag": torch.tensor([True, False, True]),
                "half": torch.ones(3, dtype=torch.bfloat16),
                "odd": torch.zeros(3, dtype=torch.float8_e8m0fnu),
            },
            "loops": {"n": 3, "x": 0.5, "words": np.array(["ab", "c"]), "s": {1, 2}},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(sample(), tmp_path)
    return tmp_path


def rewrite(folder: Path, change: Any) -> None:
    path = folder / files.STRUCTURE_NAME
    value = json.loads(path.read_text())
    change(value)
    path.write_bytes(tree.dumps(value))


def row(value: Any, path: str) -> Any:
    return next(each for each in value["leaves"] if each["path"] == path)


def test_what_was_saved_is_loaded(folder: Path) -> None:
    state = load(folder, expected_root=sample().root, bytes_max=LIMIT)
    assert state.leaves == sample().leaves
    assert state.structure == sample().structure
    assert set(state.tensors) == set(sample().tensors)


def test_saving_twice_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save(sample(), other)
    for name in (files.STRUCTURE_NAME, files.TENSORS_NAME):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_the_tensors_open_in_any_safetensors_reader(folder: Path) -> None:
    with safe_open(folder / files.TENSORS_NAME, "pt") as file:
        assert file.get_tensor("model/weight").equal(torch.eye(3))
        assert "model/tied" not in file.keys()  # noqa: SIM118


@pytest.mark.parametrize("name", [files.STRUCTURE_NAME, files.TENSORS_NAME])
def test_every_single_flipped_byte_is_refused(folder: Path, name: str) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    path = folder / name
    data = bytearray(path.read_bytes())
    for _ in range(1200):
        index, mask = chance.randrange(len(data)), chance.randrange(1, 256)
        data[index] ^= mask
        path.write_bytes(data)
        with pytest.raises(GensynError):
            load(folder, bytes_max=LIMIT)
        data[index] ^= mask
    path.write_bytes(data)
    load(folder, bytes_max=LIMIT)


def test_every_mangled_container_is_refused(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    path = tmp_path / "container"
    files.save_container(sample(), path)
    whole = path.read_bytes()
    for _ in range(400):
        data = bytearray(whole)
        start = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[start] ^= chance.randrange(1, 256)
            case 1:
                del data[start : start + chance.randrange(1, 100)]
            case _:
                data[start:start] = chance.randbytes(chance.randrange(1, 100))
        path.write_bytes(data)
        with pytest.raises(GensynError):
            files.load_container(path, bytes_max=LIMIT)
    path.write_bytes(whole)
    assert files.load_container(path, bytes_max=LIMIT).root == sample().root


def test_a_state_with_another_root_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="root"):
        load(folder, expected_root=encode({}).root, bytes_max=LIMIT)
    rewrite(folder, lambda value: value.update(root="00" * 32))
    with pytest.raises(StateError, match="root"):
        load(folder, bytes_max=LIMIT)


def test_files_beyond_the_limit_are_not_read(folder: Path) -> None:
    with pytest.raises(LimitExceeded):
        load(folder, bytes_max=100)
    with pytest.raises(LimitExceeded):
        load(folder, bytes_max=(folder / files.STRUCTURE_NAME).stat().st_size + 10)
    with (folder / files.TENSORS_NAME).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitExceeded):
        load(folder, bytes_max=LIMIT)


def test_links_pipes_and_folders_are_no_files(folder: Path) -> None:
    path = folder / files.TENSORS_NAME
    moved = path.rename(folder / "elsewhere")
    with pytest.raises(ArtifactError, match="opened"):
        load(folder, bytes_max=LIMIT)
    path.symlink_to(moved)
    with pytest.raises(ArtifactError, match="opened"):
        load(folder, bytes_max=LIMIT)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArtifactError, match="regular"):
        load(folder, bytes_max=LIMIT)
    path.unlink()
    path.mkdir()
    with pytest.raises(ArtifactError, match="regular"):
        load(folder, bytes_max=LIMIT)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: row(v, "model/weight").update(shape=[1 << 40, 3]),
        lambda v: row(v, "model/weight").update(shape=[1 << 60, 1 << 60]),
        lambda v: row(v, "model/weight").update(shape=[0, 1 << 62]),
        lambda v: row(v, "model/weight").update(shape=[-3, -3]),
        lambda v: row(v, "model/weight").update(shape=[1] * 65),
        lambda v: row(v, "model/weight").update(shape=[True, 9]),
        lambda v: row(v, "model/weight").update(layout=[1 << 30, 1]),
        lambda v: row(v, "model/weight").update(layout=[0]),
        lambda v: row(v, "model/weight").update(layout="channels_last"),
        lambda v: row(v, "model/weight").update(layout="contiguous"),
        lambda v: row(v, "model/weight").update(dtype="float128"),
        lambda v: row(v, "model/weight").update(dtype=[]),
        lambda v: row(v, "model/weight").update(kind="function"),
        lambda v: row(v, "model/weight").update(kind="bytes"),
        lambda v: row(v, "model/weight").update(grad=False),
        lambda v: row(v, "model/weight").update(grad=1),
        lambda v: row(v, "model/weight").update(surplus=1),
        lambda v: row(v, "model/weight").update(digest="0" * 63),
        lambda v: row(v, "model/weight").update(path="m" * 5000),
        lambda v: row(v, "model/view").update(alias=["model/view", 0]),
        lambda v: row(v, "model/view").update(alias=["nobody", 0]),
        lambda v: row(v, "model/view").update(alias=["model/base", 3]),
        lambda v: row(v, "model/view").update(alias=["model/base", 1 << 45]),
        lambda v: row(v, "model/view").update(alias=["model/base", 8.0]),
        lambda v: row(v, "model/view").update(alias=["model/tied", 8]),
        lambda v: v["leaves"].reverse(),
        lambda v: v["leaves"].append(v["leaves"][-1]),
        lambda v: v["leaves"].append(3),
        lambda v: v.update(leaves={}),
        lambda v: v.update(format="gensyn state 2"),
        lambda v: v.update(more=1),
        lambda v: v.update(tree={"$dict": [[1, 2, 3]]}),
    ],
)
def test_a_structure_that_lies_is_refused(folder: Path, change: Any) -> None:
    rewrite(folder, change)
    with pytest.raises(GensynError):
        load(folder, bytes_max=LIMIT)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[" * 100_000, b"1" * 5000, b'{"a":1,"a":1}', b"1.5", b"NaN", b"\xff", b" 1"],
)
def test_a_structure_that_is_no_canonical_json_is_refused(folder: Path, data: bytes) -> None:
    (folder / files.STRUCTURE_NAME).write_bytes(data)
    with pytest.raises((Malformed, LimitExceeded)):
        load(folder, bytes_max=LIMIT)


def test_leaves_nobody_refers_to_and_references_to_no_leaf_are_refused(folder: Path) -> None:
    state = sample()
    rows = [each for each in state.leaves if each.kind != "value"]
    without = files.assemble({"$dict": []}, rows, state.buffers, {})
    with pytest.raises(StateError, match="nowhere"):
        decode(without)
    with pytest.raises(StateError, match="no leaf"):
        decode(files.assemble({"$dict": [["x", tree.LEAF]]}, [], {}, {}))


def test_a_truth_value_that_is_neither_is_refused() -> None:
    state = encode({"x": torch.tensor([2], dtype=torch.uint8).view(torch.bool)})
    with pytest.raises(StateError, match="neither"):
        decode(state)


def test_shared_memory_that_contradicts_itself_is_refused() -> None:
    state = sample()
    changed = {**state.buffers, "model/view": memoryview(bytes(8))}
    with pytest.raises(StateError, match="contradict"):
        decode(State(state.structure, state.leaves, changed, state.root))


BOMB = """
import resource, sys
from pathlib import Path
from gensyn_lightning.training import files
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    files.read(Path(sys.argv[1]) / "structure.json", Path(sys.argv[1]) / "tensors.safetensors",
               bytes_max=1 << 40)
except files.ArtifactError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, "torch" in sys.modules)
"""


def test_a_header_that_promises_a_terabyte_allocates_nothing_and_needs_no_torch(
    folder: Path,
) -> None:
    def claim(value: Any) -> None:
        row(value, "model/weight").update(shape=[1 << 19, 1 << 19])

    rewrite(folder, claim)
    done = subprocess.run(
        [sys.executable, "-c", BOMB, folder], capture_output=True, text=True, check=True
    )
    grown, torch_loaded = done.stdout.split()
    assert int(grown) < 20_000
    assert torch_loaded == "False"


def test_reading_holds_the_bytes_once(tmp_path: Path) -> None:
    save(encode({"x": torch.zeros(1 << 24)}), tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    state = load(tmp_path, bytes_max=1 << 30)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert state.tensors["x"].shape == (1 << 24,)
