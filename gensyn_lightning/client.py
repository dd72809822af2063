"""A coordinator as submitters and nodes see it: one typed method for every call.

Calls are synchronous and may come from any thread. While the coordinator cannot be reached a call
tries again until the client's patience is spent; whatever is asked twice has the effect of once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gensyn_lightning.artifacts import transfer
from gensyn_lightning.artifacts.port import ARTIFACT_BYTES_MAX
from gensyn_lightning.artifacts.transfer import Progress, Source
from gensyn_lightning.errors import CoordinatorUnavailable, GensynError, InvalidProof, Malformed
from gensyn_lightning.identity import Identity, Signature, recover, sign_record
from gensyn_lightning.protocol.canonical import parse_json
from gensyn_lightning.protocol.commitment import StoreReceipt
from gensyn_lightning.protocol.digest import Digest, Nonce
from gensyn_lightning.protocol.job import Job, JobId
from gensyn_lightning.protocol.job import State as JobState
from gensyn_lightning.wire import jobs, nodes
from gensyn_lightning.wire import transfer as wire
from gensyn_lightning.wire.channel import PATIENCE_S, TIMEOUT_S, Channel

DOSSIER_BYTES_MAX = 256 << 20
EVENT_BYTES_MAX = 1 << 20
ENDED = frozenset({JobState.SETTLED, JobState.REFUNDED})
_EVENTS_S = 60.0
_IDLE_S = 0.1


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a job's log."""

    cursor: int
    at_ms: int
    kind: str
    body: dict[str, Any]


class Client:
    """Speaks to the coordinator at `address` as `identity`.

    `notice` is told of every failure after which a call is tried again.
    """

    def __init__(
        self,
        address: str,
        identity: Identity,
        *,
        patience_s: float = PATIENCE_S,
        notice: Callable[[GensynError], None] = lambda _: None,
    ) -> None:
        self.identity = identity
        self._channel = Channel(address, identity, patience_s=patience_s, notice=notice)

    def __enter__(self) -> Client:
        """Return the client; it is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """End every call in flight; they raise `CoordinatorUnavailable`."""
        self._channel.close()

    # What a submitter asks.

    def submit(self, job: Job, artifacts: Sequence[Digest] = ()) -> JobId:
        """Sign and open a job whose program needs `artifacts`, which must be uploaded."""
        signature = sign_record(job, self.identity.domain, self.identity.account)
        request = jobs.SubmitRequest(job, signature, tuple(artifacts))
        return JobId(self._channel.call(jobs.SUBMIT, request).job)

    def job(self, job: JobId) -> jobs.JobsGetResponse:
        """Return how far a job has come."""
        return self._channel.call(jobs.GET, jobs.JobsGetRequest(job))

    def segments(self, job: JobId, first: int = 0) -> Iterator[jobs.Segment]:
        """Yield a job's standing segments in order, from number `first` on."""
        index, total = first, first + 1
        while index < total:
            page = self._channel.call(jobs.SEGMENTS, jobs.SegmentsRequest(job, index))
            yield from page.segments
            index, total = index + len(page.segments), page.total
            if not page.segments:
                return

    def events(self, job: JobId, cursor: int = 0) -> Iterator[LogEntry]:
        """Yield every entry of a job's log after `cursor`, as they come, until the job has ended.

        Reconnects when the stream breaks and goes on after the last entry it yielded. Progress
        comes in between as entries of kind `PROGRESS`, with the cursor of the entry before.
        """
        retry = self._channel.retry()
        while True:
            before, started = cursor, time.monotonic()
            request = jobs.EventsRequest(job, cursor)
            try:
                for entry in self._channel.receive(jobs.EVENTS, request, timeout_s=_EVENTS_S):
                    if entry.cursor > cursor or entry.kind == jobs.PROGRESS:
                        cursor = max(cursor, entry.cursor)
                        yield _entry(entry)
            except CoordinatorUnavailable as error:
                if cursor == before and time.monotonic() - started < _EVENTS_S:
                    retry.after(error)
                    continue
            seen = self.job(job)
            retry.reset()
            if seen.state in ENDED and seen.cursor <= cursor:
                return
            if cursor == before:
                self._channel.pause(_IDLE_S)

    def cancel(self, job: JobId) -> None:
        """Stop a job; what was accepted stays paid."""
        self._channel.call(jobs.CANCEL, jobs.CancelRequest(job))

    def dossier(self, job: JobId) -> bytes:
        """Return every signed record of a job, as canonical JSON."""
        found = self._channel.call(jobs.DOSSIER, jobs.DossierRequest(job))
        return self.read(found.artifact, bytes_max=DOSSIER_BYTES_MAX)

    def network(self) -> jobs.NetworkResponse:
        """Return the network's chain, contracts, rules and nodes."""
        return self._channel.call(jobs.NETWORK, jobs.NetworkRequest())

    # What a node asks.

    def challenge(self) -> Digest:
        """Return what this run of the server has nodes compute before they register."""
        return self._channel.call(nodes.CHALLENGE, nodes.ChallengeRequest()).challenge

    def register(self, request: nodes.RegisterRequest) -> nodes.RegisterResponse:
        """Say what this node can do."""
        return self._channel.call(nodes.REGISTER, request)

    def claim(
        self, wait_ms: int = nodes.CLAIM_WAIT_MS_MAX, holding: Sequence[Digest] = ()
    ) -> nodes.ClaimResponse:
        """Wait for work or commands; `holding` names the work this node has already."""
        request = nodes.ClaimRequest(wait_ms, tuple(holding))
        return self._channel.call(nodes.CLAIM, request, timeout_s=TIMEOUT_S + wait_ms / 1000)

    def heartbeat(
        self, work: nodes.Work, event: int, progress: bytes = b"{}"
    ) -> nodes.HeartbeatResponse:
        """Keep the lease; raise `LeaseLost` if someone else has the task."""
        request = nodes.HeartbeatRequest(work.work_id, work.fence, event, progress)
        return self._channel.call(nodes.HEARTBEAT, request)

    def commit(self, request: nodes.CommitRequest) -> nodes.CommitResponse:
        """Hand in a finished segment."""
        return self._channel.call(nodes.COMMIT, request)

    def open_salt(self, commitment: Digest, salt: Nonce) -> None:
        """Open the salt of a commitment."""
        self._channel.call(nodes.OPEN_SALT, nodes.OpenSaltRequest(commitment, salt))

    def promise(self, request: nodes.PromiseRequest) -> nodes.PromiseResponse:
        """Promise a replay before the salt opens."""
        return self._channel.call(nodes.PROMISE, request)

    def report(self, request: nodes.ReportRequest) -> None:
        """Open the promised replay."""
        self._channel.call(nodes.REPORT, request)

    def fail(self, work: nodes.Work, reason: str) -> None:
        """Give work back."""
        self._channel.call(nodes.FAIL, nodes.FailRequest(work.work_id, work.fence, reason))

    # Artifacts.

    def missing(self, digests: Sequence[Digest]) -> list[Digest]:
        """Return those of `digests` the store lacks."""
        return transfer.missing(self._channel, digests)

    def upload(self, artifacts: Mapping[Digest, Source], progress: Progress | None = None) -> int:
        """Send what the store lacks and return how many bytes that was; see `transfer.upload`."""
        return transfer.upload(self._channel, artifacts, progress)

    def download(
        self,
        digest: Digest,
        into: Path,
        progress: Progress | None = None,
        *,
        bytes_max: int = ARTIFACT_BYTES_MAX,
    ) -> int:
        """Fetch an artifact to the file `into`, checked; see `transfer.download`."""
        return transfer.download(self._channel, digest, into, progress, bytes_max=bytes_max)

    def read(self, digest: Digest, *, bytes_max: int) -> bytes:
        """Fetch a small artifact into memory, checked."""
        return transfer.read(self._channel, digest, bytes_max=bytes_max)

    def store_receipt(self, digests: Sequence[Digest]) -> tuple[StoreReceipt, Signature]:
        """Return the store's signed word that it holds these artifacts, checked."""
        answer = self._channel.call(wire.STORE_RECEIPT, wire.StoreReceiptRequest(tuple(digests)))
        receipt, signature = answer.receipt, answer.signature
        if receipt.artifacts != tuple(digests):
            raise InvalidProof("the store vouches for other artifacts than those asked for")
        if recover(receipt, self.identity.domain, signature) != receipt.holder:
            raise InvalidProof("the store's receipt is not signed by its holder")
        return receipt, signature


def _entry(entry: jobs.EventsResponse) -> LogEntry:
    body = parse_json(entry.body, bytes_max=EVENT_BYTES_MAX)
    if not isinstance(body, dict):
        raise Malformed("an entry of a job's log is no object")
    return LogEntry(entry.cursor, entry.at_ms, entry.kind, body)
