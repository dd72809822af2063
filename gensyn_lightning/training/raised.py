"""The exception a program ended with: as data, and raised again where the program was sent from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gensyn_lightning.errors import ProgramRaised
from gensyn_lightning.training.named import Resolver, resolve_loaded

_FILE = re.compile(r"\[Errno -?\d+\] .*: '([^']*)'", re.DOTALL)


def describe(named: tuple[str, str], error: BaseException) -> dict[str, Any]:
    """Return an exception as a plain value for a state; `named` is its class and message."""
    kind, message = named
    return {
        "kind": kind,
        "message": message,
        "args": list(error.args),
        "attributes": dict(vars(error)),
    }


def read(value: Mapping[str, Any], text: str) -> Raised:
    """Return the exception that `describe` wrote; what could not travel is told in words."""
    kind, message = str(value["kind"]), str(value["message"])
    args = value.get("args", [message] if message else [])
    return Raised(kind, message, tuple(args), dict(value.get("attributes", {})), text)


@dataclass(frozen=True, slots=True)
class Raised:
    """`kind` is `module:qualname`; `text` the traceback as it was there, for people."""

    kind: str
    message: str
    args: Sequence[Any] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def rebuild(self, resolve: Resolver = resolve_loaded) -> BaseException:
        """Return an exception of the same class with the same arguments, or `ProgramRaised`.

        The class is looked up among those loaded here, and none of its code runs. The traceback
        from the network is the exception's cause.
        """
        there = ProgramRaised(f"on the network:\n{self.text or self.message}")
        found = resolve(self.kind)
        if found is None or not issubclass(found, BaseException):
            error: BaseException = ProgramRaised(
                f"{self.kind.replace(':', '.')}: {self.message}",
                hint="its class is not loaded here",
            )
        else:
            error = found.__new__(found)
            error.args = tuple(self.args)
            vars(error).update(self.attributes)
            if isinstance(error, OSError):
                self._fill(error)
        error.__cause__ = there
        return error

    def _fill(self, error: OSError) -> None:
        """Give an `OSError` its number and file, which it keeps in places of its own."""
        match self.args:
            case [int(number), str(text)]:
                error.errno, error.strerror = number, text
                found = _FILE.fullmatch(self.message)
                if found:
                    error.filename = found[1]
