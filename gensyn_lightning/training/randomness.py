"""The three generators every program shares: Python's, NumPy's and torch's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from gensyn_lightning.training import generators


def read() -> dict[str, Any]:
    """Return the state of all three, as plain values that later draws leave alone."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
    }


def write(state: Mapping[str, Any]) -> None:
    """Put all three into `state`."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])


def same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Return whether nothing was drawn between two states."""
    first, second = left["numpy"], right["numpy"]
    return bool(
        torch.equal(left["torch"], right["torch"])
        and left["python"] == right["python"]
        and first["state"]["pos"] == second["state"]["pos"]
        and first["has_gauss"] == second["has_gauss"]
        and np.array_equal(first["state"]["key"], second["state"]["key"])
    )


def put_into(generator: Any, kind: str, state: Any) -> None:
    """Put a generator object into a state that `generators.to_plain` returned, in place."""
    made = generators.from_plain(kind, state)
    match kind:
        case "random":
            generator.setstate(made.getstate())
        case "torch":
            generator.set_state(made.get_state())
        case "numpy":
            generator.bit_generator.state = made.bit_generator.state
        case "numpy legacy":
            generator.set_state(made.get_state(legacy=False))
