"""Bytes behind a commitment: whole, held, and the ones that were signed for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.evidence import StoredEvidence
from gensyn_lightning.errors import ArtifactError, GensynError, InvalidProof
from gensyn_lightning.identity import sign_record
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import Digest, digest_of, keccak
from gensyn_lightning.report.leaves import model_digest
from gensyn_lightning.report.statement import sign_provenance
from gensyn_lightning.training import files, outputs, state
from gensyn_lightning.wire.jobs import StateRefs

WRITTEN = b"epoch,loss\n0,0.5\n"


@pytest.fixture
def evidence(world: Any, tmp_path: Path) -> StoredEvidence:
    return StoredEvidence(world.artifacts, world.domain, tmp_path, 1 << 20)


@pytest.fixture
def handed(world: Any, tmp_path: Path) -> Any:
    """Return a commitment to a real state, tape and list of outputs, all of them stored."""
    while not any(each.work for each in world.actors):
        world.step()
    solver = next(each for each in world.actors if each.work)
    request = solver.commitment(solver.work, solver.honest_run(solver.work))
    end = state.encode({"model": {"weight": [1, 2, 3]}, "loops": {"batch": 7}})
    files.save(end, tmp_path)
    put = world.artifacts.put
    refs = StateRefs(
        put((tmp_path / files.STRUCTURE_NAME).read_bytes()),
        put((tmp_path / files.TENSORS_NAME).read_bytes()),
    )
    written = outputs.File("logs", "metrics.csv", put(WRITTEN), len(WRITTEN), "bytes")
    listed = outputs.Outputs((written,), (), (), ())
    events = [[3, [["time", "0x1p+0"]]]]
    claim = replace(
        request.commitment,
        end_root=end.root,
        tape_root=merkle.root([json_bytes(each) for each in events]),
        outputs_root=outputs.root(listed),
    )
    signature = sign_record(claim, world.domain, solver.account)
    return replace(
        request,
        commitment=claim,
        signature=signature,
        state=refs,
        model=model_digest(end.leaves),
        tape=put(json_bytes({"schema": "t", "events": events})),
        outputs=put(outputs.encode(listed)),
        provenance=sign_provenance(solver.identity, claim, signature),
    )


def test_an_honest_commitment_is_backed_by_its_bytes(evidence: StoredEvidence, handed: Any) -> None:
    evidence.check_stored(handed)
    evidence.check_provenance(handed)


@pytest.mark.parametrize("name", ["end_root", "tape_root", "outputs_root"])
def test_a_root_over_other_bytes_is_refused(
    evidence: StoredEvidence, handed: Any, name: str
) -> None:
    claim = replace(handed.commitment, **{name: keccak(b"other")})
    with pytest.raises(ArtifactError):
        evidence.check_stored(replace(handed, commitment=claim))


def test_another_model_than_the_states_is_refused(evidence: StoredEvidence, handed: Any) -> None:
    with pytest.raises(ArtifactError, match="model"):
        evidence.check_stored(replace(handed, model=keccak(b"other")))


def test_bytes_that_are_no_state_tape_or_list_are_refused(
    evidence: StoredEvidence, world: Any, handed: Any
) -> None:
    junk = world.artifacts.put(b"{}")
    for wrong in (
        replace(handed, state=StateRefs(junk, handed.state.tensors)),
        replace(handed, state=StateRefs(handed.state.structure, junk)),
        replace(handed, tape=junk),
        replace(handed, outputs=junk),
        replace(handed, tape=world.artifacts.put(b"\xff")),
        replace(handed, outputs=world.artifacts.put(b"[1.5]")),
    ):
        with pytest.raises(GensynError):
            evidence.check_stored(wrong)


def test_a_listed_file_that_is_not_stored_is_asked_for(
    evidence: StoredEvidence, world: Any, handed: Any
) -> None:
    for digest, length in ((digest_of(b"nowhere"), 3), (digest_of(WRITTEN), 3)):
        listed = outputs.Outputs(
            (outputs.File("logs", "m.csv", Digest(digest), length, "bytes"),), (), (), ()
        )
        claim = replace(handed.commitment, outputs_root=outputs.root(listed))
        named = world.artifacts.put(outputs.encode(listed))
        with pytest.raises(ArtifactError, match=r"m\.csv"):
            evidence.check_stored(replace(handed, commitment=claim, outputs=named))


def test_a_statement_about_another_record_or_by_another_key_is_refused(
    evidence: StoredEvidence, world: Any, handed: Any
) -> None:
    other = replace(handed.commitment, batches=1)
    with pytest.raises(InvalidProof):
        evidence.check_provenance(replace(handed, commitment=other))
    stranger = next(e for e in world.actors if e.address != handed.commitment.solver)
    signed = sign_provenance(stranger.identity, handed.commitment, handed.signature)
    with pytest.raises(InvalidProof):
        evidence.check_provenance(replace(handed, provenance=signed))
    for junk in (b"", b"{}", handed.provenance[:-1], b" " + handed.provenance):
        with pytest.raises(GensynError):
            evidence.check_provenance(replace(handed, provenance=junk))
