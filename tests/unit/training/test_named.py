"""Instances are rebuilt without importing a name or running a class's code."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from types import SimpleNamespace
from typing import Any, Generic, NamedTuple, TypeVar

import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import files, named
from gensyn_lightning.training.state import decode, encode, resolve_loaded

Item = TypeVar("Item")
ran: list[str] = []


@dataclass
class Loud:
    value: int = 0
    made: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        ran.append("post_init")

    def __setattr__(self, name: str, value: Any) -> None:
        ran.append(name)
        object.__setattr__(self, name, value)


@dataclass
class Generic2(Generic[Item]):
    item: Item


@dataclass(frozen=True, slots=True)
class Frozen:
    item: Any


@dataclass
class Network(torch.nn.Module):
    width: int = 1


class Bits(IntFlag):
    A = 1
    B = 2


class Pair(NamedTuple):
    left: Any
    right: Any = 0

    def __new_hook__(self) -> None:
        ran.append("new")


class Registry(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        ran.append(key)
        super().__setitem__(key, value)


class Stack(list[Any]):
    pass


def own(name: str) -> type | None:
    kinds = (Loud, Generic2, Frozen, Network, Bits, Pair, Registry, Stack)
    return {f"{__name__}:{each.__qualname__}": each for each in kinds}.get(name)


@pytest.mark.parametrize(
    "value",
    [
        Loud(3),
        Generic2("x"),
        Frozen([1]),
        Bits.A,
        Bits.A | Bits.B,
        Pair(1),
        Registry({"a": 1}),
        Stack([1, 2]),
        Counter("hello"),
        Namespace(lr=0.1),
        SimpleNamespace(a=1),
    ],
    ids=lambda each: type(each).__name__,
)
def test_named_values_come_back_without_running_their_code(value: Any) -> None:
    state = encode({"x": value})
    ran.clear()
    back = decode(state, resolve=own)["x"]
    assert ran == []
    assert type(back) is type(value)
    assert back == value


def test_attributes_beyond_the_fields_come_back_too() -> None:
    value = Loud(1)
    value.extra = [1]  # type: ignore[attr-defined]
    assert vars(decode(encode([value]), resolve=own)[0]) == vars(value)


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        ({"$object": ["x", []]}, dict),
        ({"$object": ["x", []]}, Network),
        ({"$object": ["x", [["__class__", 1]]]}, Loud),
        ({"$object": ["x", [["not a name", 1]]]}, Loud),
        ({"$object": ["x", [["other", 1]]]}, Frozen),
        ({"$mapping": ["x", []]}, list),
        ({"$mapping": ["x", []]}, dict),
        ({"$sequence": ["x", []]}, tuple),
        ({"$named_tuple": ["x", [1, 2, 3]]}, Pair),
        ({"$named_tuple": ["x", []]}, tuple),
        ({"$enum": ["x", "A"]}, Loud),
        ({"$enum": ["x", "C"]}, Bits),
        ({"$enum": ["x", []]}, Bits),
        ({"$flag": ["x", "1"]}, Loud),
        ({"$flag": ["x", "9" * 100]}, Bits),
        ({"$enum": [3, "A"]}, Bits),
        ({"$enum": ["x" * 1000, "A"]}, Bits),
    ],
)
def test_a_class_of_another_kind_is_refused(node: Any, kind: type) -> None:
    state = files.assemble(node, [], {}, {})
    with pytest.raises(StateError):
        decode(state, resolve=lambda name: kind)


def test_a_module_dressed_as_a_dataclass_is_no_plain_value() -> None:
    with pytest.raises(StateError, match="Network"):
        encode({"x": Network()})


def test_resolving_loads_nothing() -> None:
    name = "gensyn_lightning.training.no_such_module"
    assert resolve_loaded(f"{name}:Thing") is None
    assert name not in sys.modules
    assert resolve_loaded("sys:modules") is None
    assert resolve_loaded("enum:Enum") is Enum
    assert resolve_loaded(f"{named.__name__}:resolve.__globals__") is None
    assert resolve_loaded("") is None
