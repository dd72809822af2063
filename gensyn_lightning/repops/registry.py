"""Puts reproducible operators in the place of torch's own, and takes them out again.

Inside `reproducible()` every ATen operator of this process either runs on kernels of ours, is known
to be exact on every machine, or is refused with `NotReproducible`. Outside nothing has changed.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import executor, library
from gensyn_lightning.repops.arguments import Argument, Reader, arguments_of, in_order
from gensyn_lightning.repops.coverage import Covered, plan_for
from gensyn_lightning.repops.library import CompiledPlan, Library
from gensyn_lightning.repops.operators import load_all
from gensyn_lightning.repops.plan import Exact, Plan

_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
_PLANS_MAX = 4096
_lock = threading.RLock()
_installed: list[torch.library.Library] = []
_depth = 0


@contextmanager
def reproducible() -> Iterator[None]:
    """Have this whole process compute by reproducible operators while the block runs."""
    global _depth  # noqa: PLW0603
    with _lock:
        _depth += 1
        if _depth == 1:
            install()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                uninstall()


def install() -> None:
    """Register every covered operator; a process that ends with its work need not take them out."""
    target = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says once that an operator is overridden: it is
        for each in load_all().values():
            if hasattr(torch.ops.aten, each.name.split(".")[0]):
                target.impl(each.name, Operator(each), "CPU")
    _installed.append(target)


def uninstall() -> None:
    """Put torch's own operators back."""
    while _installed:
        _installed.pop()._destroy()


class Operator:
    """One covered operator: finds or makes the plan for a call, and runs it."""

    def __init__(self, covered: Covered) -> None:
        name, _, overload = covered.name.partition(".")
        self.overload = getattr(getattr(torch.ops.aten, name), overload or "default")
        self.stock = torch.library.get_kernel(self.overload, "CPU")
        self._covered = covered
        self._arguments = arguments_of(self.overload._schema, covered.static)
        self._plans: dict[Any, tuple[Plan, tuple[Library, CompiledPlan] | None] | None] = {}
        self.__name__ = covered.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = in_order(self._arguments, args, kwargs)
        if self._covered.prepare is not None:
            values = self._covered.prepare(values)
        reader = Reader()
        given = reader.read(self._arguments, values)
        key = repr(reader.key)
        if key not in self._plans:
            self._plans[key] = self._make(reader.plan, given)
        found = self._plans[key]
        if found is None:
            return self._call_stock(values)
        return executor.run(*found, values)

    def _call_stock(self, values: list[Any]) -> Any:
        """Call torch's own kernel; it takes tensors where a number was passed for one."""
        given = {
            each.name: torch.tensor(value)
            if each.is_tensor and isinstance(value, float | int)
            else value
            for each, value in zip(self._arguments, values, strict=True)
        }
        return self.stock.call_boxed(_CPU, **given)

    def _make(
        self, plan: Plan, given: list[Any]
    ) -> tuple[Plan, tuple[Library, CompiledPlan] | None] | None:
        """Return the plan for a call, or None if stock torch computes it exactly."""
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        try:
            plan_for(self._covered, plan, given, [each.is_written for each in self._arguments])
        except Exact:
            return None
        except NotReproducible as error:
            raise refusal(self._covered.name, error) from error
        kernels = loaded()
        return plan, None if kernels is None else (kernels, kernels.compile(plan))


@cache
def loaded() -> Library | None:
    """Return the compiled kernels, sharing torch's threads; warn once where there are none."""
    found = library.load()
    if found is None:
        warnings.warn(
            "no compiled kernels for this machine: operators run by the reference, right and slow",
            stacklevel=2,
        )
        return None
    found.use_threads_of(_openmp())
    return found


def refusal(name: str, error: NotReproducible) -> NotReproducible:
    """Return the error with what the user needs to find the place."""
    return NotReproducible(f"aten::{name}: {error.args[0]}", hint=error.hint)


def _openmp() -> ctypes.CDLL:
    """Return the OpenMP runtime that torch has loaded."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split()[-1] for line in maps if "libgomp" in line}
    torch_home = str(Path(torch.__file__).parent.parent)
    own = sorted(paths, key=lambda each: not each.startswith(torch_home))
    return ctypes.CDLL(own[0])


__all__ = ["Argument", "Callable", "install", "reproducible", "uninstall"]
