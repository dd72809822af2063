import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gensyn_lightning.artifacts import MemoryArtifacts
from gensyn_lightning.artifacts.serving import ArtifactService
from gensyn_lightning.client import Client, LogEntry
from gensyn_lightning.errors import CoordinatorUnavailable, InvalidProof, LeaseLost, NotFound
from gensyn_lightning.identity import Account, Identity, recover
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.commitment import StoreReceipt
from gensyn_lightning.protocol.digest import Digest, Nonce, digest_of
from gensyn_lightning.protocol.job import Job, JobId, job_id
from gensyn_lightning.protocol.job import State as JobState
from gensyn_lightning.wire import jobs, nodes, transfer

JOB = JobId(Digest(b"j" * 32))
ENTRIES = 200
PER_STREAM = 7


class FakeJobs:
    """Keeps one job whose log grows while it is read."""

    def __init__(self, sample: Any, random: Random, store: MemoryArtifacts) -> None:
        self.sample, self.random, self.store = sample, random, store
        self.requests: list[Any] = []
        self.written = 0
        self.quiet: Iterator[bool] = iter(())
        self.pages = [sample(jobs.Segment, random) for _ in range(600)]

    async def submit(self, request: jobs.SubmitRequest, caller: Any) -> jobs.SubmitResponse:
        self.requests.append((request, caller))
        return jobs.SubmitResponse(job_id(request.job), True)

    async def get(self, request: jobs.JobsGetRequest, caller: Any) -> jobs.JobsGetResponse:
        if request.job != JOB:
            raise NotFound("no such job")
        state = JobState.SETTLED if self.written == ENTRIES else JobState.TRAINING
        job = self.sample(Job, self.random)
        return jobs.JobsGetResponse(job, state, None, self.written, 1, 1, 1, 1, None, None, None)

    async def segments(self, request: jobs.SegmentsRequest, caller: Any) -> jobs.SegmentsResponse:
        page = self.pages[request.first_index :][: jobs.SEGMENTS_PER_PAGE]
        return jobs.SegmentsResponse(tuple(page), len(self.pages))

    async def events(
        self, request: jobs.EventsRequest, caller: Any
    ) -> AsyncIterator[jobs.EventsResponse]:
        if next(self.quiet, False):
            await asyncio.sleep(20)
        for number in range(request.cursor + 1, min(request.cursor + PER_STREAM, ENTRIES) + 1):
            self.written = max(self.written, number)
            await asyncio.sleep(0)
            yield jobs.EventsResponse(number, 5, "beat", b'{"number":%d}' % number)
            if number % 50 == 0:
                yield jobs.EventsResponse(number, 6, jobs.PROGRESS, b'{"event":1}')

    async def cancel(self, request: jobs.CancelRequest, caller: Any) -> jobs.CancelResponse:
        self.requests.append((request, caller))
        return jobs.CancelResponse()

    async def dossier(self, request: jobs.DossierRequest, caller: Any) -> jobs.DossierResponse:
        return jobs.DossierResponse(self.store.put(b'{"records":[]}'), 14)

    async def network(self, request: jobs.NetworkRequest, caller: Any) -> jobs.NetworkResponse:
        return self.sample(jobs.NetworkResponse, self.random)


class FakeNodes:
    """Remembers what nodes ask, and answers with anything."""

    def __init__(self, sample: Any, random: Random) -> None:
        self.requests: list[Any] = []
        self.answer: Exception | None = None
        for each in nodes.RPCS:
            setattr(self, each.handler, self._method(each, sample, random))

    def _method(self, rpc: Any, sample: Any, random: Random) -> Any:
        async def handle(request: Any, caller: Any) -> Any:
            self.requests.append(request)
            if self.answer is not None:
                raise self.answer
            return sample(rpc.response, random)

        return handle


@pytest.fixture
def store() -> MemoryArtifacts:
    return MemoryArtifacts()


@pytest.fixture
def fake_jobs(sample: Any, random: Random, store: MemoryArtifacts) -> FakeJobs:
    return FakeJobs(sample, random, store)


@pytest.fixture
def fake_nodes(sample: Any, random: Random) -> FakeNodes:
    return FakeNodes(sample, random)


@pytest.fixture
def network(
    served: Any, fake_jobs: FakeJobs, fake_nodes: FakeNodes, store: MemoryArtifacts, domain: Domain
) -> Any:
    artifacts = ArtifactService(store, Account.generate(), domain)
    served.start((jobs.RPCS, fake_jobs), (nodes.RPCS, fake_nodes), (transfer.RPCS, artifacts))
    return served


@pytest.fixture
def client(network: Any, domain: Domain) -> Iterator[Client]:
    with Client(network.address, Identity(Account.generate(), domain), patience_s=20) as made:
        yield made


def numbers(entries: Iterator[LogEntry]) -> list[int]:
    return [each.cursor for each in entries if each.kind != jobs.PROGRESS]


def test_a_job_is_signed_by_its_submitter(
    client: Client, fake_jobs: FakeJobs, sample: Any, random: Random, domain: Domain
) -> None:
    job = sample(Job, random)

    assert client.submit(job, [Digest(b"a" * 32)]) == job_id(job)

    ((request, caller),) = fake_jobs.requests
    assert request.artifacts == (b"a" * 32,)
    assert recover(job, domain, request.signature) == client.identity.address == caller.account


def test_the_whole_log_is_read_in_order_and_ends_with_the_job(client: Client) -> None:
    entries = [each for each in client.events(JOB) if each.kind != jobs.PROGRESS]

    assert [each.cursor for each in entries] == list(range(1, ENTRIES + 1))
    assert entries[41] == LogEntry(42, 5, "beat", {"number": 42})


def test_progress_comes_between_entries(client: Client) -> None:
    seen = [(each.cursor, each.kind) for each in client.events(JOB, 98)]

    assert seen[:4] == [(99, "beat"), (100, "beat"), (100, "progress"), (101, "beat")]


def test_reading_goes_on_after_a_cursor(client: Client) -> None:
    assert numbers(client.events(JOB, ENTRIES - 3)) == [198, 199, 200]


def test_the_log_is_read_through_restarts(client: Client, network: Any) -> None:
    seen: list[int] = []
    for entry in client.events(JOB):
        seen += numbers(iter([entry]))
        if entry.cursor in {20, 90, 150}:
            network.restart()

    assert seen == list(range(1, ENTRIES + 1))


def test_the_log_is_read_through_cuts(network: Any, domain: Domain, random: Random) -> None:
    proxy = network.proxy(iter(lambda: random.randrange(2500, 9000), 0))
    with Client(proxy.address, Identity(Account.generate(), domain), patience_s=20) as client:
        seen = numbers(client.events(JOB))

    assert seen == list(range(1, ENTRIES + 1))
    assert proxy.cuts >= 5


def test_reading_may_stop_at_any_entry(client: Client) -> None:
    events = client.events(JOB)
    assert [each.cursor for each in islice(events, 3)] == [1, 2, 3]
    events.close()

    assert client.job(JOB).state is JobState.TRAINING


def test_a_quiet_log_is_not_a_lost_coordinator(
    client: Client, fake_jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gensyn_lightning.client._EVENTS_S", 0.2)
    monkeypatch.setattr(client._channel, "patience_s", 0)
    fake_jobs.quiet = iter([True] * 3)
    client.job(JOB)

    assert numbers(client.events(JOB)) == list(range(1, ENTRIES + 1))


def test_a_job_nobody_knows_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="no such job"):
        client.job(JobId(Digest(bytes(32))))


def test_every_segment_is_listed_page_by_page(client: Client, fake_jobs: FakeJobs) -> None:
    assert list(client.segments(JOB)) == fake_jobs.pages


def test_the_dossier_is_fetched_as_an_artifact(client: Client) -> None:
    assert client.dossier(JOB) == b'{"records":[]}'


def test_a_submitter_cancels_and_looks_around(client: Client, fake_jobs: FakeJobs) -> None:
    client.cancel(JOB)

    assert fake_jobs.requests[0][0] == jobs.CancelRequest(JOB)
    assert isinstance(client.network(), jobs.NetworkResponse)


def test_a_node_asks_everything_it_needs(
    client: Client, fake_nodes: FakeNodes, sample: Any, random: Random
) -> None:
    work = sample(nodes.Work, random)
    asked = [
        sample(kind, random)
        for kind in (
            nodes.RegisterRequest,
            nodes.CommitRequest,
            nodes.PromiseRequest,
            nodes.ReportRequest,
        )
    ]

    client.register(asked[0])
    client.commit(asked[1])
    client.promise(asked[2])
    client.report(asked[3])
    client.claim(5, [work.work_id])
    client.heartbeat(work, 7, b'{"loss":"0x1p-1"}')
    client.open_salt(JOB, Nonce(b"s" * 16))
    client.fail(work, "out of memory")

    assert fake_nodes.requests == [
        *asked,
        nodes.ClaimRequest(5, (work.work_id,)),
        nodes.HeartbeatRequest(work.work_id, work.fence, 7, b'{"loss":"0x1p-1"}'),
        nodes.OpenSaltRequest(JOB, Nonce(b"s" * 16)),
        nodes.FailRequest(work.work_id, work.fence, "out of memory"),
    ]


def test_a_lost_lease_is_told_apart(
    client: Client, fake_nodes: FakeNodes, sample: Any, random: Random
) -> None:
    fake_nodes.answer = LeaseLost("someone else has it")

    with pytest.raises(LeaseLost):
        client.heartbeat(sample(nodes.Work, random), 1)


def test_artifacts_go_and_come(client: Client, tmp_path: Path) -> None:
    data = Random(1).randbytes(3 << 20)
    name = digest_of(data)

    assert client.missing([name]) == [name]
    assert client.upload({name: data}) == len(data)
    assert client.download(name, tmp_path / "got") == len(data)
    assert client.read(name, bytes_max=len(data)) == (tmp_path / "got").read_bytes() == data


def test_the_stores_word_is_checked(
    client: Client, store: MemoryArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [store.put(b"one"), store.put(b"two")]
    receipt, signature = client.store_receipt(names)
    assert recover(receipt, client.identity.domain, signature) == receipt.holder
    answers = iter(
        (
            StoreReceipt((names[0],), receipt.length, receipt.holder),
            StoreReceipt(receipt.artifacts, receipt.length, client.identity.address),
        )
    )
    monkeypatch.setattr(
        client._channel,
        "call",
        lambda *_: transfer.StoreReceiptResponse(next(answers), signature),
    )

    with pytest.raises(InvalidProof, match="other artifacts"):
        client.store_receipt(names)
    with pytest.raises(InvalidProof, match="not signed by its holder"):
        client.store_receipt(names)


def test_closing_ends_what_waits(client: Client) -> None:
    closing = threading.Timer(0.1, client.close)
    closing.start()

    def ask_on() -> None:
        for _ in range(1_000_000):
            client.network()

    with pytest.raises(CoordinatorUnavailable):
        ask_on()
    closing.join()


def test_importing_the_client_is_quick_and_light() -> None:
    code = (
        "import sys, time; started = time.process_time(); import gensyn_lightning.client\n"
        "print([time.process_time() - started, sorted({'torch', 'web3', 'numpy', 'jsonschema'}"
        " & sys.modules.keys())])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = json.loads(done.stdout.replace("'", '"'))

    assert heavy == []
    assert seconds < 1
