"""The program's own objects, walked attribute by attribute: what training changed in them.

Modules, callbacks, the datamodule, schedulers and datasets are built by the program itself each
time it is loaded. Only what differs from that is recorded:

* a plain value that is not as the program's set-up left it;
* a reference to another object of the program, by that object's path;
* for an object (anything with attributes), its attributes, one by one, and its class if training
  made it;
* for a function or class that training put there, its name;
* for anything else (a lock, an open file) nothing, as long as it is still the very thing the
  set-up made. Putting another there, or a new module, cannot be expressed: `StateError` names
  the path.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.training import generators, named
from gensyn_lightning.training.anatomy import (
    KEPT_COPY_BYTES,
    Part,
    classify,
    is_only_attributes,
    join,
    key_name,
    parts,
    stands_somewhere,
    weight,
)
from gensyn_lightning.training.classes import find_loaded
from gensyn_lightning.training.fingerprint import fingerprint

NODES_MAX = 1 << 18
Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Root:
    """Where a walk begins: an object of the program, its path, and attributes to leave alone."""

    path: str
    value: Any
    skip: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """One thing a walk meets.

    `kind` is value, at, object, items, generator, tensor, handle or opaque.
    """

    path: str
    kind: str
    value: Any
    place: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the set-up left at a path: a mark to compare with, and a copy if it is small."""

    kind: str
    mark: Hashable
    copy: Any = None
    has_copy: bool = False


@dataclass(slots=True)
class Baseline:
    """What every run of the program starts from, by path."""

    kept: dict[str, Kept] = field(default_factory=dict)
    present: dict[str, Any] = field(default_factory=dict)
    find: Callable[[str], Any] = find_loaded

    def settle(self, nodes: Iterable[Node], known: Mapping[int, str]) -> None:
        """Remember the values that the program's set-up left."""
        for node in nodes:
            self.kept[node.path] = _keep(node, known)

    def survey(self, nodes: Iterable[Node]) -> None:
        """Remember which objects are there when training begins."""
        for node in nodes:
            if node.kind in ("object", "opaque", "generator", "items"):
                self.present[node.path] = node.value


def walk(roots: Iterable[Root], known: Mapping[int, str]) -> Iterator[Node]:
    """Yield everything reachable from `roots`, each object once, in an order its content decides.

    `known` gives the paths of objects that have a place already, by `id`.
    """
    walker = _Walker(dict(known))
    for root in roots:
        yield from walker.root(root)


def without_iterators(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield `nodes`; raise `StateError` at an iterator, since how far it has got is not known."""
    for node in nodes:
        is_file = isinstance(node.value, io.IOBase)
        if node.kind == "opaque" and isinstance(node.value, Iterator) and not is_file:
            raise StateError(
                f"{node.path} holds a {type(node.value).__name__}, an iterator, and how far that "
                "has got cannot be expressed as state",
                hint="count in a plain attribute, and make the iterator where it is used up",
            )
        yield node


def capture(nodes: Iterable[Node], baseline: Baseline, known: Mapping[int, str]) -> Entries:
    """Return what differs from `baseline`, by path; raise `StateError` for what cannot travel."""
    found: Entries = {}
    met: dict[str, str] = {}
    for node in nodes:
        met[node.path] = node.kind
        entry = _entry(node, baseline, known)
        if entry is not None:
            found[node.path] = entry
    for path in sorted(baseline.kept.keys() - met.keys()):
        if met.get(path.rpartition("/")[0]) == "object":
            found[path] = {"gone": True}
    return found


def undone(nodes: Iterable[Node], before: Baseline, known: Mapping[int, str]) -> Entries:
    """Return the plain values that were there `before`, of those that are others now.

    A large value, or one that is no plain value any more, is not among them.
    """
    found: Entries = {}
    for node in nodes:
        kept = before.kept.get(node.path)
        if kept is None or node.kind != "value" or not kept.has_copy:
            continue
        if kept.mark != _mark(node, known):
            found[node.path] = {"value": kept.copy}
    return found


def is_whole(nodes: Iterable[Node]) -> bool:
    """Return whether records hold all that these objects can remember from call to call."""
    inert = (FunctionType, BuiltinFunctionType, ModuleType, type)
    return all(isinstance(node.value, inert) for node in nodes if node.kind in ("opaque", "handle"))


def everything(nodes: Iterable[Node], known: Mapping[int, str]) -> tuple[Entries, list[str]]:
    """Return all plain values and references by path, and the paths of what had to stay out."""
    found: Entries = {}
    left_out = []
    for node in nodes:
        if node.kind in ("opaque", "handle"):
            left_out.append(node.path)
        elif node.kind != "object":
            found[node.path] = _written(node, known)
    return found, left_out


def _entry(node: Node, baseline: Baseline, known: Mapping[int, str]) -> dict[str, Any] | None:
    kept = baseline.kept.get(node.path)
    if node.kind == "handle":
        return None
    if node.kind == "opaque":
        return None if baseline.present.get(node.path) is node.value else _named(node, baseline)
    if node.kind == "object":
        is_there = type(baseline.present.get(node.path)) is type(node.value)
        return None if is_there else _made(node, baseline)
    if kept is not None and kept.kind == node.kind and kept.mark == _mark(node, known):
        return None
    return _written(node, known)


def _written(node: Node, known: Mapping[int, str]) -> dict[str, Any]:
    match node.kind:
        case "at":
            return {"at": node.place}
        case "generator":
            kind, state = generators.to_plain(node.value) or ("", None)
            return {"generator": (kind, state)}
        case "items":
            keys = [_key(each, known) for each in _keys(node.value)]
            return {"items": keys, "type": type(node.value).__name__}
        case "tensor":
            return {"tensor": node.value.detach(), "grad": node.value.requires_grad}
    return {"value": node.value}


def _made(node: Node, baseline: Baseline) -> dict[str, Any]:
    """Record an object that training made, if it is nothing but its attributes."""
    kind = type(node.value)
    name = named.name_of(kind)
    if not is_only_attributes(kind) or baseline.find(name) is not kind:
        raise _inexpressible(node)
    return {"made": name}


def _named(node: Node, baseline: Baseline) -> dict[str, Any]:
    """Record a function or class by its name, if that is how to find it."""
    if isinstance(node.value, FunctionType | BuiltinFunctionType | type):
        name = f"{node.value.__module__}:{node.value.__qualname__}"
        if baseline.find(name) is node.value:
            return {"named": name}
    raise _inexpressible(node)


def _inexpressible(node: Node) -> StateError:
    kind = type(node.value)
    return StateError(
        f"{node.path} holds a {kind.__module__}.{kind.__qualname__} made during training, "
        "which cannot be expressed as state",
        hint="make it in setup() or on_fit_start(), or keep its content in plain attributes",
    )


def _keep(node: Node, known: Mapping[int, str]) -> Kept:
    mark = _mark(node, known)
    if node.kind == "value" and weight(node.value) <= KEPT_COPY_BYTES:
        return Kept(node.kind, mark, copy.deepcopy(node.value), True)
    return Kept(node.kind, mark)


def _mark(node: Node, known: Mapping[int, str]) -> Hashable:
    match node.kind:
        case "at":
            return node.place
        case "value":
            return fingerprint(node.value, known)
        case "tensor":
            return fingerprint(node.value)
        case "generator":
            return fingerprint(generators.to_plain(node.value))
        case "items":
            return type(node.value), tuple(key_name(each, known) for each in _keys(node.value))
    return named.name_of(type(node.value))


def _key(key: Any, known: Mapping[int, str]) -> list[Any]:
    """Return a key as it is written: by its place if it is an object of the program."""
    return ["at", known[id(key)]] if stands_somewhere(key, known) else ["value", key]


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Mapping) else list(range(len(value)))


class _Walker:
    def __init__(self, known: dict[int, str]) -> None:
        self._known = known
        self._alive: list[Any] = []
        self._count = 0

    def root(self, root: Root) -> Iterator[Node]:
        self._known.setdefault(id(root.value), root.path)
        kind = "items" if isinstance(root.value, list) else "object"
        yield Node(root.path, kind, root.value)
        for part in parts(root.value, skip=root.skip, at_root=True):
            yield from self._part(root.path, part)

    def _part(self, parent: str, part: Part) -> Iterator[Node]:
        self._count += 1
        if self._count > NODES_MAX:
            raise LimitExceeded(
                f"the program keeps more than {NODES_MAX} attributes",
                hint="keep large tables in tensors or arrays",
            )
        path, value = join(parent, key_name(part.name, self._known)), part.value
        kind = part.kind or classify(value, self._known)
        if kind == "opaque" and part.may_be_handle:
            kind = "handle"
        if kind == "at":
            yield Node(path, kind, value, self._known[id(value)])
            return
        yield Node(path, kind, value)
        if kind in ("object", "items", "generator", "tensor"):
            self._known[id(value)] = path
            self._alive.append(value)
        if kind in ("object", "items"):
            for inner in parts(value):
                yield from self._part(path, inner)
