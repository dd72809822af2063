from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from zips import records, saved

from gensyn_lightning.errors import ArtifactError, Unreadable
from gensyn_lightning.report import pickled
from gensyn_lightning.report.pickled import Opaque, Table, Tensor

HEAD, DICT = b"\x80\x02", b"}"


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x06tQ"
VIEW = STORAGE + b"K\x00K\x06\x85K\x01\x85\x89ccollections\nOrderedDict\n)R"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + VIEW + b"tR"


def told(body: bytes) -> Any:
    return pickled.read(HEAD + body + b".").value


def test_dicts_lists_tuples_and_scalars_are_told() -> None:
    value = {"a": [1, 2.5, True, None], "b": (), "c": (1, 2, 3, 4), "d": -(1 << 70)}
    for protocol in (2, 3, 4, 5):
        found = pickled.read(pickle.dumps(value, protocol))
        assert dict(found.value.pairs) == value
        assert not found.foreign


def test_a_tensor_is_told_with_its_storage() -> None:
    assert told(TENSOR) == Tensor(pickled.Storage("0", "float32", 6), "float32", 0, (6,), (1,))


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_call_of_anything_else_is_told_and_never_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    found = pickled.read(pickle.dumps({"a": Evil()}, protocol))
    assert found.foreign == f"{os.system.__module__}.system"
    [(_, value)] = found.value.pairs
    assert isinstance(value, Opaque)
    assert value.foreign
    assert not list(tmp_path.iterdir())


def test_an_object_with_state_is_told_as_foreign() -> None:
    assert pickled.read(pickle.dumps(io.BytesIO(b"x"), 2)).foreign == "_io.BytesIO"


@pytest.mark.parametrize(
    "body",
    [
        TENSOR + b"K\x00K\x05s",  # tensor[0] = 5
        TENSOR + b"(K\x00K\x05u",
        TENSOR + b"N" + b"b",  # tensor.__setstate__
        TENSOR + b"K\x05a",
        b"]K\x00K\x05s",  # [][0] = 5
        b"ccollections\nOrderedDict\n)R}" + text("items") + b"Nsb",
        b"(" + TENSOR + STORAGE.replace(b"Float", b"Int") + b"t",  # one key, two types
        b"NN\x93",
        b"NQ",
        b"N)R",
        b"(ios\nsystem\n",
        b"I1\n",
        b"\x82\x01",
        VIEW.replace(b"K\x06tQ", b"\x8a\x07" + b"\x01" * 7 + b"tQ"),
    ],
)
def test_what_could_change_a_tensor_is_not_read(body: bytes) -> None:
    with pytest.raises(Unreadable):
        told(body)


def test_a_view_outside_of_its_storage_is_no_tensor() -> None:
    assert isinstance(told(TENSOR.replace(b"K\x06\x85", b"K\x07\x85")), Opaque)


def test_a_foreign_name_is_told_before_what_it_makes_unreadable() -> None:
    with pytest.raises(Unreadable, match=r"os\.system, and loading"):
        told(b"cos\nsystem\n0I1\n")


@pytest.mark.parametrize(("open_", "close"), [(b"]", b"a"), (b"(", b"t"), (b"}N", b"s")])
def test_nesting_is_no_recursion(open_: bytes, close: bytes) -> None:
    depth = 100_000
    assert told(open_ * depth + b"N" + close * depth) is not None


def test_a_list_in_itself_is_told() -> None:
    found = told(b"]q\x00h\x00a")
    assert found[0] is found


def test_opcodes_and_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "OPCODES_MAX", 1000)
    with pytest.raises(Unreadable, match="opcodes"):
        told(b"".join(b"Nr" + each.to_bytes(4, "little") for each in range(1000)))
    monkeypatch.setattr(pickled, "PICKLE_BYTES_MAX", 1000)
    with pytest.raises(Unreadable, match="longer"):
        told(b"N" * 1000)


def test_a_pickle_cut_short_is_refused(tmp_path: Path) -> None:
    import torch

    path = saved({"state_dict": {"a": torch.rand(3)}, "n": [1]}, tmp_path / "m.ckpt")
    whole = dict(records(path))["archive/data.pkl"]
    for length in range(len(whole)):
        with pytest.raises((ArtifactError, Unreadable)):
            pickled.read(whole[:length])
    assert isinstance(pickled.read(whole).value, Table)


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_damage_is_an_error_of_ours_or_harmless(tmp_path: Path) -> None:
    import torch

    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    path = saved({"state_dict": torch.nn.Linear(2, 3).state_dict()}, tmp_path / "m.ckpt")
    whole = dict(records(path))["archive/data.pkl"]
    for _ in range(5000):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 5)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with contextlib.suppress(ArtifactError, Unreadable):
            pickled.read(bytes(data))
