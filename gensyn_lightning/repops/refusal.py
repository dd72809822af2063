"""Refuses what has no reproducible definition: an operator that is neither ours nor exact.

`install` puts a refusal in the place of every such operator's kernel; operators that are exact
for integers only get a guard in front of torch's own kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import exactness
from gensyn_lightning.repops.hints import hint_for
from gensyn_lightning.repops.place import where

_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
# Namespaces of compiled operators that compute nothing, or whose Python calls ATen.
_HARMLESS = frozenset({"aten", "c10d", "prims", "profiler"})


def install(target: Any) -> list[Any]:
    """Register refusals and guards for ATen; return libraries with those of other namespaces."""
    for name in exactness.refused():
        target.impl(name, Refusal(f"aten::{name}"), "CPU")
    for name in exactness.guarded():
        target.impl(name, Guard(name), "CPU")
    _install_for_formats(target)
    others: dict[str, Any] = {}
    try:
        for name in foreign():
            namespace, _, operator = name.partition("::")
            if namespace not in others:
                others[namespace] = torch.library.Library(namespace, "IMPL")  # type: ignore[no-untyped-call]
            others[namespace].impl(operator, Refusal(name), "CPU")
    except BaseException:
        for each in others.values():
            each._destroy()
        raise
    return list(others.values())


def _install_for_formats(target: Any) -> None:
    """Register refusals for tensors that are no plain arrays, which other kernels compute."""
    for key, kind in exactness.FORMATS.items():
        reason = NotReproducible(
            f"{kind} tensors have no reproducible definition", hint=hint_for(f"_{kind}_")
        )
        for name in exactness.refused_for(key):
            target.impl(name, Refusal(f"aten::{name}", key, reason), key)


def foreign() -> list[str]:
    """Return operators outside of ATen with a compiled kernel for the CPU, which nobody judged.

    Operators that were registered from Python are left alone: what they call is judged.
    """
    found = torch._C._dispatch_get_registrations_for_dispatch_key("CPU")
    from_python = {each.rpartition("/")[0] for each in torch.library._impls}
    return sorted(
        each
        for each in found
        if each.partition("::")[0] not in _HARMLESS
        and each.partition(".")[0].replace("::", "/") not in from_python
        and each.replace("::", "/") not in from_python
    )


_noted: list[NotReproducible] | None = None


@contextmanager
def noting() -> Iterator[list[NotReproducible]]:
    """Have refusals that are installed in the block noted, and stock torch compute instead.

    Shows all that a program uses and is not covered, not only the first.
    """
    global _noted
    found: list[NotReproducible] = []
    _noted = found
    try:
        yield found
    finally:
        _noted = None


def note(error: NotReproducible) -> bool:
    """Note a refusal; return False where none are noted and it has to be raised."""
    if _noted is not None:
        _noted.append(error)
    return _noted is not None


def is_noting() -> bool:
    """Return whether refusals are noted."""
    return _noted is not None


class Refusal:
    """Stands where an operator's kernel was, and raises, or notes that it should."""

    def __init__(self, name: str, key: str = "CPU", reason: NotReproducible | None = None) -> None:
        self.name = self.__name__ = name
        self._reason = reason
        self._keys = torch._C.DispatchKeySet(torch._C._dispatch_key_parse(key))
        self._stock = None
        if _noted is not None and key in torch._C.DispatchKey.__members__:
            self._stock = torch.library.get_kernel(name, key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `NotReproducible` for this call, or note it and have stock torch compute."""
        error = refused(self.name, types_of([*args, *kwargs.values()]), self._reason)
        if self._stock is None or not note(error):
            raise error
        return self._stock.call_boxed(self._keys, *args, **kwargs)


class Guard:
    """Lets an operator through to torch's own kernel if it is called with integers only."""

    def __init__(self, name: str) -> None:
        packet, _, overload = name.partition(".")
        self.name = self.__name__ = name
        self._overload = getattr(getattr(torch.ops.aten, packet), overload or "default")
        self._stock = torch.library.get_kernel(self._overload, "CPU")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call torch's own kernel, or raise `NotReproducible`."""
        values = [*args, *kwargs.values()]
        if not all(map(_is_integral, _flat(values))):
            error = refused(f"aten::{self.name}", types_of(values))
            if not note(error):
                raise error
        dtype = next((each.dtype for each in _flat(values) if _is_tensor(each)), torch.int64)
        given = [
            _as_tensor(each, dtype) if str(argument.real_type) == "Tensor" else each
            for each, argument in zip(args, self._overload._schema.arguments, strict=False)
        ]
        return self._stock.call_boxed(_CPU, *given, **kwargs)


def refused(name: str, types: str, error: NotReproducible | None = None) -> NotReproducible:
    """Return the error for a call of an operator, with the place it was called from."""
    reason = "has no reproducible definition" if error is None else error.args[0]
    hint = error.hint if error is not None and error.hint else hint_for(name.partition("::")[2])
    parts = [f"{name} {reason}" if error is None else f"{name}: {reason}", types, where()]
    told = NotReproducible(", ".join(each for each in parts if each), hint=hint)
    told.told = True
    return told


def types_of(values: Iterable[Any]) -> str:
    """Return the types of the tensors among some arguments, as a phrase."""
    names = [str(each.dtype).removeprefix("torch.") for each in _flat(values) if _is_tensor(each)]
    return f"called with {', '.join(dict.fromkeys(names))}" if names else ""


def _flat(values: Iterable[Any]) -> list[Any]:
    return [
        one
        for each in values
        for one in (_flat(each) if isinstance(each, list | tuple) else [each])
    ]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _is_integral(value: Any) -> bool:
    if isinstance(value, torch.dtype):
        return not value.is_floating_point and not value.is_complex
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() and not value.is_complex()
    return not isinstance(value, float | complex)


def _as_tensor(value: Any, dtype: torch.dtype) -> Any:
    """Return a number that stands for a tensor as one, without changing the result's type."""
    if not isinstance(value, int):
        return value
    wide = dtype is torch.bool and not isinstance(value, bool)
    return torch.tensor(value, dtype=torch.int64 if wide else dtype)
