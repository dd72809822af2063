"""Tensors and arrays as leaves, and leaves as tensors and arrays in fresh memory.

Leaves whose memory overlaps are rebuilt overlapping: tied weights stay tied and views stay views,
also between torch and NumPy. Strides are kept exactly, because they choose the kernel and so the
bits; only a lone view that skips most of its memory comes back with smaller gaps. Tensors on an
accelerator are stored like any other and come back in the host's memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.protocol.digest import ZERO, digest_of
from gensyn_lightning.training import layout, sharing
from gensyn_lightning.training.leaf import PACKED_KINDS, VALUE, Alias, Leaf, check

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in layout.ITEM_SIZES if hasattr(torch, name)
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

PACKED_MIN = 64  # shorter runs of numbers stay in the tree, where they can be read


@dataclass(frozen=True, slots=True)
class Block:
    """A leaf while it is still live memory at `address`."""

    leaf: Leaf
    source: Any
    address: int

    def span(self) -> tuple[int, int]:
        """Return where the block starts and ends."""
        leaf = self.leaf
        length = layout.extent(leaf.shape, leaf.byte_strides, leaf.item_size)
        return self.address, self.address + length


def block(path: str, value: Any) -> Block | None:
    """Return `value` as a block, or None when it is no tensor or array that can be stored."""
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        return _tensor_block(path, value)
    if type(value) is np.ndarray:
        return _array_block(path, value)
    return None


def packed(path: str, kind: str, value: Any) -> Block | None:
    """Return a run of numbers, or bytes, as a block; None when a number needs over 64 bits."""
    dtype = PACKED_KINDS[kind]
    if dtype == "uint8":
        array = np.frombuffer(bytes(value), dtype=np.uint8)
    else:
        try:
            array = np.array(value, dtype=dtype)
        except OverflowError:
            return None
    return Block(Leaf(path, kind, ZERO, dtype, array.shape), array, 0)


def finish(blocks: list[Block]) -> tuple[list[Leaf], dict[str, memoryview]]:
    """Return the leaves of all blocks, in their order, and the bytes of those that carry them."""
    leaves = [each.leaf for each in blocks]
    _mark_shared(blocks, leaves)
    ordered = sorted(range(len(leaves)), key=lambda each: leaves[each].path.encode())
    origin = sharing.sources(leaves[index] for index in ordered)
    buffers: dict[str, memoryview] = {}
    for index in ordered:
        leaf = leaves[index]
        if origin[leaf.path] == leaf.path:
            buffers[leaf.path] = _bytes(blocks[index].source)
    digests = {path: digest_of(data) for path, data in buffers.items()}
    return [_with(each, digest=digests[origin[each.path]]) for each in leaves], buffers


@torch.inference_mode(False)
@torch.no_grad()
def rebuild(leaves: Iterable[Leaf], buffers: Mapping[str, memoryview]) -> dict[str, Any]:
    """Return every tensor, array and packed run by path, in fresh memory."""
    stored = [each for each in leaves if each.kind != VALUE]
    origin = sharing.sources(stored)
    found: dict[str, Any] = {}
    for each in stored:
        if each.kind in PACKED_KINDS:
            found[each.path] = _unpack(each, buffers[each.path])
    for group in sharing.groups(stored):
        data = [buffers[origin[each.path]] for each in group.members]
        if len(group.members) == 1:
            found[group.members[0].path] = _alone(group.members[0], data[0])
        else:
            found.update(_together(group, data))
    return {each.path: _finished(each, found[each.path]) for each in stored}


def flat_views(
    leaves: Iterable[Leaf], buffers: Mapping[str, memoryview]
) -> dict[str, torch.Tensor]:
    """Return stored tensors as contiguous views of their buffers; arrays and runs as raw bytes."""
    return {
        each.path: _flat_tensor(each, buffers[each.path]) for each in leaves if each.path in buffers
    }


def _tensor_block(path: str, value: torch.Tensor) -> Block | None:
    name = _NAMES.get(value.dtype)
    plain = value.layout is torch.strided and not value.is_quantized and not value.is_nested
    if name is None or not plain or value.device.type == "meta":
        return None
    live = value.detach().resolve_conj().resolve_neg()
    if live.device.type != "cpu":
        live = live.cpu()
    shape, steps = tuple(live.shape), tuple(live.stride())
    leaf = Leaf(
        path,
        "parameter" if isinstance(value, torch.nn.Parameter) else "tensor",
        ZERO,
        name,
        shape,
        layout.layout_of(shape, steps),
        # A tensor inside a graph comes back without it: the graph is not part of a state.
        value.requires_grad and value.is_leaf,
    )
    check(leaf)
    return Block(leaf, live, live.data_ptr())


def _array_block(path: str, value: np.ndarray[Any, Any]) -> Block | None:
    name = value.dtype.str
    if value.dtype.names is not None or value.dtype.hasobject:
        return None
    try:
        size = layout.array_item_size(name)
    except StateError:
        return None
    if any(step < 0 or step % size for step in value.strides):
        value = value.copy(order="C")
    steps = layout.layout_of(value.shape, tuple(step // size for step in value.strides))
    if not isinstance(steps, str):
        steps = tuple(step * size for step in steps)
    leaf = Leaf(path, "array", ZERO, name, value.shape, steps)
    check(leaf)
    return Block(leaf, value, value.__array_interface__["data"][0])


def _mark_shared(blocks: list[Block], leaves: list[Leaf]) -> None:
    """Note in `leaves` which blocks overlap, and shrink the gaps of lone sparse views."""
    spans = {
        index: each.span()
        for index, each in enumerate(blocks)
        if each.leaf.kind not in PACKED_KINDS and 0 not in each.leaf.shape
    }
    places = list(spans)
    for members in sharing.overlapping(list(spans.values())):
        first, *others = (places[each] for each in members)
        for index in others:
            offset = blocks[index].address - blocks[first].address
            leaves[index] = _with(leaves[index], alias=Alias(leaves[first].path, offset))
        every = [places[each] for each in members]
        span = max(spans[each][1] for each in every) - min(spans[each][0] for each in every)
        if sharing.too_sparse(span, sum(leaves[each].nbytes for each in every)):
            if others:
                raise StateError(f"{leaves[first].path} shares memory that nothing fills")
            leaves[first] = _loosened(leaves[first])


def _loosened(leaf: Leaf) -> Leaf:
    unit = leaf.item_size if leaf.kind == "array" else 1
    steps = tuple(each // leaf.item_size for each in leaf.byte_strides)
    return _with(leaf, layout=tuple(each * unit for each in layout.loosened(leaf.shape, steps)))


def _with(leaf: Leaf, **changes: Any) -> Leaf:
    values = {name: getattr(leaf, name) for name in Leaf.__slots__}
    return Leaf(**{**values, **changes})


def _bytes(source: Any) -> memoryview:
    """Return row-major bytes: the live memory itself when it lies that way already."""
    if isinstance(source, torch.Tensor):
        if source.numel() == 0:
            return memoryview(b"")
        # A single element may keep an odd stride; flattened by hand it cannot.
        line = source.contiguous().as_strided((source.numel(),), (1,))
        flat = line.view(torch.uint8).numpy()
    elif source.size == 0:
        return memoryview(b"")
    else:
        flat = np.ascontiguousarray(source).reshape(-1).view(np.uint8)
    return flat.data


def _alone(leaf: Leaf, data: memoryview) -> Any:
    if leaf.kind == "array":
        flat = _flat_array(leaf, data)
        if leaf.layout == "contiguous":
            return flat.copy()
        room = np.zeros(_span(leaf), dtype=np.uint8)
        made: np.ndarray[Any, Any] = np.ndarray(
            leaf.shape, leaf.dtype, buffer=room.data, strides=leaf.byte_strides
        )
        np.copyto(made, flat)
        return made
    source = _flat_tensor(leaf, data)
    if leaf.layout == "contiguous":
        return source.clone()
    memory = torch.zeros(_span(leaf), dtype=torch.uint8, device="cpu")
    return _placed_tensor(leaf, memory, 0, source)


def _together(group: sharing.Group, data: list[memoryview]) -> dict[str, Any]:
    memory = torch.zeros(group.span, dtype=torch.uint8, device="cpu")
    found: dict[str, Any] = {}
    for leaf, offset, buffer in zip(group.members, group.offsets, data, strict=True):
        if leaf.kind == "array":
            made: np.ndarray[Any, Any] = np.ndarray(
                leaf.shape,
                leaf.dtype,
                buffer=memory.numpy().data,
                offset=offset,
                strides=leaf.byte_strides,
            )
            np.copyto(made, _flat_array(leaf, buffer))
            found[leaf.path] = made
        else:
            source = _flat_tensor(leaf, buffer)
            found[leaf.path] = _placed_tensor(leaf, memory, offset, source)
    for leaf, buffer in zip(group.members, data, strict=True):
        if _bytes(found[leaf.path]) != buffer:
            raise StateError(f"{leaf.path} shares memory with leaves that contradict it")
    return found


def _placed_tensor(
    leaf: Leaf, memory: torch.Tensor, offset: int, source: torch.Tensor
) -> torch.Tensor:
    item = leaf.item_size
    steps = tuple(each // item for each in leaf.byte_strides)
    made = torch.empty(0, dtype=DTYPES[leaf.dtype], device="cpu")
    made.set_(memory.untyped_storage(), offset // item, leaf.shape, steps)
    target = made
    for axis, step in enumerate(steps):
        if step == 0 and leaf.shape[axis] > 1:
            target, source = target.narrow(axis, 0, 1), source.narrow(axis, 0, 1)
    target.copy_(source)
    return made


def _flat_array(leaf: Leaf, data: memoryview) -> np.ndarray[Any, Any]:
    if 0 in leaf.shape:
        return np.empty(leaf.shape, dtype=leaf.dtype)
    _check_truths(leaf, np.frombuffer(data, dtype=np.uint8))
    return np.frombuffer(data, dtype=leaf.dtype).reshape(leaf.shape)


def _flat_tensor(leaf: Leaf, data: memoryview) -> torch.Tensor:
    dtype = DTYPES[leaf.dtype] if leaf.kind != "array" else torch.uint8
    shape = leaf.shape if leaf.kind != "array" else (leaf.nbytes,)
    if math.prod(shape) == 0:
        return torch.empty(shape, dtype=dtype, device="cpu")
    raw = np.frombuffer(data, dtype=np.uint8)
    _check_truths(leaf, raw)
    if not raw.flags.writeable:
        raw = raw.copy()
    return torch.from_numpy(raw).view(dtype).reshape(shape)


def _check_truths(leaf: Leaf, raw: np.ndarray[Any, Any]) -> None:
    if leaf.dtype in ("bool", "|b1") and raw.max() > 1:
        raise StateError(f"{leaf.path} holds truth values that are neither true nor false")


def _unpack(leaf: Leaf, data: memoryview) -> Any:
    match leaf.kind:
        case "bytes":
            return bytes(data)
        case "bytearray":
            return bytearray(data)
    run = np.frombuffer(data, dtype=leaf.dtype).tolist()
    return tuple(run) if leaf.kind.endswith("tuple") else run


def _finished(leaf: Leaf, value: Any) -> Any:
    if leaf.kind == "parameter":
        return torch.nn.Parameter(value, requires_grad=leaf.requires_grad)
    if leaf.requires_grad:
        value.requires_grad_(True)
    return value


def _span(leaf: Leaf) -> int:
    return layout.extent(leaf.shape, leaf.byte_strides, leaf.item_size)
