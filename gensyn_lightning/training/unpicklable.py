"""Finds the way to the object that cannot be pickled, so that the error can name it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

OBJECTS_MAX = 200_000


def path_to(culprit: Any, roots: Mapping[str, Any]) -> str:
    """Return the shortest way from one of the named roots to `culprit`, and its type."""
    label = f"({type(culprit).__name__})"
    waiting = deque(roots.items())
    seen = {id(each) for each in roots.values()}
    while waiting and len(seen) < OBJECTS_MAX:
        path, value = waiting.popleft()
        if value is culprit:
            return f"{path} {label}"
        for name, part in _parts(value):
            if id(part) not in seen:
                seen.add(id(part))
                waiting.append((path + name, part))
    return f"something inside the program {label}"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in list(value.items()):
            yield f".{key}" if isinstance(key, str) else f"[{key!r}]", each
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", each) for index, each in enumerate(value))
    if isinstance(getattr(value, "__dict__", None), dict):
        yield from ((f".{key}", each) for key, each in list(vars(value).items()))
    names = getattr(getattr(value, "__code__", None), "co_freevars", ())
    cells = getattr(value, "__closure__", None) or ()
    for name, cell in zip(names, cells, strict=False):
        yield f".{name}", cell.cell_contents
    yield from ((".__func__", each) for each in [getattr(value, "__func__", None)] if each)
