"""What comes back is what was signed, segment by segment, or nothing of it is used."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gensyn_lightning.errors import ArtifactError, GensynError, InvalidProof
from gensyn_lightning.identity import Account, sign_record
from gensyn_lightning.launcher.collecting import Collector
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.commitment import Commitment, Outcome
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, Nonce, digest_of
from gensyn_lightning.protocol.job import Job, job_id
from gensyn_lightning.protocol.parameters import Parameters
from gensyn_lightning.training import outputs, state
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.manifest import Folder
from gensyn_lightning.training.outputs import File, Outputs
from gensyn_lightning.wire.jobs import Segment, StateRefs

DOMAIN = Domain(1, Address(bytes(20)))
ACCOUNT = Account.generate()


@dataclass
class Network:
    """A network's answers, true to their digests unless a test changes them."""

    segments_: list[Segment] = field(default_factory=list)
    artifacts: dict[Digest, bytes] = field(default_factory=dict)
    identity: Any = field(default_factory=lambda: SimpleNamespace(domain=DOMAIN))

    def put(self, data: bytes) -> Digest:
        self.artifacts[digest_of(data)] = data
        return digest_of(data)

    def segments(self, name: Digest) -> Iterator[Segment]:
        yield from self.segments_

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
    """A job of two accepted segments on a network."""

    network: Network
    job: Job
    folder: Path
    confined: ConfinedFolders

    def collect(self) -> Any:
        return Collector(self.network, self.job, self.folder).collect(self.confined)  # type: ignore[arg-type]

    def change(self, index: int, *, sign: bool = True, **changes: Any) -> None:
        segment = self.network.segments_[index]
        claim = replace(segment.commitment, **changes)
        signature = sign_record(claim, DOMAIN, ACCOUNT) if sign else segment.signature
        self.network.segments_[index] = replace(segment, commitment=claim, signature=signature)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    network = Network()
    job = Job(
        program=ZERO,
        submitter=ACCOUNT.address,
        nonce=Nonce(bytes(16)),
        numerics="native:0",
        initial_root=Digest(bytes([1]) * 32),
        sandbox_tier="none",
        budget=Money(1),
        value_at_stake=Money(0),
        parameters=Parameters(),
    )
    for index, outcome in enumerate((Outcome.CONTINUES, Outcome.FINISHED)):
        network.segments_.append(_segment(network, job, index, outcome, tmp_path))
    folders = (Folder("root", "", "", True, ()),)
    folder = tmp_path / "collected"
    folder.mkdir()
    return Case(network, job, folder, ConfinedFolders(folders, {"root": tmp_path / "runs"}))


def _segment(network: Network, job: Job, index: int, outcome: Outcome, folder: Path) -> Segment:
    before = network.segments_[-1].commitment.end_root if index else job.initial_root
    place = folder / f"state-{index}"
    place.mkdir()
    end = state.encode({"model": {"w": index}})
    state.save(end, place)
    structure, tensors = (
        network.put((place / name).read_bytes())
        for name in ("structure.json", "tensors.safetensors")
    )
    content = f"file of segment {index}".encode()
    written = Outputs(
        (File("root", f"{index}.txt", network.put(content), len(content), "bytes"),), (), (), ()
    )
    claim = Commitment(
        job=job_id(job),
        task=ZERO,
        task_index=index,
        fence=index + 1,
        solver=ACCOUNT.address,
        first_event=10 * index,
        end_event=10 * index + 10,
        batches=10,
        outcome=outcome,
        raised=ZERO,
        start_root=before,
        end_root=end.root,
        tape_root=ZERO,
        outputs_root=outputs.root(written),
        witness=ZERO,
        numerics="native:0",
        sandbox_tier="none",
        store_receipt=ZERO,
    )
    return Segment(
        commitment=claim,
        signature=sign_record(claim, DOMAIN, ACCOUNT),
        accepted=True,
        state=StateRefs(structure, tensors),
        tape=ZERO,
        outputs=network.put(outputs.encode(written)),
    )


def test_the_last_state_and_all_files_come(case: Case) -> None:
    found = case.collect()
    assert found.outcome is Outcome.FINISHED
    assert state.decode(found.state) == {"model": {"w": 1}}
    assert [each.files[0].path for each in found.outputs] == ["0.txt", "1.txt"]
    stored = {each.read_bytes() for each in found.files.iterdir()}
    assert stored == {b"file of segment 0", b"file of segment 1"}


def test_only_the_accepted_prefix_counts(case: Case) -> None:
    case.network.segments_[1] = replace(case.network.segments_[1], accepted=False)
    found = case.collect()
    assert found.outcome is Outcome.CONTINUES
    assert state.decode(found.state) == {"model": {"w": 0}}


def test_nothing_accepted_is_nothing(case: Case) -> None:
    case.network.segments_.clear()
    assert case.collect() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": Address(bytes(20))},
        {"job": ZERO},
        {"task_index": 2},
        {"start_root": ZERO},
        {"first_event": 11},
        {"outputs_root": ZERO},
        {"batches": 11, "sign": False},
    ],
    ids=str,
)
def test_a_segment_that_is_not_what_was_signed_is_refused(
    case: Case, changes: dict[str, Any]
) -> None:
    case.change(1, **changes)
    with pytest.raises(InvalidProof, match=r"segment [12] has the wrong"):
        case.collect()


def test_nothing_follows_a_segment_that_ended_the_fit(case: Case) -> None:
    case.change(0, outcome=Outcome.FINISHED)
    with pytest.raises(InvalidProof, match="predecessor"):
        case.collect()


def test_a_state_with_another_root_is_refused(case: Case) -> None:
    first, second = case.network.segments_
    case.network.segments_[1] = replace(second, state=first.state)
    with pytest.raises(ArtifactError):
        case.collect()


def test_a_file_is_refused_by_its_name_before_it_is_fetched(case: Case) -> None:
    content = b"import os"
    written = Outputs(
        (File("root", "../mymodel.py", case.network.put(content), len(content), "bytes"),),
        (),
        (),
        (),
    )
    data = outputs.encode(written)
    case.network.segments_[1] = replace(case.network.segments_[1], outputs=case.network.put(data))
    case.change(1, outputs_root=outputs.root(written))
    with pytest.raises(GensynError):
        case.collect()
    assert list((case.folder / "files").iterdir()) == []
