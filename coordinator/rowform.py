"""Rows as JSON values and back: protocol records, and what only a store keeps beside them.

Wider than `protocol.jsonform`: a field may be optional, an enum of any kind, or raw bytes. What is
read here was written here, so reading does not validate beyond the types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Row = TypeVar("Row")
Convert = Callable[[Any], Any]


def to_json(row: Any) -> dict[str, Any]:
    """Return the row as a JSON object."""
    return {name: write(getattr(row, name)) for name, write, _ in _plan(type(row))}  # type: ignore[arg-type]


def from_json(row_type: type[Row], value: dict[str, Any]) -> Row:
    """Read what `to_json` wrote."""
    return row_type(**{name: read(value[name]) for name, _, read in _plan(row_type)})  # type: ignore[arg-type]


@cache
def _plan(row_type: Any) -> tuple[tuple[str, Convert, Convert], ...]:
    hints = get_type_hints(row_type)
    assert is_dataclass(row_type)
    return tuple((each.name, *_pair(hints[each.name])) for each in fields(row_type))


def _pair(kind: Any) -> tuple[Convert, Convert]:
    """Return how a field of this kind is written and read."""
    while hasattr(kind, "__supertype__"):  # a JobId is a Digest, a Digest is bytes
        kind = kind.__supertype__
    if get_origin(kind) in {Union, UnionType}:
        return _optional(*_pair(get_args(kind)[0]))
    if get_origin(kind) is tuple:
        write, read = _pair(get_args(kind)[0])
        return (
            lambda value: [write(each) for each in value],
            lambda value: tuple(read(each) for each in value),
        )
    if kind is bytes:
        return bytes.hex, bytes.fromhex
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: value.name, lambda value: kind[value]
    if is_dataclass(kind):
        return to_json, lambda value: from_json(kind, value)  # type: ignore[arg-type]
    return _same, _same


def _optional(write: Convert, read: Convert) -> tuple[Convert, Convert]:
    return (
        lambda value: None if value is None else write(value),
        lambda value: None if value is None else read(value),
    )


def _same(value: Any) -> Any:
    return value
