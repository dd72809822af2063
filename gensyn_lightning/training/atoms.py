"""Values without parts, such as numbers, dates, dtypes and devices, as tagged JSON and back."""

from __future__ import annotations

import datetime as dates
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.protocol.canonical import SAFE_INTEGER_MAX
from gensyn_lightning.training.layout import array_item_size
from gensyn_lightning.training.memory import DTYPES

_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_FORMATS = {
    str(each).removeprefix("torch."): each
    for each in (
        torch.contiguous_format,
        torch.preserve_format,
        torch.channels_last,
        torch.channels_last_3d,
    )
}


def integer_node(value: int) -> Any:
    """Return an integer's node: itself while JSON readers agree on it."""
    return value if -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX else {"$int": hex(value)}


def float_node(value: float) -> dict[str, Any]:
    """Return a float's node: hexadecimal, or the raw bits of a NaN."""
    return {"$float": _float_text(value)}


def atom_node(value: Any) -> dict[str, Any] | None:
    """Return the node of any other value without parts, or None when it is none."""
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if isinstance(value, np.generic):
        return _scalar_node(value)
    if isinstance(value, np.dtype) and _storable(value.str) and value.names is None:
        return {"$array_dtype": value.str}
    return None


def read_atom(tag: str, payload: Any) -> Any:
    """Return the value of a node without parts; `KeyError` when there is no such tag."""
    return _READERS[tag](payload)


def is_atom(tag: str) -> bool:
    """Whether `tag` names a value without parts."""
    return tag in _READERS


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "nan:" + struct.pack(">d", value).hex()
    return value.hex()


def _float(text: str) -> float:
    if text.startswith("nan:"):
        number: float = struct.unpack(">d", bytes.fromhex(text[4:]))[0]
    else:
        number = float.fromhex(text)
    if _float_text(number) != text:
        raise StateError(f"{text[:40]!r} is no float")
    return number


def _integer(text: str) -> int:
    number = int(text, 16)
    if hex(number) != text:
        raise StateError(f"{text[:40]!r} is no integer")
    return number


def _complex_node(value: complex) -> dict[str, Any]:
    return {"$complex": [_float_text(value.real), _float_text(value.imag)]}


def _complex(parts: list[str]) -> complex:
    real, imaginary = parts
    return complex(_float(real), _float(imaginary))


def _moment_node(value: dates.datetime) -> dict[str, Any] | None:
    if not _plain_zone(value.tzinfo):
        return None
    return {"$datetime": [value.isoformat(), value.fold]}


def _moment(parts: list[Any]) -> dates.datetime:
    text, fold = parts
    return dates.datetime.fromisoformat(text).replace(fold=fold)


def _clock_node(value: dates.time) -> dict[str, Any] | None:
    if not _plain_zone(value.tzinfo):
        return None
    return {"$time": [value.isoformat(), value.fold]}


def _clock(parts: list[Any]) -> dates.time:
    text, fold = parts
    return dates.time.fromisoformat(text).replace(fold=fold)


def _duration_node(value: dates.timedelta) -> dict[str, Any]:
    return {"$timedelta": [value.days, value.seconds, value.microseconds]}


def _duration(parts: list[int]) -> dates.timedelta:
    days, seconds, microseconds = parts
    return dates.timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _plain_zone(zone: dates.tzinfo | None) -> bool:
    return zone is None or type(zone) is dates.timezone


def _dtype_node(value: torch.dtype) -> dict[str, Any] | None:
    name = _DTYPE_NAMES.get(value)
    return {"$dtype": name} if name else None


def _storable(dtype: str) -> bool:
    try:
        array_item_size(dtype)
    except StateError:
        return False
    return True


def _scalar_node(value: np.generic) -> dict[str, Any] | None:
    array = np.asarray(value)
    if array.dtype.names is not None or not _storable(array.dtype.str):
        return None
    return {"$scalar": [array.dtype.str, array.tobytes().hex()]}


def _scalar(parts: list[str]) -> np.generic:
    dtype, text = parts
    data = bytes.fromhex(text)
    if len(data) != array_item_size(dtype) or (dtype[1] == "b" and data > b"\1"):
        raise StateError(f"no scalar of dtype {dtype[:40]!r}")
    made: np.generic = np.frombuffer(data, dtype=dtype)[0]
    return made


def _array_dtype(text: str) -> np.dtype[Any]:
    array_item_size(text)
    return np.dtype(text)


_WRITERS: dict[type, Callable[[Any], dict[str, Any] | None]] = {
    complex: _complex_node,
    dates.datetime: _moment_node,
    dates.date: lambda value: {"$date": value.isoformat()},
    dates.time: _clock_node,
    dates.timedelta: _duration_node,
    torch.dtype: _dtype_node,
    torch.device: lambda value: {"$device": str(value)},
    torch.memory_format: lambda value: {"$memory_format": str(value).removeprefix("torch.")},
    torch.Size: lambda value: {"$size": list(value)},
    type(Ellipsis): lambda _: {"$ellipsis": None},
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "$int": _integer,
    "$float": _float,
    "$complex": _complex,
    "$datetime": _moment,
    "$date": dates.date.fromisoformat,
    "$time": _clock,
    "$timedelta": _duration,
    "$dtype": lambda name: DTYPES[name],
    "$device": torch.device,
    "$memory_format": lambda name: _FORMATS[name],
    "$size": torch.Size,
    "$ellipsis": lambda _: Ellipsis,
    "$scalar": _scalar,
    "$array_dtype": _array_dtype,
    "$bytes": bytes.fromhex,
    "$str": lambda text: bytes.fromhex(text).decode(errors="surrogatepass"),
}
