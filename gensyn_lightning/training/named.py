"""Values whose type has a name of its own: enums, named tuples, dataclasses, other dicts and lists.

Reading never imports: a name becomes a class through the caller's resolver or not at all, and the
instance is filled without running any code of that class.
"""

from __future__ import annotations

import argparse
import collections
import sys
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from typing import Any

from gensyn_lightning.errors import StateError

Resolver = Callable[[str], type | None]

NAME_MAX = 512
_BAGS: tuple[type, ...] = (argparse.Namespace, types.SimpleNamespace)
_STANDARD: dict[str, type] = {
    f"{each.__module__}:{each.__qualname__}": each for each in (collections.Counter, *_BAGS)
}


def name_of(kind: type) -> str:
    """Return `module:qualname`."""
    return f"{kind.__module__}:{kind.__qualname__}"


def resolve_loaded(name: str) -> type | None:
    """Find a class in the modules this process has loaded already; import nothing."""
    module_name, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module_name)
    for part in qualname.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) else None


def resolve(name: Any, resolver: Resolver | None) -> type:
    """Return the class called `name`; raise `StateError` when nobody vouches for it."""
    if not isinstance(name, str) or len(name) > NAME_MAX:
        raise StateError("a class name is malformed")
    found = _STANDARD.get(name) or (resolver(name) if resolver else None)
    if found is None:
        raise StateError(f"the class {name} is not known here")
    return found


def is_named_tuple(value: Any) -> bool:
    """Whether `value` is an instance of a named tuple."""
    return isinstance(value, tuple) and _names_tuple(type(value))


def is_record(value: Any) -> bool:
    """Whether `value` is a dataclass instance, or a namespace, and nothing else underneath."""
    kind = type(value)
    return kind in _BAGS or (is_dataclass(kind) and _plain_object(kind))


def is_plain_subclass(value: Any, parent: type) -> bool:
    """Whether `value` is a dict or list of another class without attributes of its own."""
    if not isinstance(value, parent) or isinstance(value, collections.defaultdict):
        return False
    slots = any(vars(each).get("__slots__") for each in type(value).__mro__)
    return not slots and not getattr(value, "__dict__", None)


def attributes(record: Any) -> dict[str, Any]:
    """Return a dataclass instance's fields, then its other attributes."""
    if type(record) in _BAGS:
        return dict(vars(record))
    named = {each.name: getattr(record, each.name) for each in fields(record) if _has(record, each)}
    return {**named, **getattr(record, "__dict__", {})}


def enum_node(member: Enum) -> dict[str, Any]:
    """Return the node of an enum's member; a combination of flags has no name, only a number."""
    name = name_of(type(member))
    if member._name_ in type(member).__members__:
        return {"$enum": [name, member._name_]}
    return {"$flag": [name, str(member._value_)]}


def enum_member(kind: type, name: Any) -> Enum:
    """Return the member of `kind` called `name`."""
    if not issubclass(kind, Enum) or name not in kind.__members__:
        raise StateError(f"{name_of(kind)} has no member {str(name)[:80]}")
    return kind.__members__[name]


def flags(kind: type, number: Any) -> Flag:
    """Return the combination of flags `number` of `kind`."""
    if not issubclass(kind, Flag) or not isinstance(number, str) or len(number) > 80:
        raise StateError(f"{name_of(kind)} has no such combination")
    return kind(int(number))


def named_tuple(kind: type, items: list[Any]) -> Any:
    """Return an instance of the named tuple `kind`."""
    if not (issubclass(kind, tuple) and _names_tuple(kind)) or len(items) != len(
        getattr(kind, "_fields", ())
    ):
        raise StateError(f"{name_of(kind)} is no named tuple of {len(items)} items")
    return tuple.__new__(kind, items)


def empty_record(kind: type) -> Any:
    """Return an instance of the dataclass `kind` without any attribute."""
    if kind in _BAGS:
        return kind()
    if not is_dataclass(kind) or not _plain_object(kind):
        raise StateError(f"{name_of(kind)} is no dataclass")
    return object.__new__(kind)


def set_attribute(record: Any, name: Any, value: Any) -> None:
    """Set an attribute past every property and `__setattr__` of its class."""
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
        raise StateError(f"{str(name)[:80]!r} is no attribute")
    slot = next((vars(each)[name] for each in type(record).__mro__ if name in vars(each)), None)
    if isinstance(slot, types.MemberDescriptorType):
        slot.__set__(record, value)
    elif hasattr(record, "__dict__"):
        record.__dict__[name] = value
    else:
        raise StateError(f"{type(record).__name__} has no attribute {name}")


def empty_subclass(kind: type, parent: type) -> Any:
    """Return an empty dict or list of class `kind`."""
    if not issubclass(kind, parent) or kind is parent:
        raise StateError(f"{name_of(kind)} is no kind of {parent.__name__}")
    made: Any = parent.__new__(kind)  # type: ignore[call-overload]
    return made


def _names_tuple(kind: type) -> bool:
    names = getattr(kind, "_fields", None)
    return isinstance(names, tuple) and all(isinstance(each, str) for each in names)


def _plain_object(kind: type) -> bool:
    """Whether an instance is nothing but its attributes: no builtin or module underneath."""
    others = [each for each in kind.__mro__ if each is not object and not is_dataclass(each)]
    return all(each.__module__ in ("typing", "abc") for each in others)


def _has(record: Any, each: Any) -> bool:
    return hasattr(record, each.name)
