"""What submitters ask of the engine: open a job, look at it, stop it; and what the network is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coordinator import admission, closing, dossier, limits
from coordinator.engine import Engine
from coordinator.network import Network
from coordinator.page import Page
from coordinator.rows import AttemptRow, JobRow
from gensyn_lightning import __version__
from gensyn_lightning.artifacts import Artifacts
from gensyn_lightning.errors import (
    ArtifactError,
    InvalidProof,
    InvalidTransition,
    LimitExceeded,
    Malformed,
    NotFound,
    Unauthenticated,
)
from gensyn_lightning.identity import Caller, Role, Signature, recover
from gensyn_lightning.protocol import attempt, job
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.wire import jobs as wire

_STANDING = {attempt.State.COMMITTED, attempt.State.DISPUTED, attempt.State.ACCEPTED}
_ENDING = {job.State.REFUNDING, job.State.REFUNDED}


@dataclass(frozen=True)
class Jobs:
    """The engine, as submitters see it."""

    engine: Engine
    artifacts: Artifacts
    network_of: Network

    def submit(self, request: wire.SubmitRequest, caller: Caller) -> wire.SubmitResponse:
        """Open a job; the same program, submitter and nonce is the same job."""
        record, name = request.job, job.job_id(request.job)
        if recover(record, self.network_of.domain, request.signature) != record.submitter:
            raise InvalidProof("the job is not signed by its submitter")
        if record.submitter != caller.account or Role.SUBMITTER not in caller.roles:
            raise Unauthenticated("a job is sent by its submitter")
        known = self._known(name)
        if known is not None:
            if known.record != record:
                raise Malformed("another job has this nonce", hint="draw a new nonce")
            return wire.SubmitResponse(name, False)
        admission.check_job(record)
        self._check_room(caller.account)
        self._check_held((record.program, *request.artifacts))
        now_ms, alone = self.engine.now_ms(), self.network_of.single_operator
        self.engine.add(JobRow(name, record, request.signature, now_ms, alone))
        return wire.SubmitResponse(name, True)

    def get(self, request: wire.JobsGetRequest, caller: Caller) -> wire.JobsGetResponse:
        """Say how far a job has come."""
        page = self.engine.page(request.job)
        row, last = page.job, None
        if row.accepted and row.state not in {job.State.SUBMITTED, job.State.TRAINING}:
            last = page.attempt_of(page.tasks[row.accepted - 1])
        return wire.JobsGetResponse(
            job=row.record,
            state=row.state,
            reason=row.reason,
            cursor=row.cursor,
            events=_events(page),
            segments=row.tail,
            accepted=row.accepted,
            replayed=sum(1 for each in _standing(page) if closing.replayed(page, each)),
            end=last.handover.refs if last and last.handover else None,
            receipt=row.receipt,
            transaction=row.closed.tx if row.closed else None,
        )

    def segments(self, request: wire.SegmentsRequest, caller: Caller) -> wire.SegmentsResponse:
        """List standing segments."""
        page = self.engine.page(request.job)
        rows = list(_standing(page))
        first = min(request.first_index, len(rows))
        listed = rows[first : first + wire.SEGMENTS_PER_PAGE]
        return wire.SegmentsResponse(tuple(map(_segment, listed)), len(rows))

    def cancel(self, request: wire.CancelRequest, caller: Caller) -> wire.CancelResponse:
        """Stop a job; what was accepted stays paid."""
        page = self.engine.page(request.job)
        if page.job.record.submitter != caller.account:
            raise Unauthenticated("only its submitter stops a job")
        if page.job.state in _ENDING:
            return wire.CancelResponse()
        if job.Stopped not in job.TRANSITIONS[page.job.state]:
            raise InvalidTransition("the job is finished", hint="there is nothing left to stop")
        with self.engine.edit(request.job):
            closing.stop(page, job.Reason.CANCELLED, "its submitter stopped it")
        return wire.CancelResponse()

    def dossier(self, request: wire.DossierRequest, caller: Caller) -> wire.DossierResponse:
        """Store everything signed about a job as one artifact and name it.

        While the job is open only its submitter, who is never drawn, may see it: it shows replays,
        and whoever is asked for a third opinion could copy one instead of training.
        """
        page, known = self.engine.page(request.job), self.network_of
        if job.TRANSITIONS[page.job.state] and page.job.record.submitter != caller.account:
            raise Unauthenticated("until a job is over only its submitter sees its records")
        data = dossier.build(page, self.artifacts, known)
        return wire.DossierResponse(self.artifacts.put(data), len(data))

    def network(self, request: wire.NetworkRequest, caller: Caller) -> wire.NetworkResponse:
        """Describe the network."""
        roster, known = self.engine.roster, self.network_of
        nodes = tuple(
            wire.NodeView(
                node=account,
                owner=node.owner,
                name=node.name,
                solves=node.solves,
                verifies=node.verifies,
                numerics=node.numerics,
                sandbox_tier=node.tier,
                seen_ms=roster.seen_ms.get(account, 0),
            )
            for account, node in sorted(roster.nodes.items())
        )
        return wire.NetworkResponse(
            domain=known.domain,
            receipts=known.receipts,
            coordinator=known.account.address,
            parameters=known.parameters,
            nodes=nodes,
            version=__version__,
            single_operator=known.single_operator,
        )

    def _known(self, name: Digest) -> JobRow | None:
        try:
            return self.engine.page(name).job
        except NotFound:
            return None

    def _check_room(self, submitter: Address) -> None:
        open_jobs = [e for e in self.engine.pages() if e.job.record.submitter == submitter]
        if len(open_jobs) >= limits.OPEN_JOBS_PER_SUBMITTER_MAX:
            most = limits.OPEN_JOBS_PER_SUBMITTER_MAX
            raise LimitExceeded(f"a submitter has at most {most} open jobs", hint="wait for one")

    def _check_held(self, digests: tuple[Digest, ...]) -> None:
        missing = next((each for each in digests if not self.artifacts.has(each)), None)
        if missing is not None:
            raise ArtifactError(f"the store lacks {missing.hex()}", hint="upload it first")


def _standing(page: Page) -> Iterator[AttemptRow]:
    """Yield the committed attempts from the first segment on, without a gap."""
    for index in range(page.job.tail):
        held = page.attempt_of(page.tasks[index])
        if held is None or held.state not in _STANDING:
            return
        yield held


def _events(page: Page) -> int:
    ends = (each.handover.commitment.end_event for each in _standing(page) if each.handover)
    return max(ends, default=0)


def _segment(row: AttemptRow) -> wire.Segment:
    assert row.handover is not None
    return wire.Segment(
        commitment=row.handover.commitment,
        signature=Signature(row.handover.signature),
        accepted=row.state is attempt.State.ACCEPTED,
        state=row.handover.refs,
        tape=row.handover.tape,
        outputs=row.handover.outputs,
    )
