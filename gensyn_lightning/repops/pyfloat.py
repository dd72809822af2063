"""Has Python's arithmetic give the same bits on every machine, by functions that round correctly.

`math`, `cmath`, `**`, `random`, `statistics` and NumPy call the C library's `exp`, `pow` and so on,
whose last bit depends on its version and on the CPU. Inside `pinned` they call ours: the slots of
all loaded libraries are refilled (`slots`), so that code which took `cos` from `math` long before
gets ours too, and which errors are raised stays Python's affair.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.machinery
import math
import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import PurePath
from typing import Any

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import correct, numpy_loops, slots
from gensyn_lightning.repops.library import Library

ONE = (
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan"),
    *("sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh"),
    *("cbrt", "erf", "erfc"),
)
TWO = ("pow", "atan2", "hypot")
# Where the functions themselves are, and what must not be made to call ours.
_NOT_CALLERS = ("libm.so", "libm-", "libmvec", "libc.so", "libc-", "ld-linux", "libgensyn_")
# What has to reach each function, or this Python does not call it where it can be seen.
_CALLS: Mapping[str, Callable[[], object]] = {
    **{name: partial(getattr(math, name), 0.5) for name in ONE if name != "acosh"},
    "acosh": partial(math.acosh, 1.5),
    "atan2": partial(math.atan2, 0.5, 0.25),
    "pow": partial(float.__pow__, 0.5, 0.25),
    "hypot": partial(abs, complex(0.5, 0.25)),
}
_found: dict[slots.Loaded, list[slots.Slot]] = {}
_reached: list[bool] = []


@contextmanager
def pinned(kernels: Library | None) -> Iterator[None]:
    """Have this process compute by our functions meanwhile: those of `kernels`, or the reference.

    Raises `NotReproducible` if this Python does not let itself be made to.
    """
    if platform.system() != "Linux":
        raise NotReproducible(
            "the functions Python takes from the C library can only be replaced on Linux",
            hint="run this in a Linux container",
        )
    addresses = _addresses(kernels)
    if not _reached:
        _check_all_is_reached(addresses)
        _reached.append(True)
    with ExitStack() as stack:
        pins = _Pins(addresses)
        stack.callback(pins.empty)
        pins.fill()
        stack.enter_context(_after_imports(pins.fill))
        stack.enter_context(numpy_loops.replaced(kernels))
        yield


class _Pins:
    """The slots that are filled, and what was in them before."""

    def __init__(self, addresses: Mapping[str, int]) -> None:
        self._addresses = addresses
        self._before: dict[slots.Loaded, dict[slots.Slot, int]] = {}
        self._lock = threading.RLock()  # modules are imported by several threads

    def fill(self) -> None:
        """Fill the slots of libraries loaded since the last time."""
        with self._lock:
            for library in slots.libraries():
                if library not in self._before and not _is_no_caller(library):
                    self._fill(library)

    def _fill(self, library: slots.Loaded) -> None:
        if library not in _found:
            _found[library] = slots.slots_of(library, self._addresses)
        self._before[library] = {each: each.read() for each in _found[library]}
        slots.fill({each: self._addresses[each.function] for each in _found[library]})

    def empty(self) -> None:
        """Put back what was there."""
        with self._lock:
            there = set(slots.libraries())
            for library, before in self._before.items():
                if library in there:
                    slots.fill(before)
                else:
                    _found.pop(library, None)
            self._before.clear()


def _addresses(kernels: Library | None) -> dict[str, int]:
    """Return our functions by the names the C library has for them."""
    made: dict[str, int] = {}
    for name in (*ONE, *TWO, "sincos"):
        for ending, kind in (("", ctypes.c_double), ("f", ctypes.c_float)):
            if kernels is not None:
                address = kernels.address(f"repops_libm_{name}{ending}")
            else:
                address = _address(_reference(name, kind))
            made[name + ending] = made[f"__{name}{ending}_finite"] = address
    return made


@cache
def _reference(name: str, kind: Any) -> Any:
    """Return the slow definition of a function as one that C can call, at any time from then on."""
    if name == "sincos":
        pair = ctypes.CFUNCTYPE(None, kind, *[ctypes.POINTER(kind)] * 2, use_errno=True)

        def both(x: float, sine: Any, cosine: Any) -> None:
            sine[0], cosine[0] = _noting_errors(correct.sin, x), _noting_errors(correct.cos, x)

        return pair(both)
    function = ctypes.CFUNCTYPE(kind, *[kind] * (2 if name in TWO else 1), use_errno=True)
    return function(partial(_noting_errors, getattr(correct, name)))


def _noting_errors(function: Callable[..., float], *args: float) -> float:
    """Call a function and have errno say what went wrong, as C does."""
    result = function(*args)
    if math.isnan(result) and not any(map(math.isnan, args)):
        ctypes.set_errno(errno.EDOM)
    elif math.isinf(result) and all(map(math.isfinite, args)):
        ctypes.set_errno(errno.ERANGE)
    return result


def _check_all_is_reached(addresses: Mapping[str, int]) -> None:
    """Have functions that note that they were called, and call each."""
    noted: set[str] = set()

    def noting(name: str) -> Any:
        double = ctypes.c_double
        kind = ctypes.CFUNCTYPE(double, *[double] * (2 if name in TWO else 1))
        function = kind(addresses[name])

        def call(*args: float) -> Any:
            noted.add(name)
            return function(*args)

        return kind(call)

    keep = {name: noting(name) for name in _CALLS}
    pins = _Pins({**addresses, **{name: _address(each) for name, each in keep.items()}})
    try:
        pins.fill()
        for call in _CALLS.values():
            call()
    finally:
        pins.empty()
    if missed := sorted(_CALLS.keys() - noted):
        raise NotReproducible(
            f"this Python's {', '.join(missed)} cannot be replaced",
            hint="use a CPython that is linked with the C library of the system",
        )


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def _is_no_caller(library: slots.Loaded) -> bool:
    return PurePath(library.name).name.startswith(_NOT_CALLERS)


@contextmanager
def _after_imports(then: Callable[[], None]) -> Iterator[None]:
    """Call `then` whenever a module written in C has been loaded."""
    loader = importlib.machinery.ExtensionFileLoader
    before = loader.create_module

    def create_module(self: Any, spec: Any) -> Any:
        module = before(self, spec)
        then()
        return module

    loader.create_module = create_module  # type: ignore[method-assign]
    try:
        yield
    finally:
        loader.create_module = before  # type: ignore[method-assign]
