"""Runs functions of tensors that stand for operators, and says which operator they refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import refusal
from gensyn_lightning.repops.coverage import Form


class ByTensors(Exception):
    """Raised by a lowering: there is no plan, a function of the tensors computes this call.

    It calls other operators, each of which is judged itself.
    """

    address = None

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.form, self.written = Form.FUNCTIONAL, [False]

    def run(self, values: Sequence[Any]) -> Any:
        """Return what the operator returns, in whichever form it was called."""
        inputs = values
        if self.form is Form.OUT:
            inputs = [each for each, on in zip(values, self.written, strict=True) if not on]
        made = self.function(*inputs)
        if self.form is Form.FUNCTIONAL:
            return made
        [target] = [each for each, on in zip(values, self.written, strict=True) if on]
        if not torch.can_cast(made.dtype, target.dtype):
            raise RuntimeError(
                f"result type {made.dtype} can't be cast to the desired output type {target.dtype}"
            )
        if target.shape != made.shape:
            target.resize_(made.shape)
        return target.copy_(made)


def telling(name: str, function: Callable[..., Any], key: str) -> Callable[..., Any]:
    """Return a composed operator's function, for a dispatch key, with refusals that say where.

    What an operator inside of it refused is told already, and noted, and goes on as it is. Where
    refusals are noted, torch's own kernel computes what the function refuses. Make this before
    anything is registered in that kernel's place.
    """
    keys = torch._C.DispatchKeySet(torch._C._dispatch_key_parse(key))
    stock = torch.library.get_kernel(f"aten::{name}", key) if refusal.is_noting() else None

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except NotReproducible as error:
            if error.told:
                raise
            types = refusal.types_of([*args, *kwargs.values()])
            told = refusal.refused(f"aten::{name}", types, error)
            if stock is None or not refusal.note(told):
                raise told from error
        return stock.call_boxed(keys, *args, **kwargs)

    return run
