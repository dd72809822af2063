"""Fetches what a job left behind and checks that it is what was committed and accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.errors import InvalidProof
from gensyn_lightning.identity import recover
from gensyn_lightning.protocol.commitment import Commitment, Outcome
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.job import Job, job_id
from gensyn_lightning.training import files, outputs, state
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.files import BYTES_MAX, State
from gensyn_lightning.training.outputs import Outputs
from gensyn_lightning.training.returning import Result, net_files
from gensyn_lightning.wire.jobs import Segment

Moved = Callable[[int, int], None]


@dataclass(slots=True)
class Collector:
    """Fetches the accepted segments of one job into `folder`; `bytes_moved` counts what came."""

    client: Client
    job: Job
    folder: Path
    moved: Moved | None = None
    bytes_moved: int = field(default=0, init=False)

    def collect(self, confined: ConfinedFolders) -> Result | None:
        """Return what the accepted segments gave, or None when none was accepted.

        Files are refused by name and length before they are fetched. Raises `InvalidProof` or
        `ArtifactError` where anything is not what its solver signed.
        """
        accepted = self._accepted()
        if not accepted:
            return None
        listed = [self._outputs(each) for each in accepted]
        stored = self._files(listed, confined)
        last = accepted[-1].commitment
        return Result(last.outcome, self._end_state(accepted[-1]), listed, stored)

    def _accepted(self) -> list[Segment]:
        """Return the accepted segments, each signed, each starting where the one before ended."""
        found: list[Segment] = []
        name, domain = job_id(self.job), self.client.identity.domain
        root, event = self.job.initial_root, 0
        for each in self.client.segments(name):
            if not each.accepted:
                break
            claim = each.commitment
            _must(recover(claim, domain, each.signature) == claim.solver, claim, "signature")
            _must(claim.job == name and claim.task_index == len(found), claim, "place")
            _must(claim.start_root == root and claim.first_event == event, claim, "start")
            _must(not found or _goes_on(found[-1].commitment), claim, "predecessor")
            root, event = claim.end_root, claim.end_event
            found.append(each)
        return found

    def _outputs(self, segment: Segment) -> Outputs:
        data = self.client.read(segment.outputs, bytes_max=outputs.BYTES_MAX)
        self.bytes_moved += len(data)
        found = outputs.parse(data)
        claim = segment.commitment
        _must(outputs.root(found) == claim.outputs_root, claim, "outputs")
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

    def _end_state(self, segment: Segment) -> State:
        place = self.folder / "state"
        place.mkdir()
        refs = segment.state
        self._download(refs.structure, place / files.STRUCTURE_NAME, BYTES_MAX)
        self._download(refs.tensors, place / files.TENSORS_NAME, BYTES_MAX)
        return state.load(place, expected_root=segment.commitment.end_root)

    def _download(self, digest: Digest, path: Path, bytes_max: int) -> None:
        self.bytes_moved += self.client.download(digest, path, self.moved, bytes_max=bytes_max)


def _goes_on(claim: Commitment) -> bool:
    return claim.outcome is Outcome.CONTINUES


def _must(holds: bool, claim: Commitment, what: str) -> None:
    if not holds:
        raise InvalidProof(f"segment {claim.task_index} has the wrong {what}")
