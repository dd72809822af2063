"""Values as the contracts take and give them: the part of Solidity's ABI that our records need.

Types are written as in Solidity: `bytes32`, `uint64`, `string`, `(address,uint256)[]`.
https://docs.soliditylang.org/en/latest/abi-spec.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_type_hints

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol.canonical import encode_type
from gensyn_lightning.protocol.digest import keccak

Record = TypeVar("Record")

LENGTH_MAX = 1 << 16
_WORD = 32


def selector(name: str, types: Sequence[str]) -> bytes:
    """Return the four bytes that name a function."""
    return keccak(f"{name}({','.join(types)})".encode())[:4]


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return the values as a contract reads them."""
    if len(types) != len(values):
        raise Malformed(f"{len(values)} values for {len(types)} types")
    heads, tails = [], b""
    offset = sum(_head_size(each) for each in types)
    for kind, value in zip(types, values, strict=True):
        body = _encode_one(kind, value)
        if _is_dynamic(kind):
            heads.append(_number(offset + len(tails)))
            tails += body
        else:
            heads.append(body)
    return b"".join(heads) + tails


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Read values that a contract gave; raise `Malformed` for bytes that hold none."""
    values, at = [], 0
    for kind in types:
        place = _read_number(data, at) if _is_dynamic(kind) else at
        values.append(_decode_one(kind, data, place))
        at += _head_size(kind)
    return tuple(values)


@cache
def type_of(record_type: type) -> str:
    """Return the tuple type of a record: its canonical type, without names."""
    inner = {
        text.partition("(")[0]: text.partition("(")[2].split(",")
        for text in encode_type(record_type).split(")")[:-1]
    }

    def tuple_of(name: str) -> str:
        kinds = [each.partition(" ")[0] for each in inner[name]]
        return "(" + ",".join(tuple_of(k) if k in inner else k for k in kinds) + ")"

    return tuple_of(record_type.__name__)


def to_values(record: Any) -> tuple[Any, ...]:
    """Return a record's fields, and those of the records inside it, as plain tuples."""
    return tuple(
        to_values(value) if is_dataclass(value) else value
        for value in (getattr(record, each.name) for each in fields(record))
    )


def from_values(record_type: type[Record], values: Sequence[Any]) -> Record:
    """Return the record with these fields; raise `Malformed` for an enum's unknown member."""
    hints = get_type_hints(record_type)
    names = [each.name for each in fields(record_type)]  # type: ignore[arg-type]
    try:
        return record_type(
            **{name: _typed(hints[name], each) for name, each in zip(names, values, strict=True)}
        )
    except ValueError as error:
        raise Malformed(f"no {record_type.__name__}: {error}") from None


def _typed(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        return from_values(kind, value)
    # Digests and money are new types of bytes and int, which call through; enums check.
    return kind(value) if isinstance(kind, type) else value


def _encode_one(kind: str, value: Any) -> bytes:
    if kind.endswith("[]"):
        return _number(len(value)) + encode([kind[:-2]] * len(value), value)
    if kind.startswith("("):
        return encode(_parts(kind), value)
    if kind in {"string", "bytes"}:
        data = value.encode() if kind == "string" else bytes(value)
        return _number(len(data)) + data.ljust(-(-len(data) // _WORD) * _WORD, b"\0")
    if kind.startswith("bytes"):
        return _sized(value, int(kind[5:])).ljust(_WORD, b"\0")
    if kind == "address":
        return _sized(value, 20).rjust(_WORD, b"\0")
    return _fitting(int(value), kind).to_bytes(_WORD, "big")


def _decode_one(kind: str, data: bytes, at: int) -> Any:
    if kind.endswith("[]"):
        count = _length(data, at)
        if count * _WORD > len(data):
            raise Malformed("the answer is too short")
        return decode([kind[:-2]] * count, data[at + _WORD :])
    if kind.startswith("("):
        return decode(_parts(kind), data[at:])
    if kind in {"string", "bytes"}:
        size = _length(data, at)
        body = _slice(data, at + _WORD, size)
        return _text(body) if kind == "string" else body
    word = _slice(data, at, _WORD)
    if kind.startswith("bytes"):
        return word[: int(kind[5:])]
    if kind == "address":
        return word[12:]
    number = _fitting(int.from_bytes(word, "big"), kind)
    return bool(number) if kind == "bool" else number


@cache
def _parts(kind: str) -> tuple[str, ...]:
    """Split `(a,(b,c),d)` into its members."""
    parts, depth, start = [], 0, 1
    for at, letter in enumerate(kind):
        depth += (letter == "(") - (letter == ")")
        if (letter == "," and depth == 1) or (letter == ")" and depth == 0):
            parts.append(kind[start:at])
            start = at + 1
    return tuple(parts)


@cache
def _is_dynamic(kind: str) -> bool:
    if kind.endswith("[]") or kind in {"string", "bytes"}:
        return True
    return kind.startswith("(") and any(_is_dynamic(each) for each in _parts(kind))


@cache
def _head_size(kind: str) -> int:
    if _is_dynamic(kind) or not kind.startswith("("):
        return _WORD
    return sum(_head_size(each) for each in _parts(kind))


def _number(value: int) -> bytes:
    return value.to_bytes(_WORD, "big")


def _sized(value: Any, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise Malformed(f"{value!r} is not {size} bytes")
    return value


def _fitting(value: int, kind: str) -> int:
    bits = 1 if kind == "bool" else int(kind.removeprefix("uint"))
    if not 0 <= value < 1 << bits:
        raise Malformed(f"{value} does not fit {kind}")
    return value


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise Malformed("the answer is too short")
    return data[at : at + size]


def _read_number(data: bytes, at: int) -> int:
    return int.from_bytes(_slice(data, at, _WORD), "big")


def _length(data: bytes, at: int) -> int:
    length = _read_number(data, at)
    if length > LENGTH_MAX:
        raise LimitExceeded(f"a length of {length} in an answer")
    return length


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Malformed("text that is not UTF-8") from None
