"""The one way records become bytes that are signed or hashed.

A record is a frozen dataclass whose fields are digests, addresses, integers,
strings, booleans, enums, other records, or tuples of those. Its bytes are EIP-712's
(https://eips.ethereum.org/EIPS/eip-712): a type hash that names the record and
its fields, then one 32-byte word per field, so that a contract and any wallet
compute the same digest. Files that people read are canonical JSON (RFC 8785,
without floats: they travel as hexadecimal strings).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import cache
from itertools import accumulate
from typing import Any, get_args, get_origin, get_type_hints

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce, keccak

JSON_DEPTH_MAX = 64
SAFE_INTEGER_MAX = 2**53 - 1

_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())

_ATOMS: dict[Any, str] = {
    Digest: "bytes32",
    Address: "address",
    Nonce: "bytes16",
    Money: "uint256",
    int: "uint64",
    str: "string",
    bool: "bool",
}
_WIDTHS = {"bytes32": 32, "address": 20, "bytes16": 16}


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a signature counts, so that none is replayed elsewhere: a chain and its escrow."""

    chain_id: int
    escrow: Address


def type_hash(record_type: type) -> Digest:
    """Return the hash of the record type's name and fields, which tags its bytes."""
    return keccak(encode_type(record_type).encode())


@cache
def encode_type(record_type: type) -> str:
    """Return EIP-712's `encodeType`: the record first, the records inside it by name after it."""
    inner = sorted(_inner_types(record_type) - {record_type}, key=lambda each: each.__name__)
    return "".join(_one_type(each) for each in (record_type, *inner))


def struct_hash(record: Any) -> Digest:
    """Return the canonical digest of a record (EIP-712 `hashStruct`)."""
    return keccak(encode(record))


def encode(record: Any) -> bytes:
    """Return the canonical bytes of a record: its type hash, then a word per field."""
    record_type = type(record)
    if not is_dataclass(record_type):
        raise Malformed(f"{record_type.__name__} is no record")
    hints = _hints(record_type)
    words = [_word(hints[each.name], getattr(record, each.name)) for each in fields(record_type)]
    return type_hash(record_type) + b"".join(words)


def signing_digest(record: Any, domain: Domain) -> Digest:
    """Return the digest an account signs for `record`: EIP-712 with our domain."""
    return keccak(b"\x19\x01" + domain_separator(domain) + struct_hash(record))


@cache
def domain_separator(domain: Domain) -> Digest:
    """Return EIP-712's domain separator for `Gensyn`, version 1."""
    kind = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    words = (
        keccak(kind.encode()),
        keccak(b"Gensyn"),
        keccak(b"1"),
        domain.chain_id.to_bytes(32, "big"),
        domain.escrow.rjust(32, b"\0"),
    )
    return keccak(b"".join(words))


def json_bytes(value: Any) -> bytes:
    """Return canonical JSON (RFC 8785): members in order, no spaces; floats are `Malformed`."""
    ordered = _ordered(value, 0)
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()


def parse_json(data: bytes, *, bytes_max: int) -> Any:
    """Read canonical JSON; raise unless `data` is exactly what `json_bytes` would write."""
    if len(data) > bytes_max:
        raise LimitExceeded(f"{len(data)} bytes of JSON exceed {bytes_max}")
    check_nesting(data, JSON_DEPTH_MAX)
    try:
        value = json.loads(data.decode())
        same = json_bytes(value) == data
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    if not same:
        raise Malformed("JSON that is not in canonical form")
    return value


def check_nesting(data: bytes, depth_max: int) -> None:
    """Raise `LimitExceeded` for JSON nested deeper than `depth_max`, without parsing it.

    The parser recurses; where something has raised the interpreter's recursion limit, brackets
    from the network could otherwise end the process.
    """
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(unescaped.split(b'"')[::2])
    brackets = outside.translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > depth_max:
        raise LimitExceeded(f"JSON deeper than {depth_max}")


def _ordered(value: Any, depth: int) -> Any:
    """Return `value` with the members of every object in order; raise unless it is JSON of ours."""
    if depth > JSON_DEPTH_MAX:
        raise LimitExceeded(f"JSON deeper than {JSON_DEPTH_MAX}")
    match value:
        case None | bool():
            return value
        case str():
            return _text(value)
        case int():
            return _integer(value)
        case list() | tuple():
            return [_ordered(each, depth + 1) for each in value]
        case dict():
            names = sorted(value, key=_place)
            return {name: _ordered(value[name], depth + 1) for name in names}
    raise Malformed(f"{type(value).__name__} has no canonical JSON")


def _place(name: Any) -> bytes:
    """Return what members are ordered by: the UTF-16 code units of their names."""
    if not isinstance(name, str):
        raise Malformed(f"{name!r} is no JSON key")
    return _text(name).encode("utf-16-be")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed("a text holds half a character (a lone surrogate)") from None
    return value


def _integer(value: int) -> int:
    if abs(value) > SAFE_INTEGER_MAX:
        raise Malformed(f"{value} is no JSON integer", hint="send it as a string")
    return value


@cache
def _hints(record_type: type) -> dict[str, Any]:
    return get_type_hints(record_type)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _name(kind: Any) -> str:
    if kind in _ATOMS:
        return _ATOMS[kind]
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return "uint8"
    if get_origin(kind) is tuple:
        return _name(get_args(kind)[0]) + "[]"
    if _is_record(kind):
        return str(kind.__name__)
    raise Malformed(f"{kind} has no canonical form")


def _one_type(record_type: type) -> str:
    hints = _hints(record_type)
    body = ",".join(f"{_name(hints[each.name])} {each.name}" for each in fields(record_type))
    return f"{record_type.__name__}({body})"


def _inner_types(record_type: type) -> set[type]:
    found = {record_type}
    for kind in _hints(record_type).values():
        inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
        if _is_record(inner):
            found |= _inner_types(inner)
    return found


def _word(kind: Any, value: Any) -> bytes:
    if get_origin(kind) is tuple:
        return keccak(b"".join(_word(get_args(kind)[0], each) for each in value))
    if _is_record(kind):
        return struct_hash(value)
    return _atom(_name(kind), value)


def _atom(name: str, value: Any) -> bytes:
    if name == "string":
        if not isinstance(value, str):
            raise Malformed(f"{value!r} is no string")
        return keccak(_text(value).encode())
    if name in _WIDTHS:
        if not isinstance(value, bytes) or len(value) != _WIDTHS[name]:
            raise Malformed(f"{value!r} is no {name}")
        return value.rjust(32, b"\0") if name == "address" else value.ljust(32, b"\0")
    bits = 1 if name == "bool" else int(name.removeprefix("uint"))
    if not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise Malformed(f"{value!r} does not fit {name}")
    return int(value).to_bytes(32, "big")


__all__ = [
    "Domain",
    "check_nesting",
    "domain_separator",
    "encode",
    "encode_type",
    "json_bytes",
    "parse_json",
    "signing_digest",
    "struct_hash",
    "type_hash",
]
