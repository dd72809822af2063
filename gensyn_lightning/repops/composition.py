"""Runs functions of tensors that stand for operators, and says which operator they refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import refusal


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
