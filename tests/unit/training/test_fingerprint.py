"""A fingerprint changes exactly when canonical state would."""

from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gensyn_lightning.training import state
from gensyn_lightning.training.fingerprint import NOTED_BYTES_MIN, fingerprint, is_plain


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Point:
    x: int
    y: Any = None


DIFFERENT = [
    None,
    False,
    0,
    0.0,
    -0.0,
    "0",
    b"0",
    bytearray(b"0"),
    [],
    (),
    [0],
    (0,),
    [0.0],
    list(range(40)),
    [float(each) for each in range(40)],
    {},
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    OrderedDict(a=1),
    defaultdict(list),
    defaultdict(dict),
    deque([1]),
    deque([1], maxlen=2),
    {1},
    frozenset({1}),
    Colour.RED,
    Colour.BLUE,
    Path("/a"),
    Point(1),
    Point(2),
    torch.zeros(2),
    torch.ones(2),
    torch.zeros(2, dtype=torch.int64),
    torch.zeros(1, 2),
    torch.zeros(2, 4, 2, 2),
    torch.zeros(2, 4, 2, 2).to(memory_format=torch.channels_last),
    torch.nn.Parameter(torch.zeros(2)),
    np.zeros(2),
    np.float32(0),
    torch.float32,
    torch.device("cpu"),
    slice(1, 2),
]


def test_unlike_values_have_unlike_fingerprints_and_unlike_roots() -> None:
    prints = [fingerprint(each) for each in DIFFERENT]
    roots = [state.encode({"value": each}).root for each in DIFFERENT]
    assert None not in prints
    assert len(set(prints)) == len(set(roots)) == len(DIFFERENT)


@pytest.mark.parametrize("value", DIFFERENT, ids=repr)
def test_a_value_that_came_back_has_the_same_fingerprint(value: Any) -> None:
    encoded = state.encode({"value": value})
    back = state.decode(encoded, resolve=encoded.classes.get)["value"]
    assert fingerprint(back) == fingerprint(value)


@pytest.mark.parametrize(
    "value",
    [
        lambda: 1,
        torch.nn.Linear(1, 1),
        object(),
        [torch.nn.Linear(1, 1)],
        {"a": {"b": print}},
        {torch.zeros(1): 1},
        defaultdict(lambda: 1),
        np.array([object()]),
        torch.zeros(2).to_sparse(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_canonical_state_cannot_write_has_none(value: Any) -> None:
    assert fingerprint(value) is None
    assert not is_plain(value)


def test_a_tensor_with_a_place_of_its_own_is_no_content() -> None:
    tensor = torch.zeros(1)
    assert is_plain([tensor])
    assert not is_plain([tensor], {id(tensor)})


def test_a_large_tensor_is_read_again_once_it_was_written_to() -> None:
    large = torch.zeros(1 << 16)
    before = fingerprint(large)
    assert fingerprint(large) == before
    large[5] = 1
    assert fingerprint(large) != before
    large[5] = 0
    assert fingerprint(large) == before
    large.data = torch.ones(1 << 16)
    assert fingerprint(large) != before


def test_memory_that_torch_does_not_own_is_always_read() -> None:
    array = np.zeros(1 << 16)
    tensor = torch.from_numpy(array)
    before = fingerprint(tensor)
    array[7] = 1
    assert fingerprint(tensor) != before


def test_a_fingerprint_leaves_memory_as_it_is() -> None:
    """Lent to NumPy, a tensor's memory could not be resized, and would be read each time."""
    tensor = torch.zeros(NOTED_BYTES_MIN)
    before = fingerprint(tensor)
    assert tensor.untyped_storage().resizable()
    tensor.numpy()[3] = 1
    assert fingerprint(tensor) != before


def test_a_conjugate_and_a_part_of_a_tensor_have_the_content_that_they_show() -> None:
    tensor = torch.arange(8).to(torch.complex64) * 1j
    assert fingerprint(tensor.conj()) == fingerprint(tensor.conj().resolve_conj())
    assert fingerprint(tensor[2:5]) == fingerprint(tensor[2:5].clone())
