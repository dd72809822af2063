"""One pickle of a whole program: memory stored apart, paths by folder, live handles left behind.

Packing happens on the submitter's machine, unpacking only inside a runner. Tensors and arrays
that share memory share it again afterwards, with the same strides and the same right to write.
Aliases between NumPy arrays are kept from 64 KiB on, between tensors always.
"""

from __future__ import annotations

import ctypes
import io
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import PosixPath
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy
import torch

from gensyn_lightning.errors import CaptureError, GensynError, LimitExceeded, Malformed
from gensyn_lightning.training.folders import PathMap
from gensyn_lightning.training.manifest import ARRAYS_MAX, ARTIFACT_ABOVE_BYTES
from gensyn_lightning.training.unpicklable import path_to

LEFT_BEHIND = "left-behind"
_typed: Any = torch.storage.TypedStorage


class Block:
    """A run of memory that tensors or arrays live in, pickled by its number."""

    def __init__(self, index: int) -> None:
        self.index = index


class Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles a program; afterwards `blocks` holds the memory to be stored apart."""

    def __init__(
        self, file: io.BytesIO, paths: PathMap, leave_behind: Callable[[Any], str | None]
    ) -> None:
        super().__init__(file, protocol=5)
        self.blocks: list[memoryview] = []
        self.modules: set[str] = set()
        self.latest: Any = None  # when pickling fails, it was at this object
        self._paths = paths
        self._leave_behind = leave_behind
        self._tags: dict[type, bool] = {}
        self._small: dict[tuple[int, int], bytes] = {}
        self._numbers: dict[tuple[int, int], int] = {}
        self._kept: list[Any] = []  # memory must not be reused while its address is a key

    def persistent_id(self, obj: Any) -> Any:
        """Return what stands for `obj` in the pickle, or None to pickle it as usual."""
        kind = type(obj)
        if kind is str:
            found = self._paths.split(obj)
            return found and ("path", "str", *found)
        if kind is PosixPath:
            found = self._paths.split(str(obj))
            return found and ("path", "Path", *found)
        if kind is Block:
            return ("array", obj.index)
        if kind is _typed:
            return self._storage(obj)
        return self._left(obj, kind)

    def reducer_override(self, obj: Any) -> Any:
        """Store large arrays apart and note which modules the program needs."""
        self.latest = obj
        if type(obj) is numpy.ndarray:
            reduced = self._array(obj)
            if reduced is not None:
                return reduced
        elif isinstance(obj, type) or callable(obj):
            module = getattr(obj, "__module__", None)
            if isinstance(module, str):
                self.modules.add(module)
        else:
            travels = getattr(type(obj), "__reduce_program__", None)
            if travels is not None:
                return travels(obj)
        return super().reducer_override(obj)

    def _left(self, obj: Any, kind: type) -> tuple[str, str] | None:
        if self._tags.get(kind, True):
            tag = self._leave_behind(obj)
            self._tags[kind] = tag is not None
            return tag and (LEFT_BEHIND, tag)  # type: ignore[return-value]
        return None

    def _storage(self, typed: Any) -> tuple[Any, ...]:
        storage = typed._untyped_storage
        if storage.device.type != "cpu":
            raise pickle.PicklingError(f"a tensor lives on {storage.device}, not on the CPU")
        place = (storage.data_ptr() or id(storage), storage.nbytes())
        return ("storage", typed.dtype, *self._block(place, as_bytes(storage)))

    def _array(self, array: numpy.ndarray[Any, Any]) -> tuple[Any, ...] | None:
        root = array
        while type(root.base) is numpy.ndarray:
            root = root.base
        if root.nbytes <= ARTIFACT_ABOVE_BYTES or root.dtype.hasobject:
            return None
        flat = root.ravel(order="K")
        if not numpy.shares_memory(flat, root):
            return None
        place = (flat.__array_interface__["data"][0], root.nbytes)
        number, _ = self._block(place, flat.view(numpy.uint8).data)
        offset = array.__array_interface__["data"][0] - place[0]
        layout = (array.shape, array.dtype, offset, array.strides)
        return rebuild_array, (Block(number), layout, array.flags.writeable)

    def _block(self, place: tuple[int, int], memory: memoryview) -> tuple[int, bytes | None]:
        """Return the number of the block at `place`, and its bytes where they stay inline."""
        if place not in self._numbers:
            self._kept.append(memory)
            if len(memory) > ARTIFACT_ABOVE_BYTES:
                self._numbers[place] = len(self.blocks)
                self.blocks.append(memory)
                if len(self.blocks) > ARRAYS_MAX:
                    raise LimitExceeded(f"more than {ARRAYS_MAX} arrays above 64 KiB")
            else:
                self._numbers[place] = -1 - len(self._small)
                self._small[place] = memory.tobytes()
        return self._numbers[place], self._small.get(place)


class Unpacker(pickle.Unpickler):
    """Reads a program in a runner; `left` gives what takes the place of handles left behind."""

    def __init__(
        self,
        data: bytes,
        paths: PathMap,
        storages: Callable[[int], torch.UntypedStorage],
        left: Callable[[str], Any],
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._paths = paths
        self._load = storages
        self._left = left
        self._storages: dict[int, torch.UntypedStorage] = {}

    def persistent_load(self, pid: Any) -> Any:
        """Return the object that `Packer.persistent_id` wrote `pid` for."""
        match pid:
            case ("path", "str", folder, relative):
                return self._paths.join(folder, relative)
            case ("path", "Path", folder, relative):
                return PosixPath(self._paths.join(folder, relative))
            case ("array", number):
                return torch.tensor([], dtype=torch.uint8).set_(self._storage(number, None)).numpy()
            case ("storage", dtype, number, inline):
                storage = self._storage(number, inline)
                return _typed(wrap_storage=storage, dtype=dtype, _internal=True)
            case ("left-behind", tag):
                return self._left(tag)
        raise Malformed(f"nothing in a program is called {pid!r}")

    def _storage(self, number: int, inline: bytes | None) -> torch.UntypedStorage:
        if number not in self._storages:
            if inline is None:
                self._storages[number] = self._load(number)
            else:
                storage = new_storage(len(inline))
                as_bytes(storage)[:] = inline
                self._storages[number] = storage
        return self._storages[number]


def rebuild_array(
    block: numpy.ndarray[Any, Any], layout: tuple[Any, ...], writeable: bool
) -> numpy.ndarray[Any, Any]:
    """Return the array that lies in `block` as it lay in the submitter's memory."""
    shape, dtype, offset, strides = layout
    array: numpy.ndarray[Any, Any] = numpy.ndarray(shape, dtype, block.data, offset, strides)
    array.flags.writeable = writeable
    return array


def pack(
    value: Mapping[str, Any],
    paths: PathMap,
    leave_behind: Callable[[Any], str | None],
    by_value: Iterable[Any],
) -> tuple[bytes, Sequence[memoryview], set[str]]:
    """Return the pickle of `value`, the memory it refers to by number, and the modules it names.

    Functions and classes of the modules `by_value` travel as code, all others by name. Raises
    `CaptureError` that names the part which cannot be pickled.
    """
    file = io.BytesIO()
    packer = Packer(file, paths, leave_behind)
    with ExitStack() as stack:
        for module in by_value:
            cloudpickle.register_pickle_by_value(module)
            stack.callback(cloudpickle.unregister_pickle_by_value, module)
        try:
            packer.dump(value)
        except GensynError:
            raise
        except Exception as error:
            raise CaptureError(
                f"{path_to(packer.latest, value)} cannot travel: {error}",
                hint="create it in setup() or on first use, or drop it in __getstate__",
            ) from error
    return file.getvalue(), packer.blocks, packer.modules


def new_storage(length: int) -> torch.UntypedStorage:
    """Return `length` bytes of fresh memory."""
    return torch.UntypedStorage(length)  # type: ignore[no-untyped-call]


def as_bytes(storage: torch.UntypedStorage) -> memoryview:
    """Return a storage's memory, writable; the view keeps it alive.

    Not by way of NumPy, which would leave the storage unable to be resized.
    """
    memory: Any = (ctypes.c_ubyte * storage.nbytes()).from_address(storage.data_ptr())
    memory.owner = storage
    return memoryview(memory).cast("B")
