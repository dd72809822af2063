"""Puts reproducible operators in the place of torch's own, and takes them out again.

Inside `reproducible()` every ATen operator of this process either runs on kernels of ours, is known
to be exact on every machine, or is refused with `NotReproducible`. Outside nothing has changed.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import library, refusal
from gensyn_lightning.repops.arguments import (
    Reader,
    arguments_of,
    in_order,
    key_of,
    overlaps,
    overlaps_partly,
)
from gensyn_lightning.repops.composition import telling
from gensyn_lightning.repops.coverage import COMPOSED, Covered, WrongShape, plan_for
from gensyn_lightning.repops.executor import Ready
from gensyn_lightning.repops.library import Library
from gensyn_lightning.repops.operators import load_all
from gensyn_lightning.repops.plan import Exact
from gensyn_lightning.repops.pyfloat import pinned
from gensyn_lightning.repops.shim import loader
from gensyn_lightning.repops.shim.loader import Shim
from gensyn_lightning.repops.switches import switched_off

_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
_PLANS_MAX = 4096
_lock = threading.RLock()
_installed: list[ExitStack] = []
_operators: dict[str, Operator] = {}
_depth = 0
_UNKNOWN: Any = object()
# Torch lets these work place by place on memory that is partly their own.
_UNCHECKED = {"log_sigmoid_forward.output", "threshold.out", "threshold_backward.grad_input"}


@contextmanager
def reproducible() -> Iterator[None]:
    """Have this whole process compute by reproducible operators while the block runs."""
    global _depth
    with _lock:
        if _depth == 0:
            install()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                uninstall()


def install(kernels: Library | None = None) -> None:
    """Register every covered operator; a process that ends with its work need not take them out.

    `kernels` are those to compute by, if not the best ones for this machine.
    """
    if _installed:
        return
    kernels = loaded() if kernels is None else threaded(kernels)
    with ExitStack() as stack:
        stack.enter_context(switched_off())
        stack.enter_context(pinned(kernels))
        _put_in_place(kernels, stack)
        _installed.append(stack.pop_all())


def uninstall() -> None:
    """Put torch's own operators back."""
    while _installed:
        _installed.pop().close()


def _put_in_place(kernels: Library | None, stack: ExitStack) -> None:
    """Register operators and refusals; closing the stack takes them out."""
    between = None if kernels is None else loader.load()
    operators = _all_operators()
    for each in operators:
        each.use(kernels, between)
    target = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    stack.callback(target._destroy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says once that an operator is overridden: it is
        for each in operators:
            target.impl(each.name, each, "CPU")  # type: ignore[no-untyped-call]
        for name, function in COMPOSED.items():
            composed = [(key, telling(name, function, key)) for key in _keys_of(name)]
            for key, run in composed:
                target.impl(name, run, key)  # type: ignore[no-untyped-call]
        for other in refusal.install(target):
            stack.callback(other._destroy)
    if kernels is not None and between is not None:
        stack.callback(between.uninstall)
        between.install([each.handle for each in operators], kernels.run_address)


def _keys_of(name: str) -> tuple[str, ...]:
    """Return where a composed operator is put: for those that autograd sees through, there too."""
    implicit = torch._C._dispatch_has_kernel_for_dispatch_key(
        f"aten::{name}", "CompositeImplicitAutograd"
    )
    return ("CPU", "AutogradCPU") if implicit else ("CPU",)


def _all_operators() -> list[Operator]:
    """Return the covered operators that this torch has; each is made once and keeps its plans."""
    for name, covered in load_all().items():
        base, _, overload = name.partition(".")
        packet = getattr(torch.ops.aten, base, None)
        if name not in _operators and hasattr(packet, overload or "default"):
            _operators[name] = Operator(covered, getattr(packet, overload or "default"))
    return list(_operators.values())


class Operator:
    """One covered operator: finds or makes the plan for a call, and runs it.

    With the shim in front, only calls that it does not know come here.
    """

    def __init__(self, covered: Covered, overload: Any) -> None:
        self.name = self.__name__ = covered.name
        self.overload = overload
        self.handle = 0
        self._covered = covered
        self._arguments = arguments_of(overload._schema, covered.static)
        self._words = [each.is_scalar for each in self._arguments]
        self._written = [each.is_written for each in self._arguments]
        self._writes = any(self._written)
        self._checks_overlap = covered.elementwise and self.name not in _UNCHECKED
        self._returns = len(overload._schema.returns)
        self._ready: dict[Any, Ready | WrongShape | None] = {}
        self._kernels: Library | None = None
        self._shim: Shim | None = None

    def use(self, kernels: Library | None, between: Shim | None) -> None:
        """Keep torch's own kernel, and drop plans that were made for other kernels."""
        self.stock = torch.library.get_kernel(self.overload, "CPU")
        if between is not None:
            if not self.handle:
                self.handle = between.operator(
                    self.name, self._words, self._written, elementwise=self._covered.elementwise
                )
            between.keep_stock(self.handle)
        if kernels is not self._kernels or between is not self._shim:
            self._ready.clear()
            if between is not None:
                between.forget(self.handle)
        self._kernels, self._shim = kernels, between

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values: Sequence[Any] = args
        if kwargs or len(args) != len(self._words):
            values = in_order(self._arguments, args, kwargs)
        prepare = self._covered.prepare
        if prepare is None:
            return self._run(values, as_called=True)
        given = prepare(list(values))
        return self._run(given, as_called=_same(given, values))

    def _run(self, values: Sequence[Any], *, as_called: bool) -> Any:
        """Run; the shim learns the plan if these arguments are those it was called with."""
        key = key_of(self._words, values)
        apart = True
        if self._writes:
            apart = self._are_apart(values)
            key = (apart, *key)
        found = self._ready.get(key, _UNKNOWN)
        if found is _UNKNOWN:
            try:
                found = self._ready[key] = self._make(values, apart)
            except WrongShape as wrong:
                found = self._ready[key] = wrong.with_traceback(None)
            except NotReproducible as error:
                if not refusal.note(error):
                    raise
                return self._call_stock(values)
        if isinstance(found, WrongShape):
            _resize(found, values)
            return self._run(values, as_called=False)
        if as_called and self._shim is not None:
            self._shim.learn(self.handle, None if found is None else found.address)
        return self._call_stock(values) if found is None else found.run(values)

    def _are_apart(self, values: Sequence[Any]) -> bool:
        """Return whether nothing that is written shares memory; raise where torch does."""
        apart = not overlaps(self._arguments, values, self._covered.elementwise)
        if not apart and self._checks_overlap and overlaps_partly(self._arguments, values):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation."
            )
        return apart

    def _call_stock(self, values: Sequence[Any]) -> Any:
        """Call torch's own kernel; it takes tensors where a number was passed for one."""
        given = {
            each.name: torch.tensor(value)
            if each.is_tensor and isinstance(value, complex | float | int)
            else value
            for each, value in zip(self._arguments, values, strict=True)
        }
        return self.stock.call_boxed(_CPU, **given)

    def _make(self, values: Sequence[Any], apart: bool) -> Ready | None:
        """Return the plan for a call, or None if stock torch computes it exactly.

        Raise `NotReproducible`, with the place of the call, if there is no plan.
        """
        if len(self._ready) >= _PLANS_MAX:
            self._ready.clear()
        try:
            reader = Reader()
            given = reader.read(self._arguments, values)
            plan_for(self._covered, reader.plan, given, self._written, apart=apart)
        except Exact:
            return None
        except NotReproducible as error:
            types = refusal.types_of(values)
            raise refusal.refused(f"aten::{self.name}", types, error) from error
        reader.plan.results = reader.plan.results[: self._returns]
        return Ready(reader.plan, self._kernels, f"aten::{self.name}")


def _resize(wrong: WrongShape, values: Sequence[Any]) -> None:
    """Give `out=` tensors the shapes of the results."""
    for position, element, shape in wrong.resize:
        value = values[position]
        (value[element] if isinstance(value, list | tuple) else value).resize_(shape)


def _same(given: Sequence[Any], values: Sequence[Any]) -> bool:
    return all(
        one is other
        if not isinstance(one, list | tuple)
        else isinstance(other, list | tuple) and len(one) == len(other) and _same(one, other)
        for one, other in zip(given, values, strict=True)
    )


def loaded() -> Library | None:
    """Return the compiled kernels, sharing torch's threads; warn where there are none."""
    found = library.load()
    if found is None:
        warnings.warn(
            "no compiled kernels for this machine: operators run by the reference, right and slow",
            stacklevel=2,
        )
        return None
    return threaded(found)


def threaded(kernels: Library) -> Library:
    """Return the kernels, with torch's own threads to share their work out to."""
    kernels.use_threads_of(openmp())
    return kernels


def openmp() -> ctypes.CDLL:
    """Return the OpenMP runtime that torch has loaded."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split()[-1] for line in maps if "libgomp" in line}
    torch_home = str(Path(torch.__file__).parent.parent)
    own = sorted(paths, key=lambda each: not each.startswith(torch_home))
    return ctypes.CDLL(own[0])


__all__ = ["install", "openmp", "reproducible", "uninstall"]
