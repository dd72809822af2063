"""Records as JSON values and back: what event logs, statements and reports carry.

Digests, addresses and nonces are lower-case hexadecimal, money is a decimal string, enums are
their names, other integers are numbers. Reading validates: a record that exists is well-formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce
from gensyn_lightning.protocol.parameters import STRING_BYTES_MAX

Record = TypeVar("Record")

LIST_MAX = 4096
_BYTES: dict[Any, int] = {Digest: 32, Address: 20, Nonce: 16}
_UINT64_MAX = 2**64 - 1
_UINT256_MAX = 2**256 - 1


def to_json(record: Any) -> dict[str, Any]:
    """Return the record as a JSON object with a member per field."""
    record_type: type = type(record)
    hints = _hints(record_type)
    return {each.name: _to(hints[each.name], getattr(record, each.name)) for each in fields(record)}


def from_json(record_type: type[Record], value: Any) -> Record:
    """Read a record; raise `Malformed` unless `value` has exactly its fields, each of its type."""
    if not isinstance(value, Mapping):
        raise Malformed(f"{record_type.__name__} must be a JSON object")
    kind: type = record_type
    hints = _hints(kind)
    names = [each.name for each in fields(kind)]
    if set(value) != set(names):
        odd = sorted(set(value) ^ set(names))
        raise Malformed(f"{record_type.__name__} has missing or surplus fields: {odd[:8]}")
    limit = getattr(record_type, "LIST_MAX", LIST_MAX)  # a record may state a bound of its own
    return record_type(**{name: _from(hints[name], value[name], name, limit) for name in names})


@cache
def _hints(record_type: type) -> dict[str, Any]:
    return get_type_hints(record_type)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, IntEnum)


def _to(kind: Any, value: Any) -> Any:
    if kind in _BYTES:
        return value.hex()
    if kind is Money:
        return str(value)
    if get_origin(kind) is tuple:
        return [_to(get_args(kind)[0], each) for each in value]
    if _is_enum(kind):
        return value.name
    return to_json(value) if _is_record(kind) else value


def _from(kind: Any, value: Any, name: str, limit: int) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise Malformed(f"{name} must be a list")
        if len(value) > limit:
            raise LimitExceeded(f"{name} has {len(value)} entries, more than {limit}")
        return tuple(_from(get_args(kind)[0], each, name, limit) for each in value)
    if _is_record(kind):
        return from_json(kind, value)
    return _atom(kind, value, name)


def _atom(kind: Any, value: Any, name: str) -> Any:
    if kind is int or kind is bool:
        if type(value) is not kind or (kind is int and not 0 <= value <= _UINT64_MAX):
            raise Malformed(
                f"{name} must be {'an unsigned integer' if kind is int else 'a boolean'}"
            )
        return value
    if not isinstance(value, str):
        raise Malformed(f"{name} must be a string")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise Malformed(f"{name} holds half a character (a lone surrogate)") from None
    if length > STRING_BYTES_MAX:
        raise LimitExceeded(f"{name} is longer than {STRING_BYTES_MAX} bytes")
    return _text(kind, value, name)


def _text(kind: Any, value: str, name: str) -> Any:
    if kind in _BYTES:
        if len(value) != 2 * _BYTES[kind] or set(value) - set("0123456789abcdef"):
            raise Malformed(f"{name} must be {2 * _BYTES[kind]} lower-case hexadecimal digits")
        return bytes.fromhex(value)
    if kind is Money:
        if not value.isdecimal() or str(int(value[:80])) != value or int(value) > _UINT256_MAX:
            raise Malformed(f"{name} must be an amount in the smallest unit")
        return Money(int(value))
    if _is_enum(kind):
        if value not in kind.__members__:
            raise Malformed(f"{name} has no value {value[:40]!r}")
        return kind[value]
    return value
