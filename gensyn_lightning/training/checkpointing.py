"""Checkpoints inside a runner: written as canonical state, read back from it.

Two runs of one program write the same bytes, which no zip of pickles does. Whoever delivers them
turns them into Lightning's own `.ckpt`.
"""

from __future__ import annotations

import functools
import importlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import state
from gensyn_lightning.training.files import CONTAINER_MAGIC
from gensyn_lightning.training.named import Resolver
from gensyn_lightning.training.program import Resume

_FABRIC = {
    "lightning.pytorch": "lightning.fabric.plugins",
    "pytorch_lightning": "lightning_fabric.plugins",
}


def checkpoint_io(
    flavour: str, folders: Mapping[str, Path], resume: Resume | None, resolve: Resolver
) -> Any:
    """Return Lightning's plugin that reads and writes checkpoints in a runner."""
    return _kind(flavour)(folders, resume, resolve)


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is a checkpoint as written here."""
    with path.open("rb") as file:
        return file.read(len(CONTAINER_MAGIC)) == CONTAINER_MAGIC


@functools.cache
def _kind(flavour: str) -> Any:
    parent: Any = importlib.import_module(_FABRIC[flavour]).CheckpointIO

    class CanonicalCheckpoints(parent):  # type: ignore[misc]
        """Checkpoints as canonical state."""

        def __init__(
            self, folders: Mapping[str, Path], resume: Resume | None, resolve: Resolver
        ) -> None:
            self._folders, self._resume, self._resolve = folders, resume, resolve

        def save_checkpoint(
            self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
        ) -> None:
            _save(checkpoint, Path(path), self._folders)

        def load_checkpoint(
            self, path: Any, map_location: Any = None, weights_only: bool | None = None
        ) -> Any:
            if self._resume is not None and os.fspath(path) == self._resume.path:
                return self._resume.content
            file = _existing(path)
            if is_checkpoint(file):
                return state.read_container(file, folders=self._folders, resolve=self._resolve)
            return torch.load(file, map_location="cpu", weights_only=weights_only is not False)

        def remove_checkpoint(self, path: Any) -> None:
            _remove(Path(path))

    return CanonicalCheckpoints


def _save(checkpoint: dict[str, Any], target: Path, folders: Mapping[str, Path]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.part")
    try:
        state.write_container(checkpoint, staged, folders=folders)
        os.replace(staged, target)
    except StateError as error:
        raise StateError(
            f"the checkpoint {target.name} cannot be written: {error}",
            hint="keep only plain values, tensors and arrays in hyperparameters and "
            "in what on_save_checkpoint adds",
        ) from error
    finally:
        staged.unlink(missing_ok=True)


def _existing(path: Any) -> Path:
    if not os.path.exists(path):
        raise FileNotFoundError(f"Checkpoint file not found: {path}")
    return Path(path)


def _remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)
