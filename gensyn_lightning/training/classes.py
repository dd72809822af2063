"""Finds the classes and functions that a program's state names, among those that are here already.

Code that travelled by value belongs to no module of this process; its classes are found where
the program's own functions look for them. Nothing is ever imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gensyn_lightning.training.program import Program


class Classes:
    """The namespaces in which a program's classes live."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def find(self, name: str) -> Any:
        """Return what is called `module:qualname`, or None."""
        module, _, qualname = name.partition(":")
        for namespace in self._namespaces():
            found = _look_up(namespace, qualname)
            if found is not None and getattr(found, "__module__", None) == module:
                return found
        return find_loaded(name)

    def resolve(self, name: str) -> type | None:
        """Return the class called `module:qualname`, or None."""
        found = self.find(name)
        return found if isinstance(found, type) else None

    def _namespaces(self) -> Iterator[Mapping[str, Any]]:
        program = self._program
        arguments = (*program.args, *program.kwargs.values())
        seen: set[int] = set()
        for value in (*arguments, *program.trainer.callbacks):
            for each in type(value).__mro__:
                for function in vars(each).values():
                    namespace = getattr(function, "__globals__", None)
                    if namespace is not None and id(namespace) not in seen:
                        seen.add(id(namespace))
                        yield namespace


def find_loaded(name: str) -> Any:
    """Return what is called `module:qualname` in a module that is loaded already, or None."""
    module, _, qualname = name.partition(":")
    loaded = sys.modules.get(module)
    return None if loaded is None else _look_up(vars(loaded), qualname)


def _look_up(namespace: Mapping[str, Any], qualname: str) -> Any:
    found: Any = namespace
    for part in qualname.split("."):
        inner = found if isinstance(found, Mapping) else getattr(found, "__dict__", {})
        found = inner.get(part)
    return found.__func__ if isinstance(found, staticmethod) else found
