"""What is packed comes out with the same memory, the same paths and nothing of this machine."""

import io
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from gensyn_lightning.errors import Malformed
from gensyn_lightning.training.folders import PathMap
from gensyn_lightning.training.packing import Packer, Unpacker, as_bytes, new_storage, pack

HERE = PathMap({"root": Path("/home/someone/project"), "logs": Path("/home/someone/project/logs")})
THERE = PathMap({"root": Path("/scratch"), "logs": Path("/elsewhere")})


def through(value: Any) -> Any:
    data, blocks, _ = pack({"value": value}, HERE, lambda obj: None, ())

    def storage(number: int) -> torch.UntypedStorage:
        fresh = new_storage(len(blocks[number]))
        as_bytes(fresh)[:] = blocks[number]
        return fresh

    return Unpacker(data, THERE, storage, lambda tag: tag).load()["value"]


def blocks_of(value: Any) -> list[int]:
    return [len(block) for block in pack({"value": value}, HERE, lambda obj: None, ())[1]]


def test_views_of_one_tensor_share_memory_again() -> None:
    whole = torch.randn(100, 1000)
    first, second, again = through([whole[:50], whole[50:].T, whole[0]])
    assert torch.equal(first, whole[:50])
    assert second.stride() == whole[50:].T.stride()
    first.zero_()
    assert not again.any()
    assert second.data_ptr() == first.data_ptr() + 50 * 1000 * 4


def test_memory_is_stored_once_however_often_it_is_used() -> None:
    whole = torch.randn(100, 1000)
    assert blocks_of([whole, whole[10:], whole.view(-1)]) == [400_000]
    array = numpy.arange(100_000)
    assert blocks_of([array, array[::2], array.reshape(100, 1000).T]) == [800_000]


def test_small_memory_stays_inline_and_shared() -> None:
    small = torch.arange(6.0)
    assert blocks_of([small]) == []
    first, second = through([small[:3], small[3:]])
    assert first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()


def test_tied_weights_stay_tied() -> None:
    model = nn.Sequential(nn.Linear(200, 200, bias=False), nn.Linear(200, 200, bias=False))
    model[1].weight = model[0].weight
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model, optimizer = through((model, optimizer))
    assert model[0].weight is model[1].weight
    assert optimizer.param_groups[0]["params"][0] is model[0].weight
    assert model[0].weight.is_leaf
    assert model[0].weight.requires_grad


def test_channels_last_stays_channels_last() -> None:
    images = torch.randn(8, 3, 32, 32).to(memory_format=torch.channels_last)
    assert through(images).stride() == images.stride()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.complex64])
def test_every_dtype_comes_back(dtype: torch.dtype) -> None:
    tensor = torch.randn(300, 300).to(dtype)
    assert torch.equal(through(tensor), tensor)


def test_empty_tensors_and_arrays_come_back() -> None:
    tensor, array = through((torch.empty(0, 3), numpy.empty((0, 3))))
    assert tensor.shape == array.shape == (0, 3)


def test_views_of_one_array_share_memory_again_and_may_be_written() -> None:
    whole = numpy.asfortranarray(numpy.random.default_rng(0).random((300, 400)))
    mine, row, backwards = through([whole, whole[3], whole[:, ::-1]])
    assert numpy.array_equal(mine, whole)
    assert mine.strides == whole.strides
    assert backwards.strides == whole[:, ::-1].strides
    row[:] = 0
    assert not mine[3].any()
    assert not backwards[3].any()


def test_an_array_that_may_not_be_written_stays_so() -> None:
    array = numpy.zeros(100_000)
    array.flags.writeable = False
    assert not through(array).flags.writeable


def test_a_tensor_over_an_array_shares_its_memory_again() -> None:
    array = numpy.zeros(100_000)
    both = through((array, torch.from_numpy(array)))
    both[1].fill_(1)
    assert both[0].all()


def test_arrays_of_objects_are_packed_as_usual() -> None:
    array = numpy.array([{"a": each} for each in range(20_000)], dtype=object)
    assert through(array)[7] == {"a": 7}


def test_paths_follow_their_folder() -> None:
    value = {
        "in": "/home/someone/project/data/x.csv",
        "itself": Path("/home/someone/project"),
        "deepest": Path("/home/someone/project/logs/version_0"),
        "other": "/home/someone/projects",
        "relative": "logs/version_0",
    }
    assert through(value) == {
        "in": "/scratch/data/x.csv",
        "itself": Path("/scratch"),
        "deepest": Path("/elsewhere/version_0"),
        "other": "/home/someone/projects",
        "relative": "logs/version_0",
    }


def test_what_is_left_behind_is_replaced() -> None:
    lock = threading.Lock()
    kind = type(lock)
    value = {"lock": lock, "same": lock}
    data, _, _ = pack(value, HERE, lambda obj: "a-lock" if isinstance(obj, kind) else None, ())
    loaded = Unpacker(data, THERE, lambda number: new_storage(0), str.upper).load()
    assert loaded == {"lock": "A-LOCK", "same": "A-LOCK"}


def test_packing_leaves_tensors_resizable_and_so_does_unpacking() -> None:
    tensor = torch.zeros(100_000)
    assert through(tensor).untyped_storage().resizable()
    assert tensor.untyped_storage().resizable()


def test_nothing_but_what_the_packer_writes_is_read() -> None:
    class Other(Packer):
        def persistent_id(self, obj: Any) -> Any:
            return ("call", "something") if obj == "x" else None

    file = io.BytesIO()
    Other(file, HERE, lambda obj: None).dump("x")
    with pytest.raises(Malformed):
        Unpacker(file.getvalue(), THERE, lambda number: new_storage(0), str).load()


def test_a_tensor_elsewhere_than_on_the_cpu_is_refused() -> None:
    with pytest.raises(Exception, match=r"meta"):
        pack(
            {"x": torch.empty(1 << 20, device="meta").untyped_storage()}, HERE, lambda obj: None, ()
        )
