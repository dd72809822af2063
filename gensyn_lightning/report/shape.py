"""The form of a JSON document: one description that checks a value and gives its JSON Schema.

A shape is strict: no missing and no surplus member, every list and text bounded. It says nothing
about what the values mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from typing import Any, Protocol, get_args, get_origin, get_type_hints

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce
from gensyn_lightning.protocol.jsonform import LIST_MAX
from gensyn_lightning.protocol.parameters import STRING_BYTES_MAX

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_HEX = frozenset("0123456789abcdef")
_COUNT_MAX = 2**53 - 1


class Shape(Protocol):
    """What a JSON value must look like."""

    def check(self, value: Any, where: str) -> None:
        """MUST raise `Malformed` or `LimitExceeded`, naming `where`, unless the value fits."""

    def schema(self) -> dict[str, Any]:
        """MUST return the JSON Schema that accepts the same values, up to bounds in bytes."""


@dataclass(frozen=True)
class Exactly:
    """One fixed text."""

    text: str

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is the text."""
        if value != self.text:
            raise Malformed(f"{where} must be {self.text!r}")

    def schema(self) -> dict[str, Any]:
        """Return a constant."""
        return {"const": self.text}


@dataclass(frozen=True)
class Text:
    """A text of at most `bytes_max` bytes in UTF-8."""

    bytes_max: int = STRING_BYTES_MAX

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is such a text."""
        if not isinstance(value, str):
            raise Malformed(f"{where} must be a text")
        if len(value.encode(errors="surrogatepass")) > self.bytes_max:
            raise LimitExceeded(f"{where} is longer than {self.bytes_max} bytes")

    def schema(self) -> dict[str, Any]:
        """Return a string bounded in characters."""
        return {"type": "string", "maxLength": self.bytes_max}


@dataclass(frozen=True)
class Hex:
    """So many bytes as lower-case hexadecimal."""

    size: int

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is such a text."""
        if not isinstance(value, str) or len(value) != 2 * self.size or not _HEX.issuperset(value):
            raise Malformed(f"{where} must be {2 * self.size} lower-case hexadecimal digits")

    def schema(self) -> dict[str, Any]:
        """Return a pattern."""
        return {"type": "string", "pattern": f"^[0-9a-f]{{{2 * self.size}}}$"}


@dataclass(frozen=True)
class Amount:
    """Money: a decimal text without leading zeros."""

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is such a text."""
        fits = isinstance(value, str) and value.isascii() and value.isdecimal()
        if not fits or len(value) > 78 or str(int(value)) != value:
            raise Malformed(f"{where} must be an amount in the smallest unit")

    def schema(self) -> dict[str, Any]:
        """Return a pattern."""
        return {"type": "string", "pattern": "^(0|[1-9][0-9]{0,77})$"}


@dataclass(frozen=True)
class Count:
    """An integer that is not negative."""

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is such an integer."""
        if type(value) is not int or not 0 <= value <= _COUNT_MAX:
            raise Malformed(f"{where} must be an integer that is not negative")

    def schema(self) -> dict[str, Any]:
        """Return a bounded integer."""
        return {"type": "integer", "minimum": 0, "maximum": _COUNT_MAX}


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is a boolean."""
        if type(value) is not bool:
            raise Malformed(f"{where} must be true or false")

    def schema(self) -> dict[str, Any]:
        """Return a boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class OneOf:
    """One of a few texts."""

    choices: tuple[str, ...]

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is among the choices."""
        if value not in self.choices:
            raise Malformed(f"{where} must be one of {', '.join(self.choices)}")

    def schema(self) -> dict[str, Any]:
        """Return an enumeration."""
        return {"enum": list(self.choices)}


@dataclass(frozen=True)
class Maybe:
    """A shape, or null for what does not exist."""

    inner: Shape

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is null or fits."""
        if value is not None:
            self.inner.check(value, where)

    def schema(self) -> dict[str, Any]:
        """Return either."""
        return {"anyOf": [{"type": "null"}, self.inner.schema()]}


@dataclass(frozen=True)
class ListOf:
    """A list of at most `count_max` values of one shape."""

    inner: Shape
    count_max: int

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is a list, not too long, whose members fit."""
        if not isinstance(value, list):
            raise Malformed(f"{where} must be a list")
        if len(value) > self.count_max:
            raise LimitExceeded(f"{where} has {len(value)} entries, more than {self.count_max}")
        for index, each in enumerate(value):
            self.inner.check(each, f"{where}[{index}]")

    def schema(self) -> dict[str, Any]:
        """Return a bounded array."""
        return {"type": "array", "maxItems": self.count_max, "items": self.inner.schema()}


@dataclass(frozen=True)
class MapOf:
    """An object with free names, all of one shape, and members of another."""

    name: Hex
    inner: Shape
    count_max: int

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value is an object, not too large, whose names and members fit."""
        if not isinstance(value, Mapping):
            raise Malformed(f"{where} must be an object")
        if len(value) > self.count_max:
            raise LimitExceeded(f"{where} has {len(value)} members, more than {self.count_max}")
        for name, each in value.items():
            self.name.check(name, f"a name in {where}")
            self.inner.check(each, f"{where}.{name}")

    def schema(self) -> dict[str, Any]:
        """Return a bounded object."""
        return {
            "type": "object",
            "maxProperties": self.count_max,
            "propertyNames": self.name.schema(),
            "additionalProperties": self.inner.schema(),
        }


@dataclass(frozen=True)
class Members:
    """An object with exactly these members."""

    members: Mapping[str, Shape]

    def check(self, value: Any, where: str) -> None:
        """Raise unless the value has exactly these members and each fits."""
        if not isinstance(value, Mapping):
            raise Malformed(f"{where} must be an object")
        if value.keys() != self.members.keys():
            odd = sorted(value.keys() ^ self.members.keys())
            raise Malformed(f"{where} has missing or surplus members: {odd[:8]}")
        for name, shape in self.members.items():
            shape.check(value[name], f"{where}.{name}")

    def schema(self) -> dict[str, Any]:
        """Return a closed object."""
        return {
            "type": "object",
            "required": list(self.members),
            "additionalProperties": False,
            "properties": {name: shape.schema() for name, shape in self.members.items()},
        }


@cache
def record(record_type: type) -> Shape:
    """Return the shape that `protocol.jsonform.to_json` gives records of a type."""
    hints = get_type_hints(record_type)
    bound = getattr(record_type, "LIST_MAX", LIST_MAX)
    names = [each.name for each in fields(record_type)]
    return Members({name: _field(hints[name], bound) for name in names})


def names(kind: type[IntEnum]) -> OneOf:
    """Return the shape of an enum's names."""
    return OneOf(tuple(kind.__members__))


def _field(kind: Any, count_max: int) -> Shape:
    atoms: dict[Any, Shape] = {
        Digest: Hex(32),
        Address: Hex(20),
        Nonce: Hex(16),
        Money: Amount(),
        int: Count(),
        str: Text(),
        bool: Flag(),
    }
    if kind in atoms:
        return atoms[kind]
    if get_origin(kind) is tuple:
        return ListOf(_field(get_args(kind)[0], count_max), count_max)
    return names(kind) if issubclass(kind, IntEnum) else record(kind)
