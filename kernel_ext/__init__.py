"""The notebook door: magics that parse, delegate and display."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics; loading again changes nothing."""
    from kernel_ext.magics import GensynMagics

    shell.register_magics(GensynMagics)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away."""
    from kernel_ext.magics import NAMES

    for kind, name in NAMES:
        shell.magics_manager.magics[kind].pop(name, None)
