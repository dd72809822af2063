"""Something to do as soon as a module is imported; standard library only, since torch loads us."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Watch:
    """A finder for `sys.meta_path`: finds modules as usual, and calls `then` with those named.

    `then` is called once a module has been executed. What goes wrong in here, and in `then`, is
    told to `failed`; it stays out of the import unless that raises.
    """

    def __init__(
        self,
        names: Sequence[str],
        then: Callable[[ModuleType], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.names = tuple(names)
        self._then, self._failed = then, failed
        self._searching = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec the other finders give, with a loader that calls `then` at its end."""
        if name not in self.names or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            self._safely(self._extend, spec.loader)
        return spec

    def _extend(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._safely(self._then, module)

        loader.exec_module = exec_module

    def _safely(self, call: Callable[[Any], None], argument: Any) -> None:
        try:
            call(argument)
        except Exception as error:
            self._failed(error)
