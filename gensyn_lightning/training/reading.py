"""A tagged tree as the Python value it stands for; nothing in it can name code to run."""

from __future__ import annotations

import collections
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.protocol.canonical import SAFE_INTEGER_MAX
from gensyn_lightning.training import atoms, generators, named, tree
from gensyn_lightning.training.named import Resolver
from gensyn_lightning.training.writing import FACTORIES

_MADE = {name: factory for factory, name in FACTORIES.items()}
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_CROWD = 1024  # from here on, keys that all hash alike are an attack and no accident


class Reader:
    """One walk over one tree; `leaves` holds its tensors, arrays and packed runs by path."""

    def __init__(
        self,
        leaves: Mapping[str, Any],
        folders: Mapping[str, Path | str],
        resolver: Resolver | None,
    ) -> None:
        self._leaves = leaves
        self._folders = {name: str(path).rstrip("/") for name, path in folders.items()}
        self._resolver = resolver
        self._built: dict[str, Any] = {}
        self._used: set[str] = set()
        self._in_key = 0
        self._readers: dict[str, Callable[[Any, str, int], Any]] = {
            "$leaf": self._leaf,
            "$ref": self._ref,
            "$in": self._inside,
            "$path": lambda payload, *_: Path(self._text(payload)),
            "$pure_path": lambda payload, *_: PurePosixPath(self._text(payload)),
            "$dict": self._dict,
            "$ordered_dict": self._ordered_dict,
            "$annotated_dict": self._annotated_dict,
            "$defaultdict": self._defaultdict,
            "$mapping": self._mapping,
            "$sequence": self._sequence,
            "$object": self._object,
            "$tuple": lambda payload, path, depth: tuple(self._items(payload, path, depth)),
            "$named_tuple": self._named_tuple,
            "$set": self._set,
            "$frozenset": lambda payload, path, depth: frozenset(self._members(payload, depth)),
            "$deque": self._deque,
            "$range": lambda payload, path, depth: range(*self._items(payload, path, depth)),
            "$slice": lambda payload, path, depth: slice(*self._items(payload, path, depth)),
            "$enum": self._enum,
            "$flag": self._flag,
            "$generator": self._generator,
        }

    def read(self, node: Any) -> Any:
        """Return the value of the whole tree; raise `StateError` when it stands for none."""
        try:
            value = self._value(node, "", 0)
        except _MALFORMED as error:
            raise StateError(f"the state's tree is malformed: {error!r:.200}") from None
        if len(self._used) != len(self._leaves):
            unused = min(set(self._leaves) - self._used)
            raise StateError(f"the leaf {unused[:200]} is nowhere in the state's tree")
        return value

    def _value(self, node: Any, path: str, depth: int) -> Any:
        if node is None or isinstance(node, bool | str):
            return node
        if isinstance(node, int):
            return _small(node)
        if depth > tree.DEPTH_MAX:
            raise LimitExceeded(f"{path[:200]} is nested deeper than {tree.DEPTH_MAX}")
        if isinstance(node, list):
            return self._list(node, path, depth)
        return self._tagged(node, path, depth)

    def _tagged(self, node: Any, path: str, depth: int) -> Any:
        if not isinstance(node, dict) or len(node) != 1:
            raise StateError(f"{path[:200]} holds a node that stands for nothing")
        ((tag, payload),) = node.items()
        read = self._readers.get(tag)
        if read is not None:
            return read(payload, path, depth)
        if not atoms.is_atom(tag):
            raise StateError(f"{path[:200]} holds the unknown tag {tag[:40]!r}")
        return atoms.read_atom(tag, payload)

    def _keep(self, path: str, value: Any) -> Any:
        if self._in_key:
            raise StateError(f"{path[:200]} has a key that can change")
        self._built[path] = value
        return value

    def _leaf(self, payload: Any, path: str, _: int) -> Any:
        if payload is not None or self._in_key or path in self._used or path not in self._leaves:
            raise StateError(f"{path[:200]} is no leaf of this state")
        self._used.add(path)
        return self._keep(path, self._leaves[path])

    def _ref(self, payload: Any, path: str, _: int) -> Any:
        if self._in_key or payload not in self._built:
            raise StateError(f"{path[:200]} refers to nothing")
        return self._built[payload]

    def _text(self, node: Any) -> str:
        text = self._value(node, "", 0)
        if not isinstance(text, str):
            raise StateError("a path is no text")
        return text

    def _inside(self, payload: Any, path: str, _: int) -> str:
        name, rest = payload
        if name not in self._folders:
            raise StateError(f"{path[:200]} lies in the folder {str(name)[:80]!r}, unknown here")
        if not isinstance(rest, str) or rest[:1] not in ("", "/") or ".." in rest.split("/"):
            raise StateError(f"{path[:200]} leaves its folder")
        return self._folders[name] + rest

    def _dict(self, payload: Any, path: str, depth: int) -> Any:
        return self._fill(self._keep(path, {}), payload, path, depth)

    def _ordered_dict(self, payload: Any, path: str, depth: int) -> Any:
        made: Any = collections.OrderedDict()
        return self._fill(self._keep(path, made), payload, path, depth)

    def _annotated_dict(self, payload: Any, path: str, depth: int) -> Any:
        pairs, beside = payload
        made = self._ordered_dict(pairs, path, depth)
        for name, value in self._fill({}, beside, tree.beside(path), depth).items():
            named.set_attribute(made, name, value)
        return made

    def _defaultdict(self, payload: Any, path: str, depth: int) -> Any:
        factory, pairs = payload
        made: Any = collections.defaultdict(_MADE[factory])
        return self._fill(self._keep(path, made), pairs, path, depth)

    def _mapping(self, payload: Any, path: str, depth: int) -> Any:
        name, pairs = payload
        made = named.empty_subclass(named.resolve(name, self._resolver), dict)
        return self._fill(self._keep(path, made), pairs, path, depth)

    def _fill(self, made: dict[Any, Any], payload: Any, path: str, depth: int) -> Any:
        pairs = tree.pairs_of(payload, path)
        keys = self._keys([key for key, _ in pairs], depth)
        ordered = isinstance(made, collections.OrderedDict)
        put = collections.OrderedDict.__setitem__ if ordered else dict.__setitem__
        for key, (name, node) in zip(keys, pairs, strict=True):
            inner = self._value(node, tree.child(path, name), depth + 1)
            put(made, key, inner)
        if len(made) != len(pairs):
            raise StateError(f"{path[:200]} has a key twice")
        return made

    def _keys(self, nodes: list[Any], depth: int) -> list[Hashable]:
        self._in_key += 1
        keys: list[Hashable] = [self._value(each, "(key)", depth + 1) for each in nodes]
        self._in_key -= 1
        if len(keys) > _CROWD and len({hash(each) for each in keys}) < len(keys) // 2:
            raise LimitExceeded("too many keys hash alike")
        return keys

    def _object(self, payload: Any, path: str, depth: int) -> Any:
        name, pairs = payload
        made = self._keep(path, named.empty_record(named.resolve(name, self._resolver)))
        for key, node in tree.pairs_of(pairs, path):
            value = self._value(node, tree.child(path, key), depth + 1)
            named.set_attribute(made, key, value)
        return made

    def _list(self, payload: list[Any], path: str, depth: int) -> Any:
        made: list[Any] = self._keep(path, [])
        made.extend(self._items(payload, path, depth))
        return made

    def _sequence(self, payload: Any, path: str, depth: int) -> Any:
        name, items = payload
        made = self._keep(path, named.empty_subclass(named.resolve(name, self._resolver), list))
        list.extend(made, self._items(items, path, depth))
        return made

    def _deque(self, payload: Any, path: str, depth: int) -> Any:
        longest, items = payload
        made: Any = self._keep(path, collections.deque(maxlen=longest))
        made.extend(self._items(items, path, depth))
        return made

    def _named_tuple(self, payload: Any, path: str, depth: int) -> Any:
        name, items = payload
        kind = named.resolve(name, self._resolver)
        return named.named_tuple(kind, self._items(items, path, depth))

    def _items(self, payload: Any, path: str, depth: int) -> list[Any]:
        if not isinstance(payload, list):
            raise StateError(f"{path[:200]} holds something else than a list")
        return [
            self._value(node, tree.item(path, index), depth + 1)
            for index, node in enumerate(payload)
        ]

    def _set(self, payload: Any, path: str, depth: int) -> Any:
        made: set[Any] = self._keep(path, set())
        made.update(self._members(payload, depth))
        return made

    def _members(self, payload: Any, depth: int) -> list[Hashable]:
        if not isinstance(payload, list):
            raise StateError("a set holds something else than a list")
        members = self._keys(payload, depth)
        if len(set(members)) != len(members):
            raise StateError("a set has a member twice")
        return members

    def _enum(self, payload: Any, path: str, _: int) -> Any:
        name, member = payload
        return named.enum_member(named.resolve(name, self._resolver), member)

    def _flag(self, payload: Any, path: str, _: int) -> Any:
        name, number = payload
        return named.flags(named.resolve(name, self._resolver), number)

    def _generator(self, payload: Any, path: str, depth: int) -> Any:
        kind, node = payload
        state = self._value(node, tree.child(path, "state"), depth + 1)
        return self._keep(path, generators.from_plain(kind, state))


def _small(number: int) -> int:
    if abs(number) > SAFE_INTEGER_MAX:
        raise StateError("an integer is larger than JSON readers agree on")
    return number
