"""Whether stored bytes and signed statements are what a commitment or a replay says they are.

A state is read in full and hashed before the commitment counts, so that an end state nobody can
continue from is refused at once, and the model named in a receipt is the one in the state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from coordinator import limits
from gensyn_lightning.artifacts import Artifacts
from gensyn_lightning.artifacts.port import READ_BYTES_MAX
from gensyn_lightning.errors import (
    ArtifactError,
    InvalidProof,
    LimitExceeded,
    Malformed,
    StateError,
)
from gensyn_lightning.identity import Role, SignedDelegation
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import Domain, json_bytes, parse_json
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.report import dsse, statement
from gensyn_lightning.report.case import delegation
from gensyn_lightning.report.leaves import model_digest
from gensyn_lightning.wire import nodes as wire


@dataclass(frozen=True, slots=True)
class _Form:
    """In which role a statement is made, and where in it the delegation stands."""

    role: Role
    where: tuple[str, ...]


_PROVENANCE = _Form(Role.SOLVER, ("runDetails", "byproducts"))
_TEST_RESULT = _Form(Role.VERIFIER, ("configuration",))


@dataclass(frozen=True)
class StoredEvidence:
    """Checks against a store of artifacts; states larger than `state_bytes_max` are refused."""

    artifacts: Artifacts
    domain: Domain
    scratch: Path
    state_bytes_max: int

    def check_stored(self, request: wire.CommitRequest) -> None:
        """Read what a commitment rests on; raise `ArtifactError` unless it is what is claimed."""
        self.check_state(request)
        self._check_tape(request)
        self._check_outputs(request)

    def check_state(self, request: wire.CommitRequest) -> None:
        """Read the end state in full; raise `ArtifactError` unless it is the one committed to."""
        from gensyn_lightning.training import files

        refs, root = request.state, request.commitment.end_root
        with TemporaryDirectory(dir=self.scratch) as folder:
            structure, tensors = Path(folder) / "structure", Path(folder) / "tensors"
            self.artifacts.materialise(refs.structure, structure)
            self.artifacts.materialise(refs.tensors, tensors)
            try:
                state = files.read(
                    structure, tensors, expected_root=root, bytes_max=self.state_bytes_max
                )
            except StateError as error:
                raise ArtifactError(f"the end state is none: {error}") from None
        if model_digest(state.leaves) != request.model:
            raise ArtifactError("the model is not the one in the end state")

    def _check_tape(self, request: wire.CommitRequest) -> None:
        recorded = self._read(request.tape, limits.TAPE_BYTES_MAX)
        try:
            events = parse_json(recorded, bytes_max=limits.TAPE_BYTES_MAX)["events"]
            root = merkle.root([json_bytes(each) for each in events])
        except (Malformed, KeyError, TypeError) as error:
            raise ArtifactError(f"the tape is none: {error}") from None
        if root != request.commitment.tape_root:
            raise ArtifactError("the tape is not the one committed to")

    def _check_outputs(self, request: wire.CommitRequest) -> None:
        """See that the list of outputs is the one committed to and every file in it is held."""
        from gensyn_lightning.training import outputs

        try:
            listed = outputs.parse(self._read(request.outputs, outputs.BYTES_MAX))
        except Malformed as error:
            raise ArtifactError(f"the list of outputs is none: {error}") from None
        if outputs.root(listed) != request.commitment.outputs_root:
            raise ArtifactError("the outputs are not the ones committed to")
        for each in listed.files:
            held = each.link or (
                self.artifacts.has(each.digest)
                and self.artifacts.length(each.digest) == each.length
            )
            if not held:
                raise ArtifactError(f"the store lacks the file {each.path[:200]}", hint="send it")

    def _read(self, digest: Digest, bytes_max: int) -> bytes:
        length = self.artifacts.length(digest)
        if length > bytes_max:
            raise LimitExceeded(f"an artifact of {length} bytes exceeds {bytes_max}")
        pieces = range(0, length, READ_BYTES_MAX)
        return b"".join(self.artifacts.read(digest, at, READ_BYTES_MAX) for at in pieces)

    def check_provenance(self, request: wire.CommitRequest) -> None:
        """Rebuild the solver's statement and compare."""
        claim, signature = request.commitment, request.signature
        self._check(
            request.provenance,
            claim.solver,
            _PROVENANCE,
            lambda lent: statement.provenance(claim, signature, self.domain, lent),
        )

    def check_result(self, commitment: Commitment, request: wire.ReportRequest) -> None:
        """Rebuild the verifier's statement and compare."""
        replay, signature = request.replay, request.signature
        self._check(
            request.result,
            replay.verifier,
            _TEST_RESULT,
            lambda lent: statement.test_result(commitment, replay, signature, self.domain, lent),
        )

    def _check(
        self,
        envelope: bytes,
        author: Address,
        form: _Form,
        expected: Callable[[SignedDelegation], dict[str, Any]],
    ) -> None:
        opened = dsse.unseal(envelope)
        lent = SignedDelegation.parse(_lent(opened.payload, form.where).to_bytes(), self.domain)
        if lent.delegation.account != author or form.role not in lent.delegation.roles:
            raise InvalidProof("the statement is by someone else, or not in this role")
        if opened.key != lent.delegation.node_key:
            raise InvalidProof("the statement is signed by another key than the delegated one")
        if opened.payload != expected(lent):
            raise InvalidProof("the statement says something else than the record it is about")


def _lent(payload: Any, where: tuple[str, ...]) -> SignedDelegation:
    try:
        found = payload["predicate"]
        for name in where:
            found = found[name]
        return delegation(found[0]["annotations"]["delegation"], "record")
    except (KeyError, TypeError, IndexError, ValueError):
        raise InvalidProof("the statement carries no delegation") from None
