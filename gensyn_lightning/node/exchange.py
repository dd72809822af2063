"""What a runner's client and the zygote tell each other: bounded lines of JSON, data only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

from gensyn_lightning import errors
from gensyn_lightning.errors import GensynError, LimitExceeded, Malformed, SandboxError
from gensyn_lightning.training.request import SegmentRequest, SegmentResult

Record = TypeVar("Record")

REQUEST_BYTES_MAX = 64 << 10
LINE_BYTES_MAX = 1 << 20
MESSAGE_CHARS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work for a fresh fork: what, where, how politely, and whether more will follow.

    With `again` whatever all such orders have in common may be done once for all of them.
    """

    kind: str
    request: Mapping[str, Any]
    scratch: Path
    nice: int = 0
    again: bool = False


def order_line(order: Order) -> bytes:
    """Return the line that asks the zygote for `order`."""
    line = _line(
        {
            "kind": order.kind,
            "request": order.request,
            "scratch": str(order.scratch),
            "nice": order.nice,
            "again": order.again,
        }
    )
    if len(line) > REQUEST_BYTES_MAX:
        raise LimitExceeded(f"a request to a runner exceeds {REQUEST_BYTES_MAX} bytes")
    return line


def read_order(received: bytes) -> Order | None:
    """Read an order; None while its line is not complete; raise `Malformed` if it is none."""
    if len(received) > REQUEST_BYTES_MAX:
        raise LimitExceeded(f"a request to a runner exceeds {REQUEST_BYTES_MAX} bytes")
    if not received.endswith(b"\n"):
        return None
    value = _object(received)
    match value:
        case {
            "kind": str(kind),
            "request": dict(request),
            "scratch": str(scratch),
            "nice": int(nice),
            "again": bool(again),
        }:
            return Order(kind, request, Path(scratch), nice, again)
    raise Malformed("not a request to a runner")


def progress_line(progress: Mapping[str, Any]) -> bytes:
    """Return the line that reports how far a runner is."""
    return _line({"progress": progress})


def result_line(result: Mapping[str, Any]) -> bytes:
    """Return the last line of a runner that did its work."""
    return _line({"result": result})


def error_line(error: BaseException) -> bytes:
    """Return the last line of a runner that could not; the class is kept if it is one of ours."""
    ours = isinstance(error, GensynError)
    message = str(error.args[0]) if ours and error.args else f"{type(error).__name__}: {error}"
    return _line(
        {
            "error": {
                "kind": type(error).__name__ if ours else "SandboxError",
                "message": message[:MESSAGE_CHARS_MAX],
                "hint": getattr(error, "hint", "")[:MESSAGE_CHARS_MAX],
            }
        }
    )


def read_answer(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """Read a line from a runner as ("progress" | "result", value); raise the error it reports."""
    match _object(line):
        case {"progress": dict(value)}:
            return "progress", value
        case {"result": dict(value)}:
            return "result", value
        case {"error": {"kind": str(kind), "message": str(message), "hint": str(hint)}}:
            _raise(kind, message, hint)
    raise SandboxError("the runner said something that is no answer")


def write_request(request: SegmentRequest) -> Mapping[str, Any]:
    """Return a segment request as a JSON value."""
    return _write(request)


def read_request(value: Mapping[str, Any]) -> SegmentRequest:
    """Read a segment request; called in a runner."""
    return _read(SegmentRequest, value)


def write_result(result: SegmentResult) -> Mapping[str, Any]:
    """Return a segment result as a JSON value."""
    return _write(result)


def read_result(value: Mapping[str, Any]) -> SegmentResult:
    """Read a segment result that a runner sent."""
    return _read(SegmentResult, value)


def _raise(kind: str, message: str, hint: str) -> NoReturn:
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, GensynError):
        raise found(message, hint=hint)
    raise SandboxError(message, hint=hint)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Malformed("not a line of JSON") from error
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


def _write(record: Any) -> Mapping[str, Any]:
    return {each.name: _plain(getattr(record, each.name)) for each in fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    return value.name if isinstance(value, IntEnum) else value


def _read(kind: type[Record], value: Mapping[str, Any]) -> Record:
    hints = get_type_hints(kind)
    if set(value) != set(hints):
        raise Malformed(f"{kind.__name__} has missing or surplus fields")
    return kind(**{name: _field(hints[name], each) for name, each in value.items()})


def _field(hint: Any, value: Any) -> Any:
    if getattr(hint, "__supertype__", None) is bytes:
        return bytes.fromhex(value)
    if hint is Path or hint == Path | None:
        return None if value is None else Path(value)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return hint[value]
    return value
