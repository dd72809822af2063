"""Has NumPy's elementary functions compute by ours, whatever the CPU.

NumPy chooses a loop by what the CPU can do when it is imported, and the loops differ in bits. All
but those for complex and extended numbers are replaced, through NumPy's own C interface.
"""

from __future__ import annotations

import ctypes
import importlib
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import numpy as np

from gensyn_lightning.repops import correct
from gensyn_lightning.repops.library import Library

_REPLACE_LOOP = 30  # PyUFunc_ReplaceLoopBySignature's place in NumPy's table, ever since 1.0
# By the letters `struct` has for them, the numbers NumPy has.
_KINDS = {each: np.dtype(each).num for each in "dfe"}
_NAMES = {
    **{each: each for each in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p")},
    **{each: each for each in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "cbrt", "hypot")},
    **{f"arc{each[1:]}": each for each in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
    "arctan2": "atan2",
    "power": "pow",
    "float_power": "pow",
}
_Loop = ctypes.CFUNCTYPE(
    None,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.POINTER(ctypes.c_ssize_t),
    ctypes.c_void_p,
)


@contextmanager
def replaced(kernels: Library | None) -> Iterator[None]:
    """Have NumPy compute by our functions meanwhile: those of `kernels`, or the reference."""
    with ExitStack() as stack:
        for ours, name in _NAMES.items():
            ufunc = getattr(np, ours)
            for kind in ("d",) if ours == "float_power" else _KINDS:
                if kernels is None:
                    loop = _reference(name, kind, ufunc.nin)
                    address = ctypes.cast(loop, ctypes.c_void_p).value or 0
                else:
                    address = kernels.address(f"repops_loop_{name}_{kind}")
                before = _replace(ufunc, kind, address)
                stack.callback(_replace, ufunc, kind, before)
        yield


def _replace(ufunc: np.ufunc, kind: str, address: int) -> int:
    """Put a loop in a function's table and return the one that was there."""
    signature = (ctypes.c_int * ufunc.nargs)(*[_KINDS[kind]] * ufunc.nargs)
    before = ctypes.c_void_p()
    status = _replacer()(ufunc, ctypes.c_void_p(address), signature, ctypes.byref(before))
    if status:
        raise LookupError(f"numpy.{ufunc.__name__} has no loop for {kind}")
    return before.value or 0


@cache
def _replacer() -> Callable[..., int]:
    module = importlib.import_module("numpy._core._multiarray_umath")
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    table = pointer(module._UFUNC_API, None)
    address = ctypes.c_void_p.from_address(table + _REPLACE_LOOP * ctypes.sizeof(ctypes.c_void_p))
    kind = ctypes.PYFUNCTYPE(
        ctypes.c_int,
        ctypes.py_object,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_int),
        ctypes.POINTER(ctypes.c_void_p),
    )
    return kind(address.value or 0)


@cache
def _reference(name: str, kind: str, inputs: int) -> Any:
    """Return a loop over the slow definition; it is kept, since NumPy may be in it at any time."""
    function, size = getattr(correct, name), struct.calcsize(kind)

    def loop(at: Any, count: Any, step: Any, data: Any) -> None:
        for i in range(count[0]):
            given = [
                struct.unpack(kind, ctypes.string_at(at[k] + i * step[k], size))[0]
                for k in range(inputs)
            ]
            made = _packed(kind, function(*given))
            ctypes.memmove(at[inputs] + i * step[inputs], made, size)

    return _Loop(loop)


def _packed(kind: str, value: float) -> bytes:
    """Return a number as the kind has it, rounded as C does: to binary32 on the way to a half."""
    if kind == "d":
        return struct.pack("d", value)
    with np.errstate(all="ignore"):
        single = np.float64(value).astype(np.float32)
        return single.tobytes() if kind == "f" else single.astype(np.float16).tobytes()
