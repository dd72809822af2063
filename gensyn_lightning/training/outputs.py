"""What a segment wrote besides its state: files, calls to loggers, and lines on the terminal.

Files and calls stand under the outputs root and are replayed like the state. Lines on the terminal
do not: a program may print an address. They are for people, and nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes, parse_json
from gensyn_lightning.protocol.digest import Digest, parse_digest

SCHEMA = "gensyn.outputs/1"
BYTES_MAX = 64 << 20
FILES_MAX = 1 << 14
CALLS_MAX = 1 << 18
LINES_MAX = 1 << 14
LINE_CHARS_MAX = 2000
TEXT_CHARS_MAX = 4096
FORMS = ("bytes", "checkpoint")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class File:
    """A file as the segment left it, in a declared folder; its bytes are the artifact `digest`.

    `form` is `checkpoint` for a state container that becomes a `.ckpt` where it is delivered,
    `bytes` otherwise. `link` is the relative target where the program made a symbolic link.
    """

    folder: str
    path: str
    digest: Digest
    length: int
    form: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """A file that was there when the segment began and is gone."""

    folder: str
    path: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call to one of the trainer's loggers; see `recorder.arguments` for reading `given`."""

    event: int
    logger: int
    method: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line on `stdout` or `stderr`, or a `warning`, without control characters."""

    event: int
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """Everything a segment wrote, in order."""

    files: tuple[File, ...]
    removed: tuple[Removed, ...]
    calls: tuple[Call, ...]
    lines: tuple[Line, ...]


def root(outputs: Outputs) -> Digest:
    """Return the Merkle root over files, removals and calls."""
    return merkle.root(
        [
            *(json_bytes(["file", _file(each)]) for each in outputs.files),
            *(json_bytes(["removed", each.folder, each.path]) for each in outputs.removed),
            *(json_bytes(["call", _call(each)]) for each in outputs.calls),
        ]
    )


def encode(outputs: Outputs) -> bytes:
    """Return the outputs as canonical JSON."""
    data = json_bytes(
        {
            "schema": SCHEMA,
            "files": [_file(each) for each in outputs.files],
            "removed": [[each.folder, each.path] for each in outputs.removed],
            "calls": [_call(each) for each in outputs.calls],
            "lines": [[each.event, each.stream, each.text] for each in outputs.lines],
        }
    )
    if len(data) > BYTES_MAX:
        raise LimitExceeded(
            f"a segment's outputs of {len(data)} bytes exceed {BYTES_MAX}",
            hint="log less often, or shorter segments",
        )
    return data


def parse(data: bytes) -> Outputs:
    """Read what `encode` wrote; raise `Malformed` or `LimitExceeded` for anything else."""
    value = parse_json(data, bytes_max=BYTES_MAX)
    if not isinstance(value, dict) or set(value) != {
        "schema",
        "files",
        "removed",
        "calls",
        "lines",
    }:
        raise Malformed("no outputs")
    if value["schema"] != SCHEMA:
        raise Malformed("outputs in another format", hint="update the older side")
    return Outputs(
        _each(value["files"], FILES_MAX, _read_file),
        _each(value["removed"], FILES_MAX, lambda each: Removed(_text(each[0]), _text(each[1]))),
        _each(value["calls"], CALLS_MAX, _read_call),
        _each(value["lines"], LINES_MAX, _read_line),
    )


def _file(each: File) -> dict[str, Any]:
    value = {
        "folder": each.folder,
        "path": each.path,
        "digest": each.digest.hex(),
        "length": each.length,
        "form": each.form,
    }
    return {**value, "link": each.link} if each.link else value


def _call(each: Call) -> list[Any]:
    return [each.event, each.logger, each.method, dict(each.given)]


def _each(value: Any, limit: int, read: Callable[[Any], Item]) -> tuple[Item, ...]:
    if not isinstance(value, list):
        raise Malformed("outputs hold something else than lists")
    if len(value) > limit:
        raise LimitExceeded(f"{len(value)} outputs exceed {limit}")
    try:
        return tuple(read(each) for each in value)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Malformed(f"an output is malformed: {error}") from None


def _read_file(value: Any) -> File:
    if value["form"] not in FORMS or set(value) - {
        "folder",
        "path",
        "digest",
        "length",
        "form",
        "link",
    }:
        raise Malformed("a file is of no known form")
    return File(
        _text(value["folder"]),
        _text(value["path"]),
        parse_digest(_text(value["digest"])),
        _count(value["length"]),
        value["form"],
        _text(value.get("link", "")),
    )


def _read_call(value: Any) -> Call:
    event, logger, method, given = value
    if not isinstance(given, dict) or set(given) not in ({"tree"}, {"container"}):
        raise Malformed("a call's arguments are malformed")
    if not _text(method).replace(".", "_").isidentifier():
        raise Malformed("a call names no method")
    return Call(_count(event), _count(logger), method, given)


def _read_line(value: Any) -> Line:
    event, stream, text = value
    if stream not in ("stdout", "stderr", "warning") or len(_text(text)) > LINE_CHARS_MAX:
        raise Malformed("a line is malformed")
    return Line(_count(event), stream, text)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX:
        raise Malformed("a text is missing or too long")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Malformed("a number is missing or negative")
    return value
