"""Fetches what the segments that stand in a report left behind, and nothing they did not sign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.errors import InvalidProof
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.report.case import Attempt
from gensyn_lightning.training import files, outputs, state
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.files import State
from gensyn_lightning.training.leaf import Leaf
from gensyn_lightning.training.outputs import Outputs
from gensyn_lightning.training.returning import Result, net_files

Moved = Callable[[int, int], None]


@dataclass(slots=True)
class Collector:
    """Fetches what `standing` left, the attempts of a report that was checked, into `folder`.

    `leaves` are those of the end state in that report; `bytes_moved` counts what came.
    """

    client: Client
    standing: Sequence[tuple[Attempt, Commitment]]
    leaves: Sequence[Leaf]
    folder: Path
    moved: Moved | None = None
    bytes_moved: int = field(default=0, init=False)

    def collect(self, confined: ConfinedFolders) -> Result | None:
        """Return what the segments gave, or None when none stands.

        Files are refused by name and length before they are fetched. Raises `InvalidProof` or
        `ArtifactError` where anything is not what its solver signed.
        """
        if not self.standing:
            return None
        listed = [self._outputs(*each) for each in self.standing]
        stored = self._files(listed, confined)
        attempt, claim = self.standing[-1]
        return Result(claim.outcome, self._end_state(attempt, claim), listed, stored)

    def _outputs(self, attempt: Attempt, claim: Commitment) -> Outputs:
        if attempt.outputs is None:
            raise InvalidProof(f"segment {claim.task_index} names no outputs")
        data = self.client.read(attempt.outputs, bytes_max=outputs.BYTES_MAX)
        self.bytes_moved += len(data)
        found = outputs.parse(data)
        if outputs.root(found) != claim.outputs_root:
            raise InvalidProof(f"segment {claim.task_index} has other outputs than it signed")
        return found

    def _files(self, listed: Sequence[Outputs], confined: ConfinedFolders) -> Path:
        stored = self.folder / "files"
        stored.mkdir()
        wanted, _ = net_files(listed)
        for each in wanted:
            confined.reserve(each.folder, each.path, each.length)
        for each in wanted:
            path = stored / each.digest.hex()
            if not path.exists():
                self._download(each.digest, path, each.length)
        return stored

    def _end_state(self, attempt: Attempt, claim: Commitment) -> State:
        if attempt.refs is None:
            raise InvalidProof(f"segment {claim.task_index} names no end state")
        place = self.folder / "state"
        place.mkdir()
        structure, tensors = attempt.refs
        self._download(structure, place / files.STRUCTURE_NAME, files.STRUCTURE_BYTES_MAX)
        self._download(tensors, place / files.TENSORS_NAME, files.tensors_length(self.leaves))
        return state.load(place, expected_root=claim.end_root)

    def _download(self, digest: Digest, path: Path, bytes_max: int) -> None:
        self.bytes_moved += self.client.download(digest, path, self.moved, bytes_max=bytes_max)
