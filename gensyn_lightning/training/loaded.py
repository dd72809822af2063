"""A program loaded into this process, its surroundings ready, and nothing of it run.

Loading looks at the program, its artifacts and the folder it will run in, and at nothing that
differs from one segment of it to the next: so a process may load once, and forks of it run.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.training import forking, normal, recorder
from gensyn_lightning.training.asked import Asked
from gensyn_lightning.training.console import Console
from gensyn_lightning.training.folders import lay_out
from gensyn_lightning.training.manifest import read_manifest
from gensyn_lightning.training.program import Program, load_program
from gensyn_lightning.training.tape import Tape
from gensyn_lightning.training.workspace import Workspace


class Loaded:
    """The program named `manifest`, to be run in `scratch`; changes this process for good.

    `artifacts` is a folder of files named by their digest; `perturb` other than 0 asks for an
    unlike environment. Raises `ArtifactError` for missing or foreign bytes, `VersionSkew`.
    """

    def __init__(self, manifest: Digest, artifacts: Path, scratch: Path, perturb: int = 0) -> None:
        self.name, self.scratch = manifest, scratch
        self.manifest = read_manifest(manifest, artifacts)
        normal.enter(
            threads=self.manifest.threads,
            arithmetic=self.manifest.arithmetic,
            perturb=perturb,
            forks=True,
        )
        self._settle()
        self.tape = Tape(seed=manifest)
        self.calls = recorder.Calls(self.folders)
        self.console = Console()
        self.workspace = Workspace(self.manifest, self.folders, artifacts, scratch / "files")
        self.asked = Asked()
        self.tape.install()
        self.asked.install()
        self.console.install()
        before = self._traces()
        self.program = self._load(artifacts)
        self._left_traces = self._traces() != before

    def start(self) -> None:
        """Make this process, or a fork of it, one that runs: call it once."""
        self._settle()
        self.workspace.names_only.guard()
        normal.start_threads(self.manifest.threads)

    def _settle(self) -> None:
        """Lay the program's folders out, and go where it expects to run.

        Relative paths then mean the same as where it was captured.
        """
        self.folders = lay_out(self.manifest, self.scratch / "folders")
        os.chdir(self.folders["cwd"])

    @property
    def forks(self) -> bool:
        """Whether a fork of this process is as good as one that loads the program itself.

        It is not if loading started a thread or a process, opened a file, mapped shared memory or
        wrote into the program's folders.
        """
        return not self._left_traces and forking.alone()

    def _load(self, artifacts: Path) -> Program:
        manifest = self.manifest
        loggers = recorder.recorders(manifest.loggers, manifest.flavour, self.folders, self.calls)
        for each in manifest.environment:
            normal.set_variable(each.name, each.value)
        torch.set_default_dtype(getattr(torch, manifest.flags.default_dtype))
        return load_program(self.name, artifacts, self.folders, loggers=loggers)

    def _traces(self) -> object:
        return forking.shared(), self.workspace.stamps()
