"""What nodes hand in: commitments, salts, promises and replays, each checked before it counts.

A request that was taken before is answered again and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from coordinator import admission, checking, limits, solving
from coordinator.nodes import Nodes, work_for
from coordinator.page import Page
from coordinator.rows import AttemptRow, AuditRow, Equivocation, Handover, work_of
from gensyn_lightning.artifacts import Artifacts
from gensyn_lightning.errors import (
    ArtifactError,
    InvalidProof,
    InvalidTransition,
    LeaseLost,
    LimitExceeded,
    NotFound,
    Unauthenticated,
)
from gensyn_lightning.identity import Caller, recover
from gensyn_lightning.protocol import attempt, audit, task
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.wire import nodes as wire


class Evidence(Protocol):
    """Says whether bytes are what a record says they are."""

    def check_stored(self, request: wire.CommitRequest) -> None:
        """MUST raise `ArtifactError` unless stored state, tape and outputs are those claimed."""

    def check_provenance(self, request: wire.CommitRequest) -> None:
        """MUST raise `InvalidProof` unless the solver's statement says what it committed to."""

    def check_result(self, commitment: Commitment, request: wire.ReportRequest) -> None:
        """MUST raise `InvalidProof` unless the verifier's statement says what it found."""


@dataclass(frozen=True)
class HandingIn:
    """The engine, as nodes with results see it; `holder` is the store's account."""

    nodes: Nodes
    artifacts: Artifacts
    evidence: Evidence
    domain: Domain
    holder: Address

    def commit(self, request: wire.CommitRequest, caller: Caller) -> wire.CommitResponse:
        """Take a finished segment; the same solver may go on with the next one at once."""
        if self.awaits(request, caller):
            self.examine(request)
        return self.take(request, caller)

    def awaits(self, request: wire.CommitRequest, caller: Caller) -> bool:
        """Whether this is a lease's first commitment, and fits the lease: then it is examined."""
        page, row = self._attempt(caller, request.work_id, request.fence)
        self._signed(request.commitment, request.signature, caller.account)
        if row.handover is not None:
            return False
        if row.state is not attempt.State.LEASED:
            raise LeaseLost("this lease has run out")
        admission.check_commitment(request, row, page.job.record, self.holder)
        self._signed(request.store_receipt, request.store_signature, self.holder)
        return True

    def examine(self, request: wire.CommitRequest) -> None:
        """Check the bytes behind a commitment; long work that needs no engine, for any thread."""
        self._check_held(request)
        if len(request.provenance) > limits.ENVELOPE_BYTES_MAX:
            raise LimitExceeded(f"a statement takes at most {limits.ENVELOPE_BYTES_MAX} bytes")
        self.evidence.check_provenance(request)
        self.evidence.check_stored(request)

    def take(self, request: wire.CommitRequest, caller: Caller) -> wire.CommitResponse:
        """Take a commitment that was examined; time has passed, so the lease is looked at again."""
        engine = self.nodes.engine
        node = engine.roster.called(caller.account, engine.now_ms())
        page, row = self._attempt(caller, request.work_id, request.fence)
        if not self.awaits(request, caller):
            return self._again(page, row, request, caller)
        handover = self._handover(request, engine.now_ms())
        with engine.edit(page.job.id):
            solving.commit(page, row, handover, request.spent_ms)
            solving.extend(page)
            following = self.nodes.follow_on(page, node) if request.wants_next else None
        return wire.CommitResponse(following, tuple(self.nodes.commands(caller.account)))

    def open_salt(self, request: wire.OpenSaltRequest, caller: Caller) -> wire.OpenSaltResponse:
        """Take a salt that was asked for."""
        page, row = self._asked(caller, request.commitment)
        if row.salt is None:
            with self.nodes.engine.edit(page.job.id):
                checking.open_salt(page, row, request.salt)
        return wire.OpenSaltResponse()

    def promise(self, request: wire.PromiseRequest, caller: Caller) -> wire.PromiseResponse:
        """Take a blind report."""
        page, row = self._audit(caller, request.work_id, request.fence)
        if row.promise != request.report:
            if row.state is not audit.State.LEASED:
                raise InvalidTransition("another replay was promised already")
            admission.check_promise(request.report, row, page.attempts[row.attempt])
            self._signed(request.report, request.signature, caller.account)
            with self.nodes.engine.edit(page.job.id):
                checking.promise(page, row, request.report, request.signature)
        return wire.PromiseResponse(page.audits[row.fence].audit.lease_until_ms)

    def report(self, request: wire.ReportRequest, caller: Caller) -> wire.ReportResponse:
        """Take an opened replay."""
        page, row = self._reported(caller, request.work_id, request.fence)
        if row.state is audit.State.REPORTED:
            if row.replay != request.replay:
                raise InvalidTransition("another replay was reported already")
            return wire.ReportResponse()
        judged = page.attempts[row.attempt]
        if judged.salt is None or judged.handover is None:
            raise InvalidTransition("the salt is not open yet", hint="wait to be told")
        self._check_report(request, row, judged.handover.commitment, caller)
        result = self._keep(request.result)
        with self.nodes.engine.edit(page.job.id):
            checking.report(page, row, request.replay, request.signature, result)
        return wire.ReportResponse()

    def _again(
        self, page: Page, row: AttemptRow, request: wire.CommitRequest, caller: Caller
    ) -> wire.CommitResponse:
        """Answer a commitment that is there already, or note that it is not the same."""
        assert row.handover is not None
        claim = request.commitment
        if claim != row.handover.commitment:
            self._contradicted(page, row, request)
            raise InvalidTransition(
                "another commitment was signed for this attempt", hint="one attempt, one claim"
            )
        following = next(
            (
                work_for(page, each)
                for each in page.held_by(caller.account)
                if isinstance(each, AttemptRow) and request.wants_next
            ),
            None,
        )
        return wire.CommitResponse(following, tuple(self.nodes.commands(caller.account)))

    def _contradicted(self, page: Page, row: AttemptRow, request: wire.CommitRequest) -> None:
        """Keep two signed claims about one attempt: together they convict their author."""
        claim, known = request.commitment, [each.commitment for each in row.equivocations]
        about = (claim.task, claim.fence, claim.solver)
        same = about == (task.task_id(row.task), row.fence, row.solver)
        full = len(known) >= limits.EQUIVOCATIONS_PER_ATTEMPT_MAX
        if not same or full or claim in known:
            return
        with self.nodes.engine.edit(page.job.id):
            proof = Equivocation(claim, request.signature)
            page.put(replace(row, equivocations=(*row.equivocations, proof)))
            page.note(
                "equivocated",
                index=row.task.index,
                fence=row.fence,
                solver=row.solver.hex(),
            )

    def _check_held(self, request: wire.CommitRequest) -> None:
        """Raise `ArtifactError` unless the store has what the commitment rests on."""
        receipt = request.store_receipt
        needed = {*receipt.artifacts, request.tape, request.outputs}
        missing = sorted(each for each in needed if not self.artifacts.has(each))
        if missing:
            raise ArtifactError(
                f"the store lacks {missing[0].hex()}", hint="send it, then commit again"
            )
        if sum(map(self.artifacts.length, receipt.artifacts)) != receipt.length:
            raise ArtifactError("the store receipt names another length")

    def _check_report(
        self, request: wire.ReportRequest, row: AuditRow, claim: Commitment, caller: Caller
    ) -> None:
        admission.check_replay(request.replay, row)
        self._signed(request.replay, request.signature, caller.account)
        if len(request.result) > limits.ENVELOPE_BYTES_MAX:
            raise LimitExceeded(f"a statement takes at most {limits.ENVELOPE_BYTES_MAX} bytes")
        self.evidence.check_result(claim, request)

    def _handover(self, request: wire.CommitRequest, now_ms: int) -> Handover:
        return Handover(
            commitment=request.commitment,
            signature=request.signature,
            refs=request.state,
            tape=request.tape,
            outputs=request.outputs,
            model=request.model,
            store_receipt=request.store_receipt,
            store_signature=request.store_signature,
            provenance=self._keep(request.provenance),
            committed_ms=now_ms,
        )

    def _keep(self, envelope: bytes) -> Digest:
        return self.artifacts.put(envelope)

    def _signed(self, record: Any, signature: bytes, author: Address) -> None:
        if recover(record, self.domain, signature) != author:
            raise InvalidProof(f"the {type(record).__name__.lower()} is signed by someone else")

    def _attempt(self, caller: Caller, identifier: Digest, fence: int) -> tuple[Page, AttemptRow]:
        page, row = self._find(identifier, fence)
        if not isinstance(row, AttemptRow) or row.solver != caller.account:
            raise Unauthenticated("this work is somebody else's")
        return page, row

    def _audit(self, caller: Caller, identifier: Digest, fence: int) -> tuple[Page, AuditRow]:
        page, row = self.nodes.locate(caller, identifier, fence)
        if not isinstance(row, AuditRow):
            raise NotFound("this work is no replay")
        return page, row

    def _reported(self, caller: Caller, identifier: Digest, fence: int) -> tuple[Page, AuditRow]:
        """Find an audit that waits for its report, or has it."""
        page, row = self._find(identifier, fence)
        if not isinstance(row, AuditRow) or row.verifier != caller.account:
            raise Unauthenticated("this work is somebody else's")
        if row.state not in {audit.State.PROMISED, audit.State.REPORTED}:
            raise LeaseLost("this replay is not waited for any more")
        return page, row

    def _find(self, identifier: Digest, fence: int) -> tuple[Page, AttemptRow | AuditRow]:
        prefix, number = work_of(identifier)
        page = self.nodes.engine.find(prefix)
        row = page.work(number) if page else None
        if page is None or row is None or number != fence:
            raise LeaseLost("this work is over")
        return page, row

    def _asked(self, caller: Caller, commitment: Digest) -> tuple[Page, AttemptRow]:
        """Find the attempt whose salt is asked for."""
        for page in self.nodes.engine.pages():
            row = page.attempts.get(page.commitments.get(commitment, 0))
            mine = row is not None and row.solver == caller.account and row.salt_due_ms > 0
            if row and mine and (attempt.TRANSITIONS[row.state] or row.salt is not None):
                return page, row
        raise LeaseLost("nobody asked for this salt")
