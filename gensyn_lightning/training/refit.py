"""Puts recorded attributes back into the objects of a freshly built program, in place."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import generators, randomness
from gensyn_lightning.training.anatomy import (
    assign,
    classify,
    is_only_attributes,
    join,
    key_name,
    last_name,
    parts,
    remove,
)
from gensyn_lightning.training.fingerprint import fingerprint
from gensyn_lightning.training.objects import Baseline, Entries, Root

_MISSING = object()


def refit(
    roots: Iterable[Root],
    entries: Entries,
    known: Mapping[int, str],
    places: Mapping[str, Any],
    baseline: Baseline | None = None,
) -> None:
    """Make `roots` hold what `entries` recorded; whatever is not recorded is as the set-up left it.

    `places` gives the object that stands at each path of `known`. Without a baseline only what
    was recorded is touched. Raises `StateError` for a record that does not fit the program.
    """
    task = _Refit(entries, dict(known), dict(places), baseline)
    for root in roots:
        task.root(root)


class _Refit:
    def __init__(
        self,
        entries: Entries,
        known: dict[int, str],
        places: dict[str, Any],
        baseline: Baseline | None,
    ) -> None:
        self._entries = entries
        self._known = known
        self._places = places
        self._baseline = baseline
        self._inner: dict[str, list[str]] = {}
        for path in entries:
            self._inner.setdefault(path.rpartition("/")[0], []).append(path)

    def root(self, root: Root) -> None:
        self._known.setdefault(id(root.value), root.path)
        self._places.setdefault(root.path, root.value)
        if isinstance(root.value, list):
            entry = self._entries.get(root.path)
            keys = None if entry is None else self._keys(root.path, entry)
            self._contents(root.path, root.value, keys)
        else:
            self._object(root.value, root.path, root)

    def _object(self, owner: Any, path: str, root: Root | None = None) -> None:
        skip = root.skip if root else frozenset()
        live = {
            join(path, part.name): part
            for part in parts(owner, skip=skip, at_root=root is not None)
        }
        names = {each: last_name(each) for each in self._inner.get(path, ())}
        names.update({each: part.name for each, part in live.items()})
        for each in sorted(names, key=lambda one: str(names[one])):
            part = live.get(each)
            before = part.value if part else _MISSING
            after = self._after(each, before, part.kind if part else "")
            if after is before:
                continue
            if after is _MISSING:
                remove(owner, str(names[each]))
            else:
                assign(owner, str(names[each]), after)

    def _after(self, path: str, before: Any, kind: str) -> Any:
        """Return what belongs at `path`, given what is there."""
        entry = self._entries.get(path)
        if entry is None:
            return self._unrecorded(path, before, kind)
        match entry:
            case {"value": value}:
                after = value
            case {"gone": _}:
                after = _MISSING
            case {"at": place}:
                after = self._at(place, path)
            case {"generator": (generator, state)}:
                after = self._generator(path, before, generator, state)
            case {"tensor": _}:
                after = self._tensor(path, before, entry)
            case {"items": _}:
                after = self._items(path, before, entry)
            case _:
                after = self._found(path, before, entry)
        return after

    def _found(self, path: str, before: Any, entry: Mapping[str, Any]) -> Any:
        """Return what a record names: a function or class, or a new object of a class."""
        found = None if self._baseline is None else self._baseline.find(*entry.values())
        if self._baseline is None:
            return before
        if "named" in entry and found is not None:
            return found
        if not isinstance(found, type) or not is_only_attributes(found):
            raise StateError(f"{path} names {list(entry.values())}, which is not known here")
        made: Any = object.__new__(found)
        self._note(path, made)
        self._object(made, path)
        return made

    def _unrecorded(self, path: str, before: Any, kind: str) -> Any:
        if before is _MISSING:
            return before
        kept = self._baseline.kept.get(path) if self._baseline else None
        if kept is not None and kept.kind == "value":
            if kept.has_copy and fingerprint(before, self._known) != kept.mark:
                return copy.deepcopy(kept.copy)
            return before
        kind = kind or classify(before, self._known)
        if kind == "value" and self._baseline is not None:
            return _MISSING
        if kind in ("object", "items", "generator", "tensor"):
            self._note(path, before)
        if kind == "object":
            self._object(before, path)
        return self._contents(path, before, None) if kind == "items" else before

    def _items(self, path: str, before: Any, entry: Mapping[str, Any]) -> Any:
        kinds = {"list": list, "dict": dict, "tuple": tuple}
        kind = kinds.get(entry["type"])
        if kind is None or type(before).__name__ == entry["type"]:
            if before is _MISSING:
                raise StateError(f"{path} was a {entry['type']}, which only the program can make")
            return self._contents(path, before, self._keys(path, entry))
        return self._contents(path, kind(), self._keys(path, entry))

    def _contents(self, path: str, before: Any, keys: list[Any] | None) -> Any:
        """Return the container with the items its record names; the same object if it can be."""
        if not isinstance(before, tuple):
            self._note(path, before)
        live = dict(before) if isinstance(before, dict) else dict(enumerate(before))
        after = {}
        for key in live if keys is None else keys:
            inner = join(path, key_name(key, self._known))
            value = self._after(inner, live.get(key, _MISSING), "")
            if value is not _MISSING:
                after[key] = value
        if isinstance(before, dict):
            if list(after) != list(before):
                before.clear()
            before.update(after)
            return before
        made = list(after.values())
        if isinstance(before, list):
            before[:] = made
            return before
        same = len(made) == len(before) and all(
            left is right for left, right in zip(made, before, strict=True)
        )
        return before if same else tuple(made)

    def _keys(self, path: str, entry: Mapping[str, Any]) -> list[Any]:
        return [self._at(key, path) if kind == "at" else key for kind, key in entry["items"]]

    def _at(self, place: str, path: str) -> Any:
        if place not in self._places:
            raise StateError(f"{path} refers to {place}, which this program does not have")
        return self._places[place]

    def _generator(self, path: str, before: Any, kind: str, state: Any) -> Any:
        live = None if before is _MISSING else generators.to_plain(before)
        if live is None or live[0] != kind:
            return generators.from_plain(kind, state)
        randomness.put_into(before, kind, state)
        self._note(path, before)
        return before

    def _tensor(self, path: str, before: Any, entry: Mapping[str, Any]) -> Any:
        if before is _MISSING:
            raise StateError(f"{path} is a parameter that this program does not have")
        before.data = entry["tensor"]
        before.requires_grad_(bool(entry["grad"]))
        self._note(path, before)
        return before

    def _note(self, path: str, value: Any) -> None:
        self._known[id(value)] = path
        self._places[path] = value


__all__ = ["refit"]
