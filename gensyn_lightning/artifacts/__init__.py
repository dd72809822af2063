"""Bytes named by their digest: a store on this machine, and the way to the coordinator's."""

from __future__ import annotations

from gensyn_lightning.artifacts.folder import FolderArtifacts
from gensyn_lightning.artifacts.memory import MemoryArtifacts
from gensyn_lightning.artifacts.port import Artifacts, Quota, Stage

__all__ = ["Artifacts", "FolderArtifacts", "MemoryArtifacts", "Quota", "Stage"]
