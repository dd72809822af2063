"""The scalar programs of `repops-1`, by family; what they are traced to is frozen by vectors."""

from __future__ import annotations

import importlib
import pkgutil

from gensyn_lightning.repops.word import Definition


def all_definitions() -> list[Definition]:
    """Return every definition of this package, by name."""
    found: dict[str, Definition] = {}
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        for each in vars(loaded).values():
            for one in each.values() if isinstance(each, dict) else [each]:
                if isinstance(one, Definition) and found.setdefault(one.name, one) is not one:
                    raise ValueError(f"two programs are named {one.name}")
    return [found[name] for name in sorted(found)]
