"""Random generators go on where they stopped."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import generators
from gensyn_lightning.training.state import decode, encode

KINDS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


@pytest.mark.parametrize("kind", KINDS)
def test_a_numpy_generator_goes_on(kind: str) -> None:
    live = np.random.Generator(getattr(np.random, kind)(7))
    live.integers(0, 10, size=3, dtype=np.int32)
    state = encode({"g": live})
    back = decode(state)["g"]
    assert encode({"g": back}).root == state.root
    assert back.random(5).tolist() == live.random(5).tolist()
    spawned = [each.spawn(1)[0].random() for each in (back, live)]
    assert spawned[0] == spawned[1]


def test_the_other_generators_go_on() -> None:
    legacy, plain, own = np.random.RandomState(1), random.Random(2), torch.Generator()
    own.manual_seed(3)
    legacy.normal()
    plain.gauss(0, 1)
    state = encode({"legacy": legacy, "plain": plain, "own": own, "again": plain})
    back = decode(state)
    assert encode(back).root == state.root
    assert back["again"] is back["plain"]
    assert back["legacy"].normal(size=3).tolist() == legacy.normal(size=3).tolist()
    assert back["plain"].gauss(0, 1) == plain.gauss(0, 1)
    assert torch.equal(torch.rand(3, generator=back["own"]), torch.rand(3, generator=own))


def test_states_of_the_global_generators_are_plain_values() -> None:
    value = {"t": torch.get_rng_state(), "n": np.random.get_state(), "p": random.getstate()}
    back = decode(encode(value))
    drawn = (random.random(), np.random.random(), torch.rand(()).item())
    random.setstate(back["p"])
    np.random.set_state(back["n"])
    torch.set_rng_state(back["t"])
    assert (random.random(), np.random.random(), torch.rand(()).item()) == drawn


def test_a_generator_without_seeds_of_its_own_still_goes_on() -> None:
    bits = np.random.PCG64(3)
    restored = np.random.PCG64()
    restored.state = bits.state
    live = np.random.Generator(restored)
    assert decode(encode({"g": live}))["g"].random() == live.random()


def mersenne(place: Any) -> dict[str, Any]:
    state: Any = np.random.MT19937(1).state
    state["state"]["pos"] = place
    return {"state": state, "seeds": None}


def philox(place: Any) -> dict[str, Any]:
    state: Any = np.random.Philox(1).state
    state["buffer_pos"] = place
    return {"state": state, "seeds": None}


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("numpy", mersenne(10**9)),
        ("numpy", mersenne(-1)),
        ("numpy", mersenne("1")),
        ("numpy", philox(5)),
        ("numpy", {"state": {"bit_generator": "Evil"}, "seeds": None}),
        ("numpy", {"state": np.random.PCG64(1).state, "seeds": {"pool_size": 1 << 40}}),
        ("numpy", {"state": 3, "seeds": None}),
        ("numpy", []),
        ("numpy legacy", {"bit_generator": "MT19937", "state": {"pos": 10**9}}),
        ("python", random.getstate()),
        ("random", (3, (1, 2), None)),
        ("random", (3, (*range(624), 10**6), None)),
        ("torch", torch.zeros(3, dtype=torch.uint8)),
        ("torch", torch.full((5056,), 255, dtype=torch.uint8)),
        ("torch", None),
    ],
)
def test_a_state_no_generator_can_be_in_is_refused(kind: str, state: Any) -> None:
    with pytest.raises(StateError):
        generators.from_plain(kind, state)


def test_a_generator_of_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(StateError, match="g: "):
        encode({"g": random.SystemRandom()})
