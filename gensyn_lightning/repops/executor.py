"""Runs plans on torch tensors: by the compiled kernels, or by the reference where there are none.

The shim (`shim/`) does the same in C++ for the calls it knows; where there is none, every call goes
this way, so what does not differ between calls is prepared once.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gensyn_lightning.repops import reference
from gensyn_lightning.repops.arguments import TORCH
from gensyn_lightning.repops.interpreter import Words
from gensyn_lightning.repops.library import CompiledPlan, Library, word_of
from gensyn_lightning.repops.plan import Call, Key, Operand, Plan, Scalar, WordSource

KEY_LOWEST = -(2**63)
_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
# torch's own generator and kernel, whatever is registered later.
_DRAW = torch.library.get_kernel("aten::random_.from", "CPU")
_ERRORS: dict[int, tuple[type[Exception], str]] = {
    1: (IndexError, "index out of range"),
    2: (MemoryError, "no memory for an operator's buffers"),
    3: (RuntimeError, "a kernel was called with views it does not take"),
    4: (ValueError, "a value is outside of an operator's domain"),
}


class Ready:
    """A plan with all prepared that is the same for every call.

    `address` is where it lies in C's form; None if it is run by the reference. `name` is the
    operator's, for errors.
    """

    __slots__ = (
        "_base",
        "_slot",
        "_tensors",
        "_words",
        "_words_form",
        "address",
        "compiled",
        "kernels",
        "name",
        "plan",
    )

    def __init__(self, plan: Plan, kernels: Library | None, name: str = "") -> None:
        self.plan, self.kernels, self.name = plan, kernels, name
        self.compiled: CompiledPlan | None = None if kernels is None else kernels.compile(plan)
        self.address = None if self.compiled is None else ctypes.addressof(self.compiled)
        self._tensors: list[tuple[int | None, Any, Any, Any]] = [
            (None, each.shape, each.strides, TORCH[each.dtype])
            if each.argument is None
            else (*each.argument, (), None)
            for each in plan.tensors
        ]
        single = plan.results[0] if len(plan.results) == 1 else None
        self._slot = single.slot if isinstance(single, Operand) else None
        self._words = [each for call in plan.calls for each in call.words]
        self._base = struct.Struct(f"{len(plan.tensors)}Q")
        self._words_form = struct.Struct(f"{len(self._words)}Q")

    def run(self, values: Sequence[Any]) -> Any:
        """Run the plan on an operator's arguments and return what the operator returns."""
        tensors = []
        for at, one, strides, dtype in self._tensors:
            if at is None:
                tensors.append(torch.empty_strided(one, strides, dtype=dtype))
            else:
                value = values[at]
                tensors.append(value[one] if isinstance(value, list | tuple) else value)
        words = [word(each, values) for each in self._words] if self._words else []
        if self.kernels is None or self.address is None:
            _run_reference(self.plan, tensors, words)
        else:
            base = self._base.pack(*[each.data_ptr() for each in tensors])
            laid = self._words_form.pack(*words)
            status = self.kernels.run(self.address, base, laid)
            if status:
                kind, message = _ERRORS[status]
                raise kind(f"{self.name}: {message}" if self.name else message)
        if self._slot is not None:
            return tensors[self._slot]
        made = [_result(each, tensors) for each in self.plan.results]
        if not made:
            return None
        return made[0] if len(made) == 1 else tuple(made)


def run(plan: Plan, compiled: tuple[Library, CompiledPlan] | None, values: Sequence[Any]) -> Any:
    """Run a plan once on an operator's arguments and return what the operator returns."""
    return Ready(plan, None if compiled is None else compiled[0]).run(values)


def draw_key(generator: torch.Generator | None) -> int:
    """Return a fresh 64-bit key: two words of the generator, whatever the machine."""
    drawn = torch.empty((), dtype=torch.int64)
    _DRAW.call_boxed(_CPU, drawn, KEY_LOWEST, None, generator=generator)
    return int(drawn) % (1 << 64)


def word(each: WordSource, values: Sequence[Any]) -> int:
    """Return the word a call takes from an operator's arguments."""
    if isinstance(each.source, Scalar):
        return word_of(each, values[each.source.argument])
    if isinstance(each.source, Key):
        return draw_key(None if each.source.argument < 0 else values[each.source.argument])
    return each.source


def _result(each: Any, tensors: Sequence[torch.Tensor]) -> Any:
    if isinstance(each, list | tuple):
        return [_result(one, tensors) for one in each]
    return tensors[each.slot] if isinstance(each, Operand) else each


def _run_reference(plan: Plan, tensors: Sequence[torch.Tensor], words: Sequence[int]) -> None:
    at = 0
    for each in plan.calls:
        _call_reference(each, tensors, words[at : at + len(each.words)])
        at += len(each.words)


def _call_reference(call: Call, tensors: Sequence[torch.Tensor], words: Sequence[int]) -> None:
    """Run a call by its stages, on logical tensors, and put the outputs where its views are."""
    views = [_view(each, tensors[each.slot]) for each in call.views]
    found: dict[int, Words] = {
        at: reference.loaded(_array(view), each.dtype)
        for at, (view, each) in enumerate(zip(views, call.views, strict=True))
        if at >= call.kernel.outputs
    }
    shapes = [each.shape for each in call.views]
    dtypes = [each.dtype for each in call.views]
    reference.run(call.kernel.define(shapes, dtypes, call.params), found, words)
    for at, (view, each) in enumerate(zip(views, call.views, strict=True)):
        if at < call.kernel.outputs:
            _put(view, reference.narrowed(found[at], each.dtype))


def _view(operand: Operand, tensor: torch.Tensor) -> torch.Tensor:
    start = tensor.storage_offset() + operand.offset
    return tensor.detach().as_strided(operand.shape, operand.strides, start)


def _array(view: torch.Tensor) -> Any:
    if view.dtype is torch.bfloat16:
        view = view.view(torch.int16)
        return np.ascontiguousarray(view.numpy()).view(np.uint16)
    return np.array(view.numpy(), order="C")


def _put(view: torch.Tensor, made: Any) -> None:
    target = view.view(torch.int16) if view.dtype is torch.bfloat16 else view
    source = made.view(np.int16) if view.dtype is torch.bfloat16 else made
    np.copyto(target.numpy(), source)
