"""What a Python object consists of, as far as training state is concerned."""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from gensyn_lightning.training import generators
from gensyn_lightning.training.fingerprint import is_plain

# A value up to this size is copied at set-up, so that later changes to it can be undone.
KEPT_COPY_BYTES = 64 << 10

_MODULE_WIRING = frozenset(
    vars(torch.nn.Module())
    | {"_compiled_call_impl": None, "_is_fsdp_managed_module": None, "_use_sharded_views": None}
) - {"training"}
_LIGHTNING_WIRING = frozenset(
    {
        "trainer",
        "_trainer",
        "_fabric",
        "_fabric_optimizers",
        "_metric_attributes",
        "_compiler_ctx",
        "_device_mesh",
        "_device",
        "gensyn_run",
    }
)
_LOADER_WIRING = frozenset({"_iterator", "_gensyn_journal", "_IterableDataset_len_called"})
_OPEN_TYPES = (types.SimpleNamespace, argparse.Namespace)
_CLOSED_TYPES = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.GeneratorType,
    torch.Tensor,
    np.ndarray,
)
_CLOSED_PACKAGES = frozenset(sys.stdlib_module_names - {"__main__"}) | {
    "PIL",
    "fsspec",
    "gensyn_lightning",
    "matplotlib",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "rich",
    "scipy",
    "tqdm",
}


class Part(NamedTuple):
    """One attribute or item; `kind` is set where the place decides it.

    What a dataset holds and cannot be expressed is a handle (an open file, a connection): it is
    no state, since the dataset opens it again.
    """

    name: Any
    value: Any
    kind: str = ""
    may_be_handle: bool = False


def classify(value: Any, known: Container[int]) -> str:
    """Return value, at, object, items, generator or opaque."""
    if stands_somewhere(value, known):
        return "at"
    if generators.to_plain(value) is not None:
        return "generator"
    if is_plain(value, known):
        return "value"
    if isinstance(value, list | tuple | dict):
        return "items"
    return "object" if is_open(value) else "opaque"


def stands_somewhere(value: Any, known: Container[int]) -> bool:
    """Return whether the value is an object with a place of its own."""
    return id(value) in known and not isinstance(value, int | str | bytes | float | tuple | None)


def key_name(key: Any, known: Mapping[int, str]) -> Any:
    """Return what stands for a dict's key in paths."""
    return f"@{known[id(key)]}" if stands_somewhere(key, known) else key


def is_open(value: Any) -> bool:
    """Return whether the object's attributes are the program's own business."""
    kind = type(value)
    if isinstance(value, _CLOSED_TYPES):
        return False
    if kind in _OPEN_TYPES:
        return True
    if kind.__module__.partition(".")[0] in _CLOSED_PACKAGES:
        return False
    return hasattr(value, "__dict__") or any("__slots__" in vars(each) for each in kind.__mro__)


def is_only_attributes(kind: type) -> bool:
    """Return whether an instance of the class is nothing but what `attributes` returns."""
    return not issubclass(kind, torch.nn.Module) and kind.__new__ is object.__new__


def parts(value: Any, *, skip: Container[str] = (), at_root: bool = False) -> Iterator[Part]:
    """Yield an object's attributes by name, or a container's items in their order.

    A module that stands on its own (`at_root` is false) brings its parameters along; those of
    the model have a section of their own.
    """
    if isinstance(value, dict):
        yield from (Part(key, each) for key, each in value.items())
    elif isinstance(value, list | tuple):
        yield from (Part(index, each) for index, each in enumerate(value))
    else:
        if isinstance(value, torch.nn.Module) and not at_root:
            yield from _module_parts(value)
        wiring = wiring_of(value)
        for name, each in sorted(attributes(value).items()):
            if name not in skip and name not in wiring:
                yield Part(name, each, may_be_handle=isinstance(value, torch.utils.data.Dataset))


def attributes(value: Any) -> dict[str, Any]:
    """Return an object's attributes, slots included."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def assign(owner: Any, name: str, value: Any) -> None:
    """Set an attribute without any code of the program running."""
    if hasattr(owner, "__dict__") and (name in vars(owner) or name not in attributes(owner)):
        vars(owner)[name] = value
    else:
        object.__setattr__(owner, name, value)


def remove(owner: Any, name: str) -> None:
    """Delete an attribute without any code of the program running."""
    if name in getattr(owner, "__dict__", {}):
        del vars(owner)[name]
    else:
        object.__delattr__(owner, name)


def wiring_of(value: Any) -> frozenset[str]:
    """Return the attributes that connect an object to its surroundings and hold no state."""
    if isinstance(value, torch.nn.Module):
        return _MODULE_WIRING | _LIGHTNING_WIRING
    if isinstance(value, torch.utils.data.DataLoader):
        return _LOADER_WIRING
    return _LIGHTNING_WIRING


def weight(value: Any) -> int:
    """Return roughly how many bytes of numbers a plain value holds."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return int(value.nbytes)
    if isinstance(value, str | bytes | bytearray):
        return len(value)
    if isinstance(value, Mapping):
        return sum(weight(each) + 16 for each in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return sum(weight(each) + 8 for each in value)
    return 8


def join(parent: str, name: Any) -> str:
    """Return the path of a part."""
    if type(name) is int:
        return f"{parent}/{name}"
    text = (name if type(name) is str else repr(name)).replace("~", "~0").replace("/", "~1")
    mark = "" if type(name) is str else "~3"
    return f"{parent}/{'~2' if text.isdigit() else mark}{text}"


def last_name(path: str) -> str | int:
    """Return the name a path ends with, for names that are text or integers."""
    text = path.rpartition("/")[2]
    if text.isdigit():
        return int(text)
    return text.removeprefix("~2").replace("~1", "/").replace("~0", "~")


def _module_parts(module: torch.nn.Module) -> Iterator[Part]:
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is not None:
            yield Part(name, tensor, "tensor")
    for name, inner in module._modules.items():
        if inner is not None:
            yield Part(name, inner)
