"""What comes back is what the segments that stand have signed, or nothing of it is used."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.errors import ArtifactError, GensynError, InvalidProof
from gensyn_lightning.launcher.collecting import Collector
from gensyn_lightning.protocol import attempt
from gensyn_lightning.protocol.commitment import Commitment, Outcome
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, digest_of
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.protocol.task import Task
from gensyn_lightning.report.case import Attempt
from gensyn_lightning.training import outputs, state
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.leaf import Leaf
from gensyn_lightning.training.manifest import Folder
from gensyn_lightning.training.outputs import File, Outputs

JOB, SOLVER = JobId(bytes(32)), Address(bytes(20))


@dataclass
class Store:
    """A network's artifacts, true to their digests unless a test changes them."""

    artifacts: dict[Digest, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> Digest:
        self.artifacts[digest_of(data)] = data
        return digest_of(data)

    def read(self, digest: Digest, *, bytes_max: int) -> bytes:
        return self.artifacts[digest]

    def download(self, digest: Digest, into: Path, progress: Any, *, bytes_max: int) -> int:
        data = self.artifacts[digest]
        if len(data) > bytes_max:
            raise ArtifactError("longer than it was said to be")
        into.write_bytes(data)
        return len(data)


@dataclass
class Case:
    """A job of which two segments stand."""

    store: Store
    folder: Path
    confined: ConfinedFolders
    standing: list[tuple[Attempt, Commitment]] = field(default_factory=list)
    leaves: tuple[Leaf, ...] = ()

    def collect(self) -> Any:
        collector = Collector(self.store, self.standing, self.leaves, self.folder)  # type: ignore[arg-type]
        return collector.collect(self.confined)

    def add(self, outcome: Outcome, folder: Path) -> None:
        index = len(self.standing)
        place = folder / f"state-{index}"
        place.mkdir()
        end = state.encode({"model": {"w": index}})
        state.save(end, place)
        self.leaves = end.leaves
        names = ("structure.json", "tensors.safetensors")
        structure, tensors = (self.store.put((place / name).read_bytes()) for name in names)
        content = f"file of segment {index}".encode()
        file = File("root", f"{index}.txt", self.store.put(content), len(content), "bytes")
        written = Outputs((file,), (), (), ())
        claim = Commitment(
            job=JOB,
            task=ZERO,
            task_index=index,
            fence=index + 1,
            solver=SOLVER,
            first_event=10 * index,
            end_event=10 * index + 10,
            batches=10,
            outcome=outcome,
            raised=ZERO,
            start_root=ZERO,
            end_root=end.root,
            tape_root=ZERO,
            outputs_root=outputs.root(written),
            witness=ZERO,
            numerics="native:0",
            sandbox_tier="none",
            store_receipt=ZERO,
        )
        made = _attempt(claim, (structure, tensors), self.store.put(outputs.encode(written)))
        self.standing.append((made, claim))

    def change(self, index: int, **changes: Any) -> None:
        made, claim = self.standing[index]
        self.standing[index] = (replace(made, **changes), claim)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    folder = tmp_path / "collected"
    folder.mkdir()
    folders = (Folder("root", "", "", True, ()),)
    made = Case(Store(), folder, ConfinedFolders(folders, {"root": tmp_path / "runs"}))
    for outcome in (Outcome.CONTINUES, Outcome.FINISHED):
        made.add(outcome, tmp_path)
    return made


def _attempt(claim: Commitment, refs: tuple[Digest, Digest], written: Digest) -> Attempt:
    return Attempt(
        fence=claim.fence,
        task=Task(JOB, claim.task_index, claim.first_event, claim.end_event, claim.start_root),
        state=attempt.State.ACCEPTED,
        solver=SOLVER,
        started_ms=0,
        committed_ms=0,
        draw=None,
        roster=None,
        commitment=claim,
        signature=b"",
        salt=None,
        refs=refs,
        tape=None,
        outputs=written,
        model=None,
        store_receipt=None,
        store_signature=b"",
        provenance="",
        anchor=None,
        seed=None,
        sampled=None,
        audits=(),
        rulings=(),
        equivocations=(),
    )


def test_the_last_state_and_all_files_come(case: Case) -> None:
    found = case.collect()
    assert found.outcome is Outcome.FINISHED
    assert state.decode(found.state) == {"model": {"w": 1}}
    assert [each.files[0].path for each in found.outputs] == ["0.txt", "1.txt"]
    stored = {each.read_bytes() for each in found.files.iterdir()}
    assert stored == {b"file of segment 0", b"file of segment 1"}


def test_nothing_that_stands_is_nothing(case: Case) -> None:
    case.standing.clear()
    assert case.collect() is None


def test_outputs_that_were_not_signed_are_refused(case: Case) -> None:
    case.change(1, outputs=case.standing[0][0].outputs)
    with pytest.raises(InvalidProof, match="segment 1 has other outputs"):
        case.collect()


@pytest.mark.parametrize("missing", ["outputs", "refs"])
def test_what_a_segment_does_not_name_cannot_come(case: Case, missing: str) -> None:
    case.change(1, **{missing: None})
    with pytest.raises(InvalidProof, match="segment 1 names no"):
        case.collect()


def test_a_state_with_another_root_is_refused(case: Case) -> None:
    case.change(1, refs=case.standing[0][0].refs)
    with pytest.raises(ArtifactError):
        case.collect()


def test_no_more_is_fetched_than_the_leaves_of_the_report_take(case: Case) -> None:
    refs = case.standing[1][0].refs
    assert refs is not None
    case.store.artifacts[refs[1]] += bytes(1)
    with pytest.raises(ArtifactError, match="longer"):
        case.collect()


def test_a_file_is_refused_by_its_name_before_it_is_fetched(case: Case) -> None:
    content = b"import os"
    file = File("root", "../mymodel.py", case.store.put(content), len(content), "bytes")
    written = Outputs((file,), (), (), ())
    made, claim = case.standing[1]
    claim = replace(claim, outputs_root=outputs.root(written))
    made = replace(made, outputs=case.store.put(outputs.encode(written)))
    case.standing[1] = (made, claim)
    with pytest.raises(GensynError):
        case.collect()
    assert list((case.folder / "files").iterdir()) == []
