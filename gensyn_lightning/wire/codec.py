"""Records to protobuf messages and back; a record that was read is well-formed.

A record travels as the message of the same name with the same fields. Reading refuses whatever is
missing, unknown, of the wrong size or over its bound. Messages are never signed or hashed.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.identity.account import Signature
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce
from gensyn_lightning.protocol.parameters import STRING_BYTES_MAX
from gensyn_lightning.wire.rpc import MESSAGE_BYTES_MAX, PACKAGE
from gensyn_lightning.wire.v1 import artifact_pb2, job_pb2, node_pb2, record_pb2

Record = TypeVar("Record")
_Field = Any  # a descriptor, pure Python's or the C extension's

LIST_MAX = 4096
BYTES_MAX = 2 << 20
FILES = (record_pb2.DESCRIPTOR, job_pb2.DESCRIPTOR, node_pb2.DESCRIPTOR, artifact_pb2.DESCRIPTOR)
_WIDTHS: dict[Any, int] = {Digest: 32, Address: 20, Nonce: 16, Signature: 65}
_CLASSES: dict[type, type[Message]] = {}
_HINTS: dict[type, dict[str, Any]] = {}
_UINT64_MAX = 2**64 - 1
_MONEY_DIGITS_MAX = 78


def encode(record: Any) -> bytes:
    """Return the bytes that travel for `record`."""
    data: bytes = to_message(record).SerializeToString()
    if len(data) > MESSAGE_BYTES_MAX:
        raise LimitExceeded(f"a message of {len(data)} bytes exceeds {MESSAGE_BYTES_MAX}")
    return data


def decode(record_type: type[Record], data: bytes) -> Record:
    """Read what `encode` wrote; raise `Malformed` or `LimitExceeded` for anything else."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise LimitExceeded(f"a message of {len(data)} bytes exceeds {MESSAGE_BYTES_MAX}")
    message = message_class(record_type)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise Malformed(f"these bytes are no {record_type.__name__}") from None
    return from_message(record_type, message)


def to_message(record: Any) -> Message:
    """Return the message that carries `record`."""
    record_type = type(record)
    message = message_class(record_type)()
    for name, kind in _hints(record_type).items():
        value = getattr(record, name)
        if value is not None:
            _set(message, message.DESCRIPTOR.fields_by_name[name], _present(kind), value)
        elif not _is_optional(kind):
            raise Malformed(f"{record_type.__name__}.{name} is missing")
    return message


def from_message(record_type: type[Record], message: Message) -> Record:
    """Return the record `message` carries, every field checked."""
    if len(UnknownFieldSet(message)):
        raise Malformed(f"{record_type.__name__} has unknown fields")
    values = {name: _get(message, name, kind) for name, kind in _hints(record_type).items()}
    return record_type(**values)


def message_class(record_type: type) -> type[Message]:
    """Return the message class of the same name, checked to have the same fields."""
    if record_type not in _CLASSES:
        _CLASSES[record_type] = _message_class(record_type)
    return _CLASSES[record_type]


def _message_class(record_type: type) -> type[Message]:
    if not is_dataclass(record_type):
        raise Malformed(f"{record_type.__name__} is no record")
    try:
        found = descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.{record_type.__name__}")
    except KeyError:
        raise Malformed(f"no message carries {record_type.__name__}") from None
    ours, theirs = {each.name for each in fields(record_type)}, set(found.fields_by_name)
    if ours != theirs:
        raise Malformed(f"{record_type.__name__} and its message differ in {sorted(ours ^ theirs)}")
    return GetMessageClass(found)


def _hints(record_type: type) -> dict[str, Any]:
    if record_type not in _HINTS:
        hints = get_type_hints(record_type)
        _HINTS[record_type] = {each.name: hints[each.name] for each in fields(record_type)}
    return _HINTS[record_type]


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in {Union, UnionType}


def _present(kind: Any) -> Any:
    if not _is_optional(kind):
        return kind
    return next(each for each in get_args(kind) if each is not NoneType)


def _set(message: Message, field: _Field, kind: Any, value: Any) -> None:
    name = field.name
    if get_origin(kind) is tuple:
        if len(value) > LIST_MAX:
            raise LimitExceeded(f"{name} has {len(value)} entries, more than {LIST_MAX}")
        inner = get_args(kind)[0]
        getattr(message, name).extend([_plain(field, inner, each) for each in value])
    elif is_dataclass(kind):
        getattr(message, name).CopyFrom(to_message(value))
    else:
        setattr(message, name, _plain(field, kind, value))


def _plain(field: _Field, kind: Any, value: Any) -> Any:
    if is_dataclass(kind):
        return to_message(value)
    if _is_enum(kind):
        return field.enum_type.values_by_name[_prefix(field) + value.name].number
    _check(field.name, kind, value)
    return str(value) if kind is Money else value


def _get(message: Message, name: str, kind: Any) -> Any:
    field = message.DESCRIPTOR.fields_by_name[name]
    if get_origin(kind) is tuple:
        entries = getattr(message, name)
        if len(entries) > LIST_MAX:
            raise LimitExceeded(f"{name} has {len(entries)} entries, more than {LIST_MAX}")
        return tuple(_read(field, get_args(kind)[0], each) for each in entries)
    if message.HasField(name):
        return _read(field, _present(kind), getattr(message, name))
    if _is_optional(kind):
        return None
    raise Malformed(f"{message.DESCRIPTOR.name}.{name} is missing")


def _read(field: _Field, kind: Any, value: Any) -> Any:
    if is_dataclass(kind):
        return from_message(kind, value)  # type: ignore[arg-type]
    if _is_enum(kind):
        found = field.enum_type.values_by_number.get(value)
        name = found.name.removeprefix(_prefix(field)) if found else ""
        if name not in kind.__members__:
            raise Malformed(f"{field.name} has no value {value}")
        return kind[name]
    if kind is Money:
        return _money(field.name, value)
    _check(field.name, kind, value)
    return value


def _check(name: str, kind: Any, value: Any) -> None:
    if kind in _WIDTHS:
        if not isinstance(value, bytes) or len(value) != _WIDTHS[kind]:
            raise Malformed(f"{name} must be {_WIDTHS[kind]} bytes")
    elif kind is Money:
        _money(name, str(value))
    elif type(value) is not kind:
        raise Malformed(f"{name} must be of type {kind.__name__}")
    elif kind is int and not 0 <= value <= _UINT64_MAX:
        raise Malformed(f"{name} is no unsigned 64-bit integer")
    elif kind is str:
        _check_text(name, value)
    elif kind is bytes and len(value) > BYTES_MAX:
        raise LimitExceeded(f"{name} is longer than {BYTES_MAX} bytes")


def _check_text(name: str, text: str) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise Malformed(f"{name} is no text") from None
    if length > STRING_BYTES_MAX:
        raise LimitExceeded(f"{name} is longer than {STRING_BYTES_MAX} bytes")


def _money(name: str, text: str) -> Money:
    digits = len(text) <= _MONEY_DIGITS_MAX and text.isascii() and text.isdecimal()
    if not digits or str(int(text)) != text or int(text) >= 1 << 256:
        raise Malformed(f"{name} must be an amount in the smallest unit")
    return Money(int(text))


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


@cache
def _prefix(field: _Field) -> str:
    first: str = field.enum_type.values_by_number[0].name
    return first.removesuffix("UNSPECIFIED")
