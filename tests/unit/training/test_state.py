"""Any value comes back as it was, and two states share a root only when they are the same."""

from __future__ import annotations

import collections
import datetime
import json
import math
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, Flag, IntEnum
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gensyn_lightning.errors import GensynError, LimitExceeded, StateError
from gensyn_lightning.training import files, tree
from gensyn_lightning.training.leaf import record
from gensyn_lightning.training.state import (
    DROP,
    State,
    decode,
    encode,
    load,
    model_digest,
    read_container,
    resolve_loaded,
    save,
    state_root,
    write_container,
)

VECTORS = Path(__file__).parents[2] / "vectors/state"


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Access(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Record:
    first: Any
    second: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slotted:
    first: Any


KINDS = {f"here:{kind.__qualname__}": kind for kind in (Colour, Level, Access, Point, Record)}


def own(name: str) -> type | None:
    module, _, qualname = name.partition(":")
    kinds = {each.__qualname__: each for each in (*KINDS.values(), Slotted)}
    return kinds.get(qualname) if module == __name__ else None


def again(value: Any, **options: Any) -> Any:
    return decode(encode(value, **options), resolve=own, **options)


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same to a program: classes, bits, order, strides."""
    if type(left) is not type(right):
        return False
    for kinds, parts in PARTS:
        if isinstance(left, kinds):
            one, other = parts(left), parts(right)
            return len(one) == len(other) and all(map(same, one, other))
    return bool(left == right)


PARTS: list[tuple[Any, Callable[[Any], Any]]] = [
    (torch.Tensor, lambda t: (str(t.dtype), *t.shape, *t.stride(), t.requires_grad, bits(t))),
    (np.ndarray, lambda a: (a.dtype.str, *a.shape, *a.strides, a.tobytes())),
    (np.generic, lambda n: (n.dtype.str, n.tobytes())),
    (float, lambda f: (struct.pack(">d", f),)),
    (complex, lambda c: (c.real, c.imag)),
    (dict, lambda d: [*d, *d.values()]),
    ((list, tuple), lambda each: [*each]),
    (collections.deque, lambda d: [d.maxlen, *d]),
    ((set, frozenset), lambda s: sorted(s, key=repr)),
    (Record, lambda r: [vars(r)]),
    (Slotted, lambda s: [s.first]),
]


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


numbers = st.one_of(st.integers(), st.floats(width=64), st.complex_numbers())
keys = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(st.characters(), max_size=8),
    st.binary(max_size=80),
    st.dates(),
    st.sampled_from([Colour.RED, Level.LOW, Path("/x/y"), (1, "a"), frozenset({1, 2}), np.int8(3)]),
)
atoms = st.one_of(
    keys,
    numbers,
    st.floats(width=32).map(np.float32),
    st.datetimes(timezones=st.sampled_from([None, datetime.UTC])),
    st.times(),
    st.timedeltas(),
    st.sampled_from([torch.bfloat16, torch.device("cpu"), torch.Size([2, 3]), torch.channels_last]),
    st.sampled_from([range(3, 9, 2), slice(None, 2), ..., Access.READ | Access.WRITE]),
    st.sampled_from([np.dtype("float32"), PurePosixPath("a/b"), "\ud800"]),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=64, max_size=80),
    st.lists(st.floats(), min_size=64, max_size=80).map(tuple),
    st.lists(st.floats(width=32), max_size=5).map(lambda each: torch.tensor(each)),
    st.lists(st.integers(0, 255), max_size=5).map(lambda each: np.array(each, dtype=np.uint8)),
)
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(keys, inner, max_size=3).map(
            lambda each: collections.defaultdict(list, each)
        ),
        st.lists(inner, max_size=3).map(lambda each: collections.deque(each, maxlen=5)),
        st.sets(keys.filter(lambda each: not isinstance(each, float)), max_size=3),
        st.builds(Point, inner, inner),
        st.builds(Record, inner, st.lists(inner, max_size=2)),
        st.builds(Slotted, inner),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    state = encode(value)
    back = decode(state, resolve=own)
    assert same(back, value)
    assert encode(back).root == state.root


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values, values)
def test_two_values_share_a_root_only_when_they_are_the_same(left: Any, right: Any) -> None:
    assert (encode(left).root == encode(right).root) == same(left, right)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=values)
def test_a_value_survives_its_files(value: Any, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("state")
    state = encode(value)
    save(state, folder)
    read = load(folder, expected_root=state.root, bytes_max=1 << 20)
    assert same(decode(read, resolve=own), value)
    assert read.leaves == state.leaves


def rich() -> dict[str, Any]:
    """Return a value with one of everything, as a program might hold it."""
    weight = torch.arange(8, dtype=torch.float32).reshape(2, 4)
    shared = [1, 2]
    return {
        "model": {
            "0.weight": torch.nn.Parameter(weight),
            "0.tied": weight,
            "1.conv": torch.arange(16.0).reshape(1, 2, 2, 4).to(memory_format=torch.channels_last),
            "1.count": torch.tensor(7),
        },
        "optimizers": [{"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 1e-3}]}],
        "loops": {"batches": 12, "done": False, "best": float("inf"), "name": "épochs"},
        "generators": {
            "numpy": np.random.default_rng(3),
            "python": random.Random(5),
            "torch": torch.Generator().manual_seed(9),
        },
        "callbacks": {
            "once": shared,
            "twice": shared,
            "seen": {3, "x", (1, 2)},
            "window": collections.deque([1.5, math.nan], maxlen=2),
            "large": 2**80,
            "raw": bytes(range(100)),
            "labels": list(range(70)),
            ("best", 1): np.float32(0.25),
        },
    }


def variants() -> list[Callable[[dict[str, Any]], object]]:
    """Return one smallest change for every kind of field of `rich`."""
    return [
        lambda v: v["model"]["0.weight"].data[0, 0].add_(1),
        lambda v: v["model"].update({"0.tied": v["model"]["0.tied"].clone()}),
        lambda v: v["model"]["0.weight"].requires_grad_(False),
        lambda v: v["model"].update({"0.weight": v["model"]["0.weight"].data}),
        lambda v: v["model"].update({"1.conv": v["model"]["1.conv"].contiguous()}),
        lambda v: v["model"].update({"1.count": torch.tensor([7])}),
        lambda v: v["model"].update({"1.count": torch.tensor(7, dtype=torch.int32)}),
        lambda v: v["model"].update({"0.tied": v["model"].pop("0.tied")}),
        lambda v: v["optimizers"][0]["state"][0]["step"].add_(1),
        lambda v: v["optimizers"][0]["state"].update({1: v["optimizers"][0]["state"].pop(0)}),
        lambda v: v["optimizers"][0]["groups"][0].update(lr=math.nextafter(1e-3, 1)),
        lambda v: v["loops"].update(batches=13),
        lambda v: v["loops"].update(batches=12.0),
        lambda v: v["loops"].update(done=0),
        lambda v: v["loops"].update(best=None),
        lambda v: v["loops"].update(name="épocht"),
        lambda v: v["loops"].update(batches=v["loops"].pop("batches")),
        lambda v: v["generators"]["numpy"].random(),
        lambda v: v["generators"]["numpy"].bit_generator.seed_seq.spawn(1),
        lambda v: v["generators"]["python"].random(),
        lambda v: torch.rand(1, generator=v["generators"]["torch"]),
        lambda v: v["callbacks"].update(twice=[1, 2]),
        lambda v: v["callbacks"]["once"].append(3),
        lambda v: v["callbacks"]["seen"].add(4),
        lambda v: v["callbacks"].update(window=collections.deque([1.5, math.nan], maxlen=3)),
        lambda v: v["callbacks"].update(window=collections.deque([1.5, -math.nan], maxlen=2)),
        lambda v: v["callbacks"].update(large=2**80 + 1),
        lambda v: v["callbacks"].update(raw=bytes(range(99)) + b"x"),
        lambda v: v["callbacks"].update(raw=bytearray(range(100))),
        lambda v: v["callbacks"].update(labels=tuple(range(70))),
        lambda v: v["callbacks"].update({("best", 1): np.float64(0.25)}),
        lambda v: v["callbacks"].update({("best", 2): v["callbacks"].pop(("best", 1))}),
        lambda v: v.update(extra=None),
    ]


@pytest.mark.parametrize("index", range(len(variants())))
def test_the_root_changes_with_any_field(index: int) -> None:
    value = rich()
    before = encode(value).root
    variants()[index](value)
    after = encode(value)
    assert after.root != before
    assert encode(decode(after)).root == after.root


def test_the_root_changes_with_every_single_byte_of_every_tensor() -> None:
    state = encode(rich())
    for path, buffer in state.buffers.items():
        for index in range(0, len(buffer), max(1, len(buffer) // 8)):
            changed = bytearray(buffer)
            changed[index] ^= 1
            assert digest(path, changed, state) != state.root


def digest(path: str, data: bytearray, state: State) -> bytes:
    from dataclasses import replace

    from gensyn_lightning.protocol.digest import digest_of
    from gensyn_lightning.training.leaf import root

    return root(
        replace(each, digest=digest_of(bytes(data))) if each.path == path else each
        for each in state.leaves
    )


def test_the_same_value_built_twice_has_the_same_root() -> None:
    assert encode(rich()).root == encode(rich()).root


def test_the_order_of_a_dict_is_part_of_the_state_and_that_of_a_set_is_not() -> None:
    assert encode({"a": 1, "b": 2}).root != encode({"b": 2, "a": 1}).root
    assert list(again({"b": 2, "a": 1})) == ["b", "a"]
    many = [str(each) for each in range(50)]
    turned = dict.fromkeys(reversed(many))
    assert encode({"s": set(many)}).root == encode({"s": set(turned)}).root


def test_shared_and_cyclic_objects_stay_shared() -> None:
    shared: list[Any] = [torch.ones(2)]
    cycle: dict[str, Any] = {"shared": shared, "tensor": shared[0], "record": Record(1)}
    cycle["self"] = cycle
    cycle["record"].second.append(cycle["record"])
    back = again({"x": cycle, "y": (shared, cycle)})
    assert back["x"]["self"] is back["x"] is back["y"][1]
    assert back["x"]["shared"] is back["y"][0]
    assert back["x"]["tensor"] is back["y"][0][0]
    assert back["x"]["record"].second[0] is back["x"]["record"]


def test_a_cycle_through_tuples_alone_is_too_deep() -> None:
    holder: list[Any] = []
    assert again((holder,)) == ([],)
    deep: Any = ()
    for _ in range(100):
        deep = (deep,)
    with pytest.raises(LimitExceeded, match="deeper"):
        encode({"x": deep})


def test_texts_and_paths_inside_declared_folders_move_with_them(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    value = {
        "text": f"{here}/a/b.ckpt",
        "path": here / "c",
        "folder": str(here),
        "key": {f"{here}/k": 1},
        "near": f"{here}-not/x",
        "out": f"{here}/../x",
    }
    state = encode(value, folders={"out": here})
    back = decode(state, folders={"out": there})
    assert back["text"] == f"{there}/a/b.ckpt"
    assert back["path"] == there / "c"
    assert back["folder"] == str(there)
    assert list(back["key"]) == [f"{there}/k"]
    assert back["near"] == f"{here}-not/x"
    assert back["out"] == f"{here}/../x"
    moved = {key: back[key] for key in ("text", "path", "folder", "key")}
    stayed = {key: value[key] for key in ("text", "path", "folder", "key")}
    assert encode(moved, folders={"out": there}).root == encode(stayed, folders={"out": here}).root
    with pytest.raises(StateError, match="unknown here"):
        decode(state)


@pytest.mark.parametrize("rest", ["/../x", "/a/../../x", "x", "/a/.."])
def test_a_hostile_path_cannot_leave_its_folder(rest: str) -> None:
    state = files.assemble({"$dict": [["p", {"$in": ["out", rest]}]]}, [], {}, {})
    with pytest.raises(StateError, match="leaves its folder"):
        decode(state, folders={"out": "/safe"})


def test_an_unknown_value_is_an_error_that_names_its_path() -> None:
    with pytest.raises(StateError, match=r"a/0/hook: .*object"):
        encode({"a": [{"hook": object()}]})
    with pytest.raises(StateError, match="function"):
        encode({"f": lambda: 0})
    with pytest.raises(StateError):
        encode({"x": collections.defaultdict(lambda: 0)})
    with pytest.raises(StateError):
        encode({"x": np.array([object()])})


def test_an_unknown_value_can_be_left_out_and_named() -> None:
    shared = [1]
    dropped: list[str] = []

    def leave_out(path: str, value: object) -> object:
        dropped.append(path)
        return DROP

    value = {"a": {"bad": [shared, torch.ones(3), object()], "good": shared}, "b": object()}
    state = encode(value, on_unknown=leave_out)
    assert decode(state) == {"a": {"good": [1]}}
    assert dropped == ["a/bad/2", "b"]
    assert state.tensors == {}


def test_an_unknown_value_can_be_replaced_but_not_for_ever() -> None:
    assert decode(encode({"x": object()}, on_unknown=lambda path, value: path)) == {"x": "x"}
    with pytest.raises(StateError):
        encode({"x": object()}, on_unknown=lambda path, value: object())
    with pytest.raises(StateError, match="left out"):
        encode(object(), on_unknown=lambda path, value: DROP)


def test_class_names_become_classes_only_through_the_resolver() -> None:
    state = encode({"x": Colour.RED})
    assert set(state.classes) == {f"{__name__}:Colour"}
    with pytest.raises(StateError, match="not known here"):
        decode(state)
    assert decode(state, resolve=own) == {"x": Colour.RED}
    assert resolve_loaded("no_such_module:Thing") is None
    assert resolve_loaded("collections:OrderedDict") is collections.OrderedDict


def test_the_model_digest_covers_the_model_and_nothing_else() -> None:
    value = rich()
    before = model_digest(encode(value))
    value["loops"]["batches"] += 1
    value["callbacks"]["alias"] = value["model"]["1.conv"]
    value["callbacks"]["view"] = value["model"]["1.count"].view(1)
    assert model_digest(encode(value)) == before
    value["model"]["1.count"] += 1
    assert model_digest(encode(value)) != before


def test_decoded_tensors_have_memory_of_their_own() -> None:
    live = torch.ones(4)
    state = encode({"x": live})
    back = decode(state)
    live.zero_()
    assert back["x"].tolist() == [1, 1, 1, 1]


def test_a_container_is_one_file_with_the_same_bytes_every_time(tmp_path: Path) -> None:
    root = write_container(rich(), tmp_path / "a")
    assert write_container(rich(), tmp_path / "b") == root == state_root(encode(rich()))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert encode(read_container(tmp_path / "a")).root == root


def test_a_state_of_resnet_size_is_cut_into_few_leaves() -> None:
    model = {f"layer{each}.weight": torch.zeros(3) for each in range(300)}
    moments = {each: {"exp_avg": torch.zeros(3), "step": 1.0} for each in range(300)}
    state = encode({"model": model, "optimizers": {0: {"state": moments, "groups": []}}})
    assert sum(each.kind == "value" for each in state.leaves) == 4


def mutated(node: Any, chance: random.Random) -> Any:
    """Return a tree with one node somewhere replaced by something odd."""
    odd = [None, True, -1, 2**53, "", "x", [], {}, [[]], {"$leaf": None}, {"$ref": "x"}]
    odd += [{"$dict": [[1]]}, {"$int": "0x"}, {"$float": "nan"}, {"$tuple": 3}, {"$size": [-1]}]
    odd += [{"$enum": ["os:system", "x"]}, {"$object": ["os:system", []]}, {"$deque": [-1, []]}]
    odd += [{"$generator": ["torch", []]}, {"$scalar": ["<f8", "00"]}, {"$device": "nowhere"}]
    odd += [{"$dtype": []}, {"$path": 3}, {"$set": [[], []]}, {"$mapping": ["a:b", []]}]
    children: list[tuple[Any, Any]] = []
    if isinstance(node, dict):
        children = list(node.items())
    elif isinstance(node, list):
        children = list(enumerate(node))
    if not children or chance.random() < 0.15:
        return chance.choice(odd)
    place, inner = chance.choice(children)
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[place] = mutated(inner, chance)
    return copy


def test_a_tree_that_lies_is_refused_with_an_error_of_ours() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    state = encode({**rich(), "kinds": [Colour.RED, Record(1), Point(1, 2), Path("/a")]})
    rows = [each for each in state.leaves if each.kind != "value"]
    refused = 0
    for _ in range(1500):
        content = mutated(state.structure["tree"], chance)
        try:
            decode(files.assemble(content, rows, state.buffers, {}), resolve=own)
        except GensynError:
            refused += 1
    assert refused > 1000


def test_keys_that_all_hash_alike_are_refused() -> None:
    crowd = [[{"$int": hex(each * (2**61 - 1))}, None] for each in range(2**20, 2**20 + 3000)]
    with pytest.raises(LimitExceeded, match="alike"):
        decode(files.assemble({"$dict": crowd}, [], {}, {}))


def golden() -> dict[str, Any]:
    """Return the values behind the vectors, by name."""
    base = torch.arange(6, dtype=torch.int16)
    return {
        "plain": {
            "none": None,
            "numbers": [0, -1, 2**53 - 1, 2**53, 0.1, -0.0, math.inf, math.nan, 1j],
            "texts": ["", "é", "😀", "a/b~c", "\ud800"],
            "containers": [(1,), {2, 1}, frozenset("ab"), collections.deque([1], 3), range(3)],
            "keys": {0: "int", "0": "text", (1, "x"): "tuple", None: "none"},
            "path": Path("/out/best.ckpt"),
            "bytes": b"\x00\xff",
            "moment": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        },
        "tensors": {
            "model": {
                "weight": torch.nn.Parameter(torch.tensor([[1.0, -0.0], [math.nan, math.inf]])),
                "half": torch.tensor([1.5, -2.5], dtype=torch.bfloat16),
                "scalar": torch.tensor(True),
                "empty": torch.zeros(0, 3),
                "channels": torch.arange(8.0)
                .reshape(1, 2, 2, 2)
                .to(memory_format=torch.channels_last),
                "base": base,
                "tied": base.view(6),
                "view": base[2:5],
                "turned": torch.arange(6).reshape(2, 3).t(),
            },
            "arrays": {
                "c": np.array([[1, 2], [3, 4]], dtype="<i4"),
                "f": np.asfortranarray(np.array([[1, 2], [3, 4]], dtype="<u2")),
                "words": np.array(["ab", "c"]),
            },
            "runs": {"labels": list(range(64)), "raw": bytes(64)},
        },
        "generators": {
            "numpy": np.random.Generator(np.random.PCG64(1)),
            "legacy": np.random.RandomState(2),
            "python": random.Random(3),
        },
        "shared": shared_value(),
    }


def shared_value() -> dict[str, Any]:
    one: list[Any] = [1]
    value: dict[str, Any] = {"a": {"one": one}, "b": {"again": one}}
    value["b"]["up"] = value["a"]
    return value


def vector(value: Any, folder: Path) -> dict[str, Any]:
    """Return what anyone needs to recompute a state's root, and the files it is read from."""
    state = encode(value, folders={"out": "/out"})
    save(state, folder)
    return {
        "root": state.root.hex(),
        "model": model_digest(state).hex(),
        "leaves": [
            {"path": each.path, "form": each.form, "content": each.content.hex()}
            for each in map(record, state.leaves)
        ],
        "structure": (folder / files.STRUCTURE_NAME).read_text(),
        "tensors": (folder / files.TENSORS_NAME).read_bytes().hex(),
    }


@pytest.mark.parametrize("name", sorted(golden()))
def test_states_keep_their_golden_bytes(name: str, tmp_path: Path) -> None:
    written = json.loads((VECTORS / f"{name}.json").read_text())
    assert vector(golden()[name], tmp_path) == written
    read = load(tmp_path, bytes_max=1 << 20)
    assert read.root.hex() == written["root"]
    assert tree.dumps(read.structure).decode() == written["structure"]


if __name__ == "__main__":
    import tempfile

    for each, value in golden().items():
        with tempfile.TemporaryDirectory() as scratch:
            text = json.dumps(vector(value, Path(scratch)), indent=1, ensure_ascii=False)
            (VECTORS / f"{each}.json").write_text(text + "\n")


def test_attributes_of_a_state_dict_come_back() -> None:
    module = torch.nn.BatchNorm1d(3)
    written = encode({"saved": module.state_dict()})
    found = decode(written)["saved"]
    assert found._metadata == module.state_dict()._metadata
    bare = encode({"saved": collections.OrderedDict(module.state_dict())})
    assert bare.root != written.root
