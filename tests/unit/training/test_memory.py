"""Tensors and arrays come back with their bits, strides and aliases."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training.leaf import Leaf
from gensyn_lightning.training.memory import DTYPES
from gensyn_lightning.training.state import State, decode, encode


def again(value: Any) -> Any:
    state = encode(value)
    back = decode(state)
    assert encode(back).root == state.root
    return back


def leaf(state: State, path: str) -> Leaf:
    return next(each for each in state.leaves if each.path == path)


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("name", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 5), (2, 3)])
def test_every_dtype_and_shape_comes_back(name: str, shape: tuple[int, ...]) -> None:
    dtype = DTYPES[name]
    size = max(1, torch.Size(shape).numel()) * dtype.itemsize
    data = torch.arange(size, dtype=torch.uint8) % (2 if name == "bool" else 251)
    tensor = data.view(dtype)[: torch.Size(shape).numel()].reshape(shape)
    back = again({"x": tensor})["x"]
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    if tensor.numel():
        assert raw(back) == raw(tensor)


def test_every_storable_torch_dtype_is_named() -> None:
    known = {each for each in vars(torch).values() if isinstance(each, torch.dtype)}
    odd = ("quint", "qint", "bits", "float4")
    small = {f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)}
    for each in known - set(DTYPES.values()):
        name = str(each).removeprefix("torch.")
        assert name.startswith(odd) or name in small or name == "bit", name


def test_raw_bits_survive_negative_zero_and_every_nan() -> None:
    bits = torch.tensor([0x7FC00001, 0x7F800001, -0x80000000, -1], dtype=torch.int64)
    tensor = bits.to(torch.int32).view(torch.float32)
    assert raw(again({"x": tensor})["x"]) == raw(tensor)


def test_conjugate_and_negated_views_are_what_they_show() -> None:
    tensor = torch.tensor([1 + 2j])
    back = again({"c": tensor.conj(), "n": tensor.conj().imag})
    assert back["c"].tolist() == [1 - 2j]
    assert back["n"].tolist() == [-2]


VIEWS = {
    "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "channels_last_3d": torch.rand(2, 3, 2, 2, 2).to(memory_format=torch.channels_last_3d),
    "one by one": torch.rand(4, 3, 1, 1).to(memory_format=torch.channels_last),
    "transposed": torch.rand(3, 4).t(),
    "permuted": torch.rand(2, 3, 4).permute(2, 0, 1),
    "expanded": torch.rand(3, 1).expand(3, 5),
    "stepped": torch.arange(20)[::3],
    "column": torch.rand(4, 3)[:, 1],
    "windows": torch.arange(6).unfold(0, 3, 1),
    "sliced": torch.arange(10)[4:8],
}


@pytest.mark.parametrize("name", VIEWS)
def test_strides_come_back_exactly(name: str) -> None:
    view = VIEWS[name]
    back = again({"x": view})["x"]
    assert back.stride() == view.stride()
    assert torch.equal(back, view)
    for form in (torch.contiguous_format, torch.channels_last, torch.channels_last_3d):
        if view.dim() == {torch.channels_last: 4, torch.channels_last_3d: 5}.get(form, view.dim()):
            assert back.is_contiguous(memory_format=form) == view.is_contiguous(memory_format=form)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("channels_last", "channels_last"),
        ("channels_last_3d", "channels_last_3d"),
        ("sliced", "contiguous"),
        ("permuted", (1, 12, 4)),
    ],
)
def test_a_leaf_names_its_layout(name: str, layout: Any) -> None:
    assert leaf(encode({"x": VIEWS[name]}), "x").layout == layout


def test_a_view_that_skips_most_memory_comes_back_small_and_still_strided() -> None:
    view = torch.rand(1000, 4096)[:, :2]
    back = again({"x": view})["x"]
    assert torch.equal(back, view)
    assert not back.is_contiguous()
    assert back.untyped_storage().nbytes() < 20 * view.nbytes


def test_tied_tensors_stay_tied_and_are_stored_once() -> None:
    weight = torch.nn.Parameter(torch.rand(4, 4))
    state = encode({"a": {"w": weight, "same": weight}, "b": {"w": weight.detach()}})
    back = decode(state)
    assert back["a"]["w"] is back["a"]["same"]
    assert isinstance(back["a"]["w"], torch.nn.Parameter)
    assert back["b"]["w"].data_ptr() == back["a"]["w"].data_ptr()
    assert set(state.buffers) == {"a/w"}
    with torch.no_grad():
        back["a"]["w"].zero_()
    assert back["b"]["w"].sum() == 0


def test_overlapping_views_stay_views_also_across_numpy() -> None:
    array = np.arange(12, dtype=np.float32)
    base = torch.from_numpy(array)
    back = again(
        {"part": base[3:6], "base": base, "array": array[::2], "bytes": base.view(torch.uint8)}
    )
    back["part"].fill_(7)
    assert back["base"][3:6].tolist() == [7, 7, 7]
    assert back["array"][2] == 7
    assert back["bytes"].view(torch.float32)[5] == 7


def test_neighbours_in_one_storage_do_not_count_as_shared() -> None:
    storage = torch.rand(10)
    state = encode({"left": storage[:5], "right": storage[5:]})
    assert all(each.alias is None for each in state.leaves)
    back = decode(state)
    assert back["left"].untyped_storage().nbytes() == 20


def test_an_alias_names_its_owner_and_offset() -> None:
    base = torch.arange(10)
    state = encode({"a": base[2:], "b": base})
    alias = leaf(state, "b").alias
    assert alias is not None
    assert (alias.owner, alias.offset) == ("a", -16)


def test_gradients_are_asked_for_as_before_and_graphs_are_left_behind() -> None:
    leaf_tensor = torch.ones(2, requires_grad=True)
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    back = again({"leaf": leaf_tensor, "inner": leaf_tensor * 2, "frozen": frozen})
    assert back["leaf"].requires_grad
    assert back["leaf"].is_leaf
    assert not back["inner"].requires_grad
    assert isinstance(back["frozen"], torch.nn.Parameter)
    assert not back["frozen"].requires_grad


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::3],
        np.arange(10)[::-1],
        np.broadcast_to(np.arange(3), (4, 3)),
        np.zeros((0, 3), dtype=np.int8),
        np.array([True, False]),
        np.array(["é", "ab"]),
        np.array([b"x", b"yz"]),
        np.array(["2026-01-01"], dtype="datetime64[D]"),
        np.array([3], dtype="timedelta64[ns]"),
        np.array([1, 2], dtype=">f4"),
        np.array([1 + 2j], dtype=np.complex64),
    ],
    ids=lambda each: f"{each.dtype.str}-{each.shape}",
)
def test_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    back = again({"x": array})["x"]
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    if all(each >= 0 for each in array.strides) and array.size:
        assert back.strides == array.strides
    assert back.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(2, device="meta"),
        torch.eye(2).to_sparse(),
        torch.nn.parameter.UninitializedParameter(),
        np.zeros(2, dtype=np.longdouble),
        np.zeros(2, dtype=[("a", int)]),
        np.zeros(2).view(np.recarray),
        np.ma.masked_array([1]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_has_no_plain_memory_is_refused_by_name(value: Any) -> None:
    with pytest.raises(StateError, match="x: "):
        encode({"x": value})


def test_decoding_does_not_depend_on_the_mode_it_happens_in() -> None:
    state = encode({"p": torch.nn.Parameter(torch.ones(2)), "v": torch.eye(3).t()[:, :2]})
    with torch.inference_mode(), torch.device("meta"):
        back = decode(state)
    assert not back["p"].is_inference()
    assert back["p"].requires_grad
    assert back["v"].device.type == "cpu"
    assert encode(back).root == state.root


def test_a_kind_of_dict_that_holds_more_than_its_items_is_refused() -> None:
    class Fallback(collections.defaultdict[str, int]):
        pass

    with pytest.raises(StateError, match="Fallback"):
        encode({"x": Fallback(int)})
