"""Any nested Python value as a tagged tree, with its tensors set aside as blocks of memory."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path, PosixPath, PurePosixPath
from typing import Any

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.training import atoms, generators, memory, named, tree
from gensyn_lightning.training.memory import PACKED_MIN, Block

OnUnknown = Callable[[str, object], object]

FACTORIES: dict[type | None, str | None] = {
    None: None,
    bool: "bool",
    dict: "dict",
    float: "float",
    int: "int",
    list: "list",
    set: "set",
    str: "str",
    tuple: "tuple",
}
_DOTS = re.compile(r"(^|/)\.\.?(/|$)")


class _Drop:
    """The answer of `on_unknown` that leaves a value out."""

    def __repr__(self) -> str:
        return "DROP"


DROP = _Drop()


class _Dropped(Exception):
    """A value was left out; the nearest dict entry around it goes with it."""


class Writer:
    """One walk over one value. Shared mutable objects, also cyclic ones, become `$ref`s."""

    def __init__(self, folders: Mapping[str, Path | str], on_unknown: OnUnknown | None) -> None:
        self.blocks: list[Block] = []
        self.classes: dict[str, type] = {}
        self._on_unknown = on_unknown
        self._seen: dict[int, str] = {}
        self._kept: list[object] = []
        self._in_key = 0
        places = [(str(path).rstrip("/"), name) for name, path in folders.items()]
        self._folders = sorted(places, key=lambda each: (-len(each[0]), each))
        self._simple: dict[type, Callable[[Any], Any]] = {
            type(None): lambda value: value,
            bool: lambda value: value,
            int: atoms.integer_node,
            float: atoms.float_node,
            str: self._text,
        }
        self._writers: dict[type, Callable[[Any, str, int], Any]] = {
            dict: self._dict,
            list: self._list,
            tuple: self._tuple,
            set: lambda value, path, depth: {"$set": self._members(value, path, depth)},
            frozenset: lambda value, path, depth: {"$frozenset": self._members(value, path, depth)},
            bytes: self._bytes,
            bytearray: self._bytearray,
            collections.deque: self._deque,
            collections.defaultdict: self._defaultdict,
            collections.OrderedDict: self._ordered_dict,
            range: self._range,
            slice: self._slice,
            PosixPath: lambda value, *_: {"$path": self._text(str(value))},
            PurePosixPath: lambda value, *_: {"$pure_path": self._text(str(value))},
        }

    def write(self, value: Any) -> Any:
        """Return the tree of `value`."""
        try:
            return self._node(value, "", 0)
        except _Dropped:
            raise StateError("the whole state was left out") from None

    def _node(self, value: Any, path: str, depth: int, unknown: bool = False) -> Any:
        simple = self._simple.get(type(value))
        if simple is not None:
            return simple(value)
        if depth > tree.DEPTH_MAX:
            raise LimitExceeded(f"{path[:200]} is nested deeper than {tree.DEPTH_MAX}")
        seen = self._seen.get(id(value))
        if seen is not None:
            return {"$ref": seen}
        write = self._writers.get(type(value))
        if write is not None:
            return write(value, path, depth)
        node = self._other(value, path, depth)
        return node if node is not None else self._unknown(value, path, depth, unknown)

    def _other(self, value: Any, path: str, depth: int) -> Any:
        """Return the node of a value whose class is not in the table, or None."""
        if isinstance(value, Enum):
            self._name(type(value))
            return named.enum_node(value)
        node = atoms.atom_node(value)
        if node is None and named.is_named_tuple(value):
            items = self._items(value, path, depth)
            return {"$named_tuple": [self._name(type(value)), items]}
        if node is not None or self._in_key:
            return node
        block = memory.block(path, value)
        if block is not None:
            self._remember(value, path)
            self.blocks.append(block)
            return tree.LEAF
        return self._object(value, path, depth)

    def _object(self, value: Any, path: str, depth: int) -> Any:
        generator = generators.to_plain(value)
        if generator is not None:
            self._remember(value, path)
            kind, state = generator
            return {"$generator": [kind, self._node(state, tree.child(path, "state"), depth + 1)]}
        if named.is_record(value):
            self._remember(value, path)
            pairs = self._pairs(named.attributes(value), path, depth)
            return {"$object": [self._name(type(value)), pairs]}
        if named.is_plain_subclass(value, dict):
            self._remember(value, path)
            return {"$mapping": [self._name(type(value)), self._pairs(value, path, depth)]}
        if named.is_plain_subclass(value, list):
            self._remember(value, path)
            return {"$sequence": [self._name(type(value)), self._items(value, path, depth)]}
        return None

    def _unknown(self, value: Any, path: str, depth: int, again: bool) -> Any:
        if self._on_unknown is None or again:
            raise StateError(
                f"{path or 'the state'}: {named.name_of(type(value))} cannot be part of a state",
                hint="keep plain values, tensors and arrays there, or exclude it",
            )
        self._kept.append(value)
        instead = self._on_unknown(path, value)
        if instead is DROP:
            raise _Dropped
        return self._node(instead, path, depth, unknown=True)

    def _remember(self, value: object, path: str) -> None:
        self._seen[id(value)] = path
        self._kept.append(value)

    def _mutable(self, value: object, path: str) -> None:
        if self._in_key:
            raise StateError(f"{path}: {type(value).__name__} cannot be a key")
        self._remember(value, path)

    def _name(self, kind: type) -> str:
        name = named.name_of(kind)
        self.classes[name] = kind
        return name

    def _text(self, value: str) -> Any:
        if value[:1] == "/":
            for folder, name in self._folders:
                rest = value[len(folder) :]
                if value.startswith(folder) and rest[:1] in ("", "/") and not _DOTS.search(rest):
                    return {"$in": [name, rest]}
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return {"$str": value.encode(errors="surrogatepass").hex()}
        return value

    def _dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        self._mutable(value, path)
        return {"$dict": self._pairs(value, path, depth)}

    def _ordered_dict(self, value: Mapping[Any, Any], path: str, depth: int) -> Any:
        self._mutable(value, path)
        pairs, attributes = self._pairs(value, path, depth), vars(value)
        if not attributes:
            return {"$ordered_dict": pairs}
        # A `state_dict` says in an attribute which version each module was.
        beside = self._pairs(attributes, tree.beside(path), depth)
        return {"$annotated_dict": [pairs, beside]}

    def _defaultdict(self, value: Any, path: str, depth: int) -> Any:
        if value.default_factory not in FACTORIES:
            return self._unknown(value, path, depth, False)
        self._mutable(value, path)
        pairs = self._pairs(value, path, depth)
        return {"$defaultdict": [FACTORIES[value.default_factory], pairs]}

    def _pairs(self, value: Mapping[Any, Any], path: str, depth: int) -> list[Any]:
        pairs = []
        for key, inner in value.items():
            mark = len(self._kept), len(self.blocks)
            try:
                name = self._key(key, path, depth)
                pairs.append([name, self._node(inner, tree.child(path, name), depth + 1)])
            except _Dropped:
                self._forget(*mark)
        return pairs

    def _forget(self, kept: int, blocks: int) -> None:
        """Undo what a dropped entry left behind, so that nothing refers to it."""
        for each in self._kept[kept:]:
            self._seen.pop(id(each), None)
        del self._kept[kept:], self.blocks[blocks:]

    def _key(self, key: Any, path: str, depth: int) -> Any:
        self._in_key += 1
        try:
            return self._node(key, path, depth + 1)
        finally:
            self._in_key -= 1

    def _items(self, values: Iterable[Any], path: str, depth: int) -> list[Any]:
        return [
            self._node(each, tree.item(path, index), depth + 1) for index, each in enumerate(values)
        ]

    def _members(self, values: Iterable[Any], path: str, depth: int) -> list[Any]:
        if isinstance(values, set):
            self._mutable(values, path)
        return sorted((self._key(each, path, depth) for each in values), key=tree.dumps)

    def _list(self, value: list[Any], path: str, depth: int) -> Any:
        self._mutable(value, path)
        return self._run(value, "list", path) or self._items(value, path, depth)

    def _tuple(self, value: tuple[Any, ...], path: str, depth: int) -> Any:
        return self._run(value, "tuple", path) or {"$tuple": self._items(value, path, depth)}

    def _run(self, value: Any, noun: str, path: str) -> Any:
        """Return a leaf for a long run of integers or of floats, else None."""
        if self._in_key or len(value) < PACKED_MIN:
            return None
        kinds = set(map(type, value))
        if kinds not in ({int}, {float}):
            return None
        return self._packed(f"{kinds.pop().__name__} {noun}", value, path)

    def _packed(self, kind: str, value: Any, path: str) -> Any:
        block = memory.packed(path, kind, value)
        if block is None:
            return None
        self.blocks.append(block)
        return tree.LEAF

    def _bytes(self, value: bytes, path: str, _: int) -> Any:
        if self._in_key or len(value) < PACKED_MIN:
            return {"$bytes": value.hex()}
        return self._packed("bytes", value, path)

    def _bytearray(self, value: bytearray, path: str, _: int) -> Any:
        self._mutable(value, path)
        return self._packed("bytearray", value, path)

    def _deque(self, value: collections.deque[Any], path: str, depth: int) -> Any:
        self._mutable(value, path)
        return {"$deque": [value.maxlen, self._items(value, path, depth)]}

    def _range(self, value: range, path: str, depth: int) -> Any:
        return {"$range": self._items((value.start, value.stop, value.step), path, depth)}

    def _slice(self, value: slice, path: str, depth: int) -> Any:
        return {"$slice": self._items((value.start, value.stop, value.step), path, depth)}
