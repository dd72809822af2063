"""Train with Lightning on machines you do not own, and check the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gensyn_lightning import _autoload

if TYPE_CHECKING:
    from gensyn_lightning.strategy import GensynStrategy as GensynStrategy

__version__ = "0.1.0"
__all__ = ["GensynStrategy", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the strategy on first use, so that importing this package loads no torch."""
    if name == "GensynStrategy":
        from gensyn_lightning.strategy import GensynStrategy

        return GensynStrategy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_autoload.install()  # where torch was told not to load plugins, this import does
