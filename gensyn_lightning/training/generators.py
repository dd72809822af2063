"""Random generators as plain values, and back."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gensyn_lightning.errors import StateError

_BIT_GENERATORS: dict[str, Callable[..., np.random.BitGenerator]] = {
    "MT19937": np.random.MT19937,
    "PCG64": np.random.PCG64,
    "PCG64DXSM": np.random.PCG64DXSM,
    "Philox": np.random.Philox,
    "SFC64": np.random.SFC64,
}
# Places inside a generator's buffer, which NumPy does not check itself.
_PLACES = {"MT19937": ("state", "pos", 624), "Philox": ("", "buffer_pos", 4)}
_POOL_MAX = 64


def to_plain(value: Any) -> tuple[str, Any] | None:
    """Return the kind and state of a generator, or None when `value` is none that we know."""
    if type(value) is random.Random:
        return "random", value.getstate()
    if type(value) is torch.Generator and value.device.type == "cpu":
        return "torch", value.get_state()
    if type(value) is np.random.Generator:
        bits = value.bit_generator
        if type(bits) in _BIT_GENERATORS.values():
            return "numpy", {"state": bits.state, "seeds": _seeds(bits)}
    if type(value) is np.random.RandomState:
        state: Any = value.get_state(legacy=False)
        if state["bit_generator"] == "MT19937":
            return "numpy legacy", state
    return None


def from_plain(kind: str, state: Any) -> Any:
    """Return a generator in `state`; raise `StateError` when it has no such state."""
    try:
        match kind:
            case "random":
                made = random.Random()  # noqa: S311
                made.setstate(state)
                return made
            case "torch":
                generator = torch.Generator(device="cpu")
                generator.set_state(state)
                return generator
            case "numpy":
                return np.random.Generator(_bit_generator(state))
            case "numpy legacy":
                _check_place("MT19937", state)
                legacy = np.random.RandomState(0)
                legacy.set_state(state)
                return legacy
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RuntimeError) as error:
        raise StateError(f"a {kind} generator has no such state: {error}") from None
    raise StateError(f"there is no {kind[:40]} generator")


def _seeds(bits: np.random.BitGenerator) -> dict[str, Any] | None:
    """Return what `spawn` draws children from, which the state alone does not hold."""
    seeds = bits.seed_seq
    return dict(seeds.state) if type(seeds) is np.random.SeedSequence else None


def _bit_generator(state: Any) -> np.random.BitGenerator:
    kind = state["state"]["bit_generator"]
    seeds = state["seeds"]
    sequence = None
    if seeds is not None:
        if not 4 <= seeds["pool_size"] <= _POOL_MAX:
            raise ValueError("its pool is out of bounds")
        sequence = np.random.SeedSequence(**{str(name): each for name, each in seeds.items()})
    bits = _BIT_GENERATORS[kind](0 if sequence is None else sequence)
    _check_place(kind, state["state"])
    bits.state = state["state"]
    return bits


def _check_place(kind: str, state: Any) -> None:
    if kind in _PLACES:
        inner, name, largest = _PLACES[kind]
        place = (state[inner] if inner else state)[name]
        if type(place) is not int or not 0 <= place <= largest:
            raise ValueError("its place is out of bounds")
