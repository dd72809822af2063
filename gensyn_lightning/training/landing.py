"""Where a trainer that comes back will write next: only where it had said so before it left.

A state names paths: where checkpoints go, which of them are kept and which are cleaned up. Whoever
made one up could otherwise have the next fit write or delete anywhere on the submitter's machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import Malformed
from gensyn_lightning.training import surroundings
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.objects import Entries

_ROOT = "trainer/_default_root_dir"


def check(trainer: Any, entries: Entries, confined: ConfinedFolders) -> None:
    """Raise `Malformed` if `entries` would have `trainer` write outside of declared folders.

    What is as it was may stay. What a callback with a `dirpath` calls its files may not change.
    """
    _must_stay(_ROOT, entries.get(_ROOT), trainer._default_root_dir, "", confined)
    for path, callback in surroundings.callbacks(trainer):
        if not hasattr(callback, "dirpath"):
            continue
        folder = callback.dirpath
        own = os.path.abspath(folder) if isinstance(folder, str | os.PathLike) else ""
        for name, entry in entries.items():
            if name.startswith(f"{path}/"):
                attribute = name.removeprefix(f"{path}/").partition("/")[0]
                before = getattr(callback, attribute, None)
                _must_stay(name, entry, before, own, confined)
                if attribute == "filename" or attribute.isupper():
                    _must_be(name, entry, before)


def _must_stay(
    name: str, entry: object, before: object, own: str, confined: ConfinedFolders
) -> None:
    known = set(_texts(before))
    for text in _texts(entry):
        parts = text.replace("\\", "/").split("/")
        inside = confined.has(text) or (own and Path(os.path.abspath(text)).is_relative_to(own))
        if (os.path.isabs(text) or ".." in parts) and not inside and text not in known:
            raise Malformed(f"the state moves {name} to where nothing was declared")


def _must_be(name: str, entry: object, before: object) -> None:
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    if type(value) is not type(before) or value != before:
        raise Malformed(f"the state changes {name}, by which files are called")


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a value, the keys of its dicts too."""
    if isinstance(value, str | Path):
        yield os.fspath(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _texts(each)
