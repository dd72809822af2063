"""The exception a program ended with: as data, and raised again where the program was sent from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gensyn_lightning.errors import ProgramRaised
from gensyn_lightning.training.named import Resolver, resolve_loaded

_FILE = re.compile(
    r"\[Errno -?\d+\] .*?: '(?P<filename>[^']*)'(?: -> '(?P<filename2>[^']*)')?", re.DOTALL
)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: set for every class that a Python program defines
# What Python's own exceptions keep beside `args` and `vars`, as far as it is the same everywhere.
_FIELDS: Mapping[type[BaseException], Mapping[str, type]] = {
    SystemExit: {"code": object},
    StopIteration: {"value": object},
    ImportError: {"msg": str, "name": str},
    AttributeError: {"name": str},
    NameError: {"name": str},
    SyntaxError: {
        "msg": str,
        "filename": str,
        "lineno": int,
        "offset": int,
        "text": str,
        "end_lineno": int,
        "end_offset": int,
    },
    UnicodeDecodeError: {"encoding": str, "object": bytes, "start": int, "end": int, "reason": str},
    UnicodeEncodeError: {"encoding": str, "object": str, "start": int, "end": int, "reason": str},
    UnicodeTranslateError: {"object": str, "start": int, "end": int, "reason": str},
}


def describe(named: tuple[str, str], error: BaseException) -> dict[str, Any]:
    """Return an exception as a plain value for a state; `named` is its class and message."""
    kind, message = named
    value = {
        "kind": kind,
        "message": message,
        "args": list(error.args),
        "attributes": dict(vars(error)),
    }
    fields = {
        name: found
        for owner, name, wanted in _fields(type(error))
        if isinstance(found := vars(owner)[name].__get__(error), wanted) and found is not None
    }
    return {**value, "fields": fields} if fields else value


def read(value: Mapping[str, Any], text: str) -> Raised:
    """Return the exception that `describe` wrote; what could not travel is told in words."""
    kind, message = str(value["kind"]), str(value["message"])
    args = value.get("args", [message] if message else [])
    attributes, fields = dict(value.get("attributes", {})), dict(value.get("fields", {}))
    return Raised(kind, message, tuple(args), attributes, text, fields)


@dataclass(frozen=True, slots=True)
class Raised:
    """`kind` is `module:qualname`; `text` the traceback as it was there, for people."""

    kind: str
    message: str
    args: Sequence[Any] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def rebuild(self, resolve: Resolver = resolve_loaded) -> BaseException:
        """Return an exception of the same class with the same arguments, or `ProgramRaised`.

        The class is looked up among those loaded here, and none of its code runs. The traceback
        from the network is the exception's cause.
        """
        there = ProgramRaised(f"on the network:\n{self.text or self.message}")
        found = resolve(self.kind)
        error = _empty(found) if found is not None and issubclass(found, BaseException) else None
        if error is None:
            error = ProgramRaised(
                f"{self.kind.replace(':', '.')}: {self.message}",
                hint="its class is not loaded here, or is more than data",
            )
        else:
            _put(BaseException, "args", error, tuple(self.args))
            vars(error).update(self.attributes)
            self._fill(error)
        _put(BaseException, "__cause__", error, there)
        return error

    def _fill(self, error: BaseException) -> None:
        """Give an exception what its class keeps in places of its own, as far as it fits there."""
        if isinstance(error, OSError):
            self._fill_file(error)
        wanted = list(_fields(type(error)))
        found = [
            (owner, name, self.fields[name])
            for owner, name, kind in wanted
            if name in self.fields and isinstance(self.fields[name], kind)
        ]
        if isinstance(error, UnicodeError) and (len(found) < len(wanted) or not self._has_place()):
            return
        for owner, name, value in found:
            _put(owner, name, error, value)

    def _has_place(self) -> bool:
        """Whether start and end lie inside of the object; Python reads there unchecked."""
        given = self.fields
        return bool(given) and 0 <= given["start"] <= given["end"] <= len(given["object"])

    def _fill_file(self, error: OSError) -> None:
        match self.args:
            case [int(number), str(text)]:
                _put(OSError, "errno", error, number)
                _put(OSError, "strerror", error, text)
                files = _FILE.fullmatch(self.message)
                for name, file in files.groupdict().items() if files else ():
                    if file is not None:
                        _put(OSError, name, error, file)


def _empty(kind: type) -> BaseException | None:
    """Return an exception without arguments, or None if it cannot be; no Python code makes it."""
    builtin: Any = kind
    while builtin.__flags__ & _HEAP_TYPE and builtin.__base__ is not None:
        builtin = builtin.__base__
    try:
        made: BaseException = builtin.__new__(kind)
    except TypeError:
        return None
    return made


def _fields(kind: type) -> Iterator[tuple[type, str, type]]:
    """Yield what exceptions of a class keep: whose field, its name, and of what kind it is."""
    for owner, fields in _FIELDS.items():
        if issubclass(kind, owner):
            for name, wanted in fields.items():
                yield owner, name, wanted


def _put(owner: type, name: str, error: BaseException, value: Any) -> None:
    """Set a field past every property and `__setattr__` of the exception's class."""
    vars(owner)[name].__set__(error, value)
