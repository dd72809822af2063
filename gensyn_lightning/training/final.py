"""The root of a finished fit, wherever it ran: what the network's end state is compared with."""

from __future__ import annotations

from typing import Any

from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training import snapshot, state
from gensyn_lightning.training.declared import declare


class FinalRoot:
    """Watches one plain local fit: create it before `trainer.fit`, ask for `root()` after it."""

    def __init__(self, trainer: Any) -> None:
        # Paths are part of the state by folder, and a fit may add folders of its own.
        self._trainer = trainer
        self._folders = declare(trainer)[1]

    def root(self) -> Digest:
        """Return the root of the trainer's state after its fit."""
        value = snapshot.take(self._trainer, final=True)
        return state.encode(
            value, folders=self._folders, on_unknown=lambda path, each: state.DROP
        ).root


def final_root(trainer: Any) -> Digest:
    """Return the root of a trainer whose fit is over and left no folders but the declared ones."""
    return FinalRoot(trainer).root()
