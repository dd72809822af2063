"""What ATen's operators are made of, by family: shapes in, stages and kernels out."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from gensyn_lightning.repops.coverage import COVERED, Covered


@cache
def load_all() -> dict[str, Covered]:
    """Import every family of operators and return what they cover, by overload name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return COVERED
