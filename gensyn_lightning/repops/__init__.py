"""Operators that give the same bits on every machine: one definition, a reference and kernels.

`with repops.reproducible():` has the whole process compute by them while the block runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gensyn_lightning.repops.registry import reproducible as reproducible

VERSION = "repops-1"
__all__ = ["VERSION", "reproducible"]


def __getattr__(name: str) -> Any:
    """Load the registry on first use: who only asks for the version needs no torch."""
    if name == "reproducible":
        from gensyn_lightning.repops.registry import reproducible

        return reproducible
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
