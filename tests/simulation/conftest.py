"""A network in memory with a clock of its own and a toy program: the game runs without torch.

The toy's state is one value: event `e` turns `v` into keccak(v ‖ e), and the state's root is that
of a leaf table with this one value in it. Actors are stepped in random order, time passes in
random strides, and the coordinator may be killed at any write.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from coordinator.disputing import ThirdKey
from coordinator.engine import Engine
from coordinator.errands import LedgerWorker
from coordinator.evidence import StoredEvidence
from coordinator.handing_in import HandingIn
from coordinator.jobs import Jobs
from coordinator.memory_store import MemoryStore
from coordinator.network import Network
from coordinator.nodes import Nodes
from gensyn_lightning.artifacts import MemoryArtifacts
from gensyn_lightning.chain.memory import MemoryLedger
from gensyn_lightning.errors import ArtifactError, GensynError
from gensyn_lightning.identity import Account, Caller, Identity, Role, SignedDelegation, sign_record
from gensyn_lightning.protocol import job as jobs
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import (
    Commitment,
    Outcome,
    StoreReceipt,
    salted_witness,
)
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, Nonce, keccak
from gensyn_lightning.protocol.parameters import Parameters
from gensyn_lightning.protocol.task import task_id
from gensyn_lightning.protocol.verdict import Replay, blind
from gensyn_lightning.report.build import build
from gensyn_lightning.report.finding import Exit, Result
from gensyn_lightning.report.leaves import model_digest
from gensyn_lightning.report.statement import sign_provenance, sign_test_result
from gensyn_lightning.report.trust import ROLES, Pins, Signer
from gensyn_lightning.report.verify import verify
from gensyn_lightning.training.leaf import VALUE, Leaf, root
from gensyn_lightning.wire import jobs as jobs_wire
from gensyn_lightning.wire import nodes as wire

NUMERICS, TIER = "native:0123456789abcdef", "none"
BUDGET = 1_000_000
PARAMETERS = Parameters(
    audit_rate_ppm=1_000_000,
    segment_target_ms=2_000,
    lease_ms=4_000,
    queue_to_start_ms=20_000,
    start_to_finish_ms=60_000,
    salt_window_ms=6_000,
    report_window_ms=60_000,
    job_total_ms=10_000_000,
)


class Killed(Exception):
    """The coordinator was killed here."""


@dataclass
class Clock:
    """Time that passes when told to."""

    ms: int = 1_000_000

    def now_ms(self) -> int:
        return self.ms


@dataclass
class FragileStore(MemoryStore):
    """A store whose owner may be killed just before or just after any write."""

    chance: Callable[[], float] = field(default=lambda: 1.0)
    rate: float = 0.0
    kill_before: int = -1
    kill_after: int = -1
    writes: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def write(self, changes: Any, entries: Any) -> None:
        number = self.writes
        self.writes += 1
        if number == self.kill_before or self.chance() < self.rate:
            raise Killed
        super().write(changes, entries)
        if number == self.kill_after or self.chance() < self.rate:
            raise Killed


@dataclass(frozen=True)
class ToyEvidence(StoredEvidence):
    """States are JSON that names their root and model."""

    def check_stored(self, request: wire.CommitRequest) -> None:
        stored = json.loads(self.artifacts.read(request.state.structure))
        expected = {"model": request.model.hex(), "root": request.commitment.end_root.hex()}
        if stored != expected:
            raise ArtifactError("the end state is another one")


_VALUES: dict[Digest, Digest] = {}


def leaves_of(value: Digest) -> tuple[Leaf, ...]:
    """Return the leaves of the state that holds `value`."""
    return (Leaf("model/weight", VALUE, value),)


def root_of(value: Digest) -> Digest:
    """Return the root of the state that holds `value`, and remember what it stands for."""
    found = root(leaves_of(value))
    _VALUES[found] = value
    return found


def advance(start: Digest, first: int, end: int) -> Digest:
    """Return the state's root after events `[first, end)`."""
    value = _VALUES.get(start, start)
    for event in range(first, end):
        value = keccak(value + event.to_bytes(8, "big"))
    return root_of(value)


def model_of(state: Digest) -> Digest:
    """Return the digest of the model in a state."""
    return model_digest(leaves_of(_VALUES.get(state, state)))


def witness_of(root: Digest, first: int, end: int) -> Digest:
    """Return what only whoever ran the segment knows."""
    return keccak(b"witness" + advance(root, first, end) + first.to_bytes(8, "big"))


def batches_in(first: int, end: int) -> int:
    """Return how many events train: every fourth one validates."""
    return sum(1 for event in range(first, end) if event % 4 != 3)


@dataclass(frozen=True)
class Run:
    """What running a segment gives."""

    end_event: int
    outcome: Outcome
    end_root: Digest
    tape_root: Digest
    outputs_root: Digest
    witness_root: Digest


class World:
    """A coordinator, a ledger, and actors; everything random comes from one seed."""

    def __init__(self, seed: int, *, events: int = 40, kill_rate: float = 0.0, **parameters: int):
        self.seed, self.events = seed, events
        self.random = random.Random(seed)
        self.clock = Clock()
        self.parameters = replace(PARAMETERS, **parameters)
        self.operator, self.submitter = self.account("operator"), self.account("submitter")
        self.ledger = MemoryLedger(
            {self.submitter.address: BUDGET},
            [self.operator.address],
            lambda: self.clock.ms // 1000,
        )
        self.domain = self.ledger.domain()
        self.store = FragileStore(self.random.random, kill_rate)
        self.artifacts = MemoryArtifacts()
        self.actors: list[Node] = []
        self.addresses: list[Address] = []
        self.kills = 0
        self.restart()
        self.identity = Identity(self.submitter, self.domain, clock=self.clock.now_ms)
        self.caller = _caller(self.identity)
        program = self.artifacts.put(b"program")
        self.record = jobs.Job(
            program=program,
            submitter=self.submitter.address,
            nonce=Nonce(self.random.randbytes(16)),
            numerics=NUMERICS,
            initial_root=root_of(keccak(b"initial")),
            sandbox_tier=TIER,
            budget=Money(BUDGET),
            value_at_stake=Money(0),
            parameters=self.parameters,
        )
        self.job = jobs.job_id(self.record)

    def account(self, name: str) -> Account:
        return Account(keccak(f"{name} of {self.seed}".encode()))

    def restart(self) -> None:
        """Build the coordinator anew from what it stored."""
        for _ in range(100):
            try:
                self.engine = Engine(self.store, self.clock, ThirdKey())
                break
            except Killed:
                continue
        network = Network(
            self.domain, self.ledger.receipts_address(), self.operator, self.parameters, True
        )
        evidence = ToyEvidence(self.artifacts, self.domain, None, 0)  # type: ignore[arg-type]
        self.nodes = Nodes(self.engine, 1000)
        self.handing_in = HandingIn(
            self.nodes, self.artifacts, evidence, self.domain, self.operator.address
        )
        self.jobs = Jobs(self.engine, self.artifacts, network)
        self.worker = LedgerWorker(self.ledger, self.operator)

    def call(self, name: str, request: Any, caller: Caller) -> Any:
        """Call the coordinator; a kill brings it back and loses the answer."""
        target = next(
            each for each in (self.jobs, self.nodes, self.handing_in) if hasattr(each, name)
        )
        try:
            return getattr(target, name)(request, caller)
        except Killed:
            self.kills += 1
            self.restart()
            raise

    def insist(self, name: str, request: Any, caller: Caller) -> Any:
        """Call until the coordinator lives long enough to answer."""
        while True:
            try:
                return self.call(name, request, caller)
            except Killed:
                continue

    def submit(self) -> None:
        self.ledger.deposit(self.submitter, self.record)
        signature = sign_record(self.record, self.domain, self.submitter)
        self.insist("submit", jobs_wire.SubmitRequest(self.record, signature, ()), self.caller)

    def state(self) -> jobs.State:
        return self.page.job.state

    @property
    def page(self) -> Any:
        return self.engine.page(self.job)

    def run(self, steps: int = 20_000, until: Callable[[], bool] | None = None) -> None:
        """Step everyone in random order until the job is over."""
        for _ in range(steps):
            if until is not None and until():
                return
            if not jobs.TRANSITIONS[self.state()] and not self.engine.errands():
                return
            self.step()
        raise AssertionError(f"seed {self.seed}: the job never ended, {self.state().name}")

    def step(self) -> None:
        self.clock.ms += self.random.randrange(20, 400)
        try:
            self.engine.tick()
            self.errands()
        except Killed:
            self.kills += 1
            self.restart()
        for actor in self.random.sample(self.actors, len(self.actors)):
            try:
                actor.step()
            except Killed:
                continue

    def errands(self) -> None:
        for action in self.engine.errands():
            outcome = self.worker.run(action, self.engine.page(action.job).job)
            if outcome.done:
                self.engine.done(action, outcome.stamp)
            else:
                self.engine.postponed(action, outcome.reason)

    # What everybody wants to know afterwards.

    @property
    def honest_root(self) -> Digest:
        return advance(self.record.initial_root, 0, self.events)

    def log(self) -> list[tuple[str, dict[str, Any]]]:
        entries = self.store.entries(self.job, 0, 1 << 20)
        assert [each.cursor for each in entries] == list(range(1, len(entries) + 1))
        return [(each.kind, json.loads(each.body)) for each in entries]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.log()]

    def money(self) -> int:
        """Return every unit there is: balances, and what lies in escrow."""
        accounts = {self.submitter.address, *self.addresses}
        held = self.ledger.escrow(self.job)
        locked = held.amount if held and held.state.name == "OPEN" else 0
        return sum(self.ledger.balance(each) for each in accounts) + locked

    def check_money(self) -> None:
        assert self.money() == BUDGET, f"seed {self.seed}: money was made or lost"
        closed = [name for name in self.kinds() if name in {"settled", "refunded"}]
        assert len(closed) <= 1, f"seed {self.seed}: closed twice"

    def check_honest_end(self) -> None:
        """The job is settled with the root an honest run gives, and the receipt says so."""
        assert self.state() is jobs.State.SETTLED, (self.seed, self.log()[-5:])
        receipt = self.ledger.receipt(self.job)
        assert receipt is not None
        assert receipt.end_root == self.honest_root, f"seed {self.seed}: a cheat got through"
        assert receipt.segments == self.page.job.accepted
        self.check_money()
        self.check_report(receipt.end_root)

    def check_report(self, end_root: Digest | None) -> None:
        """The dossier makes a report that holds, down to every draw and payment."""
        named = self.insist("dossier", jobs_wire.DossierRequest(self.job), self.caller)
        leaves = None if end_root is None else leaves_of(_VALUES[end_root])
        report = build(self.artifacts.read(named.artifact), leaves, self.identity)
        accounts = [self.submitter.address, self.operator.address, *self.addresses]
        pins = Pins({Signer(role, each): role for role in ROLES for each in accounts})
        done = verify(report, pins)
        failed = [str(each) for each in done.findings.having(Result.FAIL)]
        assert not failed, f"seed {self.seed}: {failed}"
        if end_root is not None and self.parameters.audit_rate_ppm == 1_000_000:
            assert done.exit_code() is Exit.VERIFIED, f"seed {self.seed}: {done.verdict()}"


class Node:
    """A node that does what it should; dishonest ones say in one method where they differ."""

    def __init__(
        self, world: World, name: str, *, solves: bool = True, verifies: bool = True
    ) -> None:
        self.world, self.name, self.solves, self.verifies = world, name, solves, verifies
        self.account = world.account(name)
        roles = (Role.SOLVER, Role.VERIFIER)
        self.identity = Identity(self.account, world.domain, roles, clock=world.clock.now_ms)
        self.caller = _caller(self.identity)
        self.work: wire.Work | None = None
        self.done_ms = 0
        self.beat_ms = 0
        self.salts: dict[Digest, Nonce] = {}
        self.promised: dict[Digest, tuple[wire.Work, Replay]] = {}
        world.actors.append(self)
        world.addresses.append(self.address)
        self.register()

    @property
    def address(self) -> Address:
        return self.account.address

    def register(self) -> None:
        request = wire.RegisterRequest(
            self.name, self.solves, self.verifies, (NUMERICS,), ZERO, TIER, 1, 1, b"{}"
        )
        self.world.insist("register", request, self.caller)

    # One step: ask for work, keep it, finish it, do what is commanded.

    def step(self) -> None:
        try:
            self._step()
        except GensynError:
            self.work = None

    def _step(self) -> None:
        now_ms = self.world.clock.ms
        if self.work is None:
            answer = self.world.call(
                "claim", wire.ClaimRequest(0, tuple(self.promised)), self.caller
            )
            self.begin(answer.work)
            self.obey(answer.commands)
        elif now_ms >= self.done_ms:
            self.finish(self.work)
        elif now_ms >= self.beat_ms:
            self.beat_ms = now_ms + 1_000
            request = wire.HeartbeatRequest(self.work.work_id, self.work.fence, 0, b"{}")
            self.obey(self.world.call("heartbeat", request, self.caller).commands)

    def begin(self, work: wire.Work | None) -> None:
        self.work = work
        if work is not None:
            events = work.task.target_event - work.task.first_event
            self.done_ms = self.world.clock.ms + 20 * events + self.world.random.randrange(500)

    def finish(self, work: wire.Work) -> None:
        if work.kind is wire.WorkKind.SOLVE:
            self.commit(work)
        else:
            self.promise(work)

    def commit(self, work: wire.Work) -> None:
        answer = self.world.call("commit", self.commitment(work, self.solve(work)), self.caller)
        self.begin(answer.next)
        self.obey(answer.commands)

    def promise(self, work: wire.Work) -> None:
        replay = self.replay(work)
        report = blind(replay)
        signature = sign_record(report, self.world.domain, self.account)
        request = wire.PromiseRequest(work.work_id, work.fence, report, signature)
        self.world.call("promise", request, self.caller)
        self.promised[work.work_id] = (work, replay)
        self.work = None

    def obey(self, commands: tuple[wire.Command, ...]) -> None:
        for each in commands:
            if each.kind is wire.CommandKind.OPEN_SALT:
                self.open_salt(each.subject)
            elif each.kind is wire.CommandKind.REPORT:
                self.report(each.subject)
            else:
                self.promised.pop(each.subject, None)

    def open_salt(self, commitment: Digest) -> None:
        request = wire.OpenSaltRequest(commitment, self.salts[commitment])
        self.world.call("open_salt", request, self.caller)

    def report(self, subject: Digest) -> None:
        work, replay = self.promised[subject]
        assert work.commitment is not None
        signature = sign_record(replay, self.world.domain, self.account)
        result = sign_test_result(self.identity, work.commitment, replay, signature)
        request = wire.ReportRequest(subject, work.fence, replay, signature, result)
        self.world.call("report", request, self.caller)
        self.promised.pop(subject)

    # What it computes, and says.

    def honest_run(self, work: wire.Work) -> Run:
        task = work.task
        end = min(task.target_event, self.world.events)
        root = advance(task.start_root, task.first_event, end)
        return Run(
            end_event=end,
            outcome=Outcome.FINISHED if end == self.world.events else Outcome.CONTINUES,
            end_root=root,
            tape_root=keccak(b"tape"),
            outputs_root=keccak(b"outputs" + root),
            witness_root=witness_of(task.start_root, task.first_event, end),
        )

    def batches(self, first: int, end: int) -> int:
        """Return how many batches a solver says it trained."""
        return batches_in(first, end)

    def solve(self, work: wire.Work) -> Run:
        """Return what a solver claims."""
        return self.honest_run(work)

    def check(self, work: wire.Work) -> Run:
        """Return what a verifier claims."""
        return self.honest_run(work)

    def commitment(self, work: wire.Work, run: Run) -> wire.CommitRequest:
        world, task = self.world, work.task
        salt = Nonce(keccak(self.account.secret() + task_id(task) + bytes([work.fence]))[:16])
        model = model_of(run.end_root)
        refs = self.upload(run.end_root, model)
        artifacts = (refs.structure, refs.tensors)
        length = sum(map(world.artifacts.length, artifacts))
        receipt = StoreReceipt(artifacts, length, world.operator.address)
        made = Commitment(
            job=task.job,
            task=task_id(task),
            task_index=task.index,
            fence=work.fence,
            solver=self.address,
            first_event=task.first_event,
            end_event=run.end_event,
            batches=self.batches(task.first_event, run.end_event),
            outcome=run.outcome,
            raised=ZERO,
            start_root=task.start_root,
            end_root=run.end_root,
            tape_root=run.tape_root,
            outputs_root=run.outputs_root,
            witness=salted_witness(salt, run.witness_root),
            numerics=NUMERICS,
            sandbox_tier=TIER,
            store_receipt=struct_hash(receipt),
        )
        self.salts[struct_hash(made)] = salt
        signature = sign_record(made, world.domain, self.account)
        return wire.CommitRequest(
            work_id=work.work_id,
            fence=work.fence,
            commitment=made,
            signature=signature,
            state=refs,
            tape=world.artifacts.put(b"tape"),
            outputs=world.artifacts.put(b"outputs" + run.end_root),
            model=model,
            store_receipt=receipt,
            store_signature=sign_record(receipt, world.domain, world.operator),
            provenance=sign_provenance(self.identity, made, signature),
            spent_ms=0,
            wants_next=True,
        )

    def upload(self, root: Digest, model: Digest) -> jobs_wire.StateRefs:
        put = self.world.artifacts.put
        text = json.dumps({"model": model.hex(), "root": root.hex()}).encode()
        return jobs_wire.StateRefs(put(text), put(b"tensors" + root))

    def replay(self, work: wire.Work) -> Replay:
        run, about = self.check(work), work.commitment
        assert about is not None
        assert work.draw is not None
        return Replay(
            commitment=struct_hash(about),
            verifier=self.address,
            draw=work.draw,
            end_event=run.end_event,
            batches=batches_in(about.first_event, run.end_event),
            outcome=run.outcome,
            raised=ZERO,
            end_root=run.end_root,
            tape_root=run.tape_root,
            outputs_root=run.outputs_root,
            witness_root=run.witness_root,
            numerics=NUMERICS,
            nonce=Nonce(keccak(self.account.secret() + work.draw)[:16]),
        )


class CheatingSolver(Node):
    """Changes one bit of the state at the end of the segment that holds `at`."""

    at = 0

    def solve(self, work: wire.Work) -> Run:
        run = self.honest_run(work)
        if not work.task.first_event <= self.at < run.end_event:
            return run
        return replace(run, end_root=Digest(bytes([run.end_root[0] ^ 1]) + run.end_root[1:]))


class StaleSolver(Node):
    """Returns the state it started from."""

    def solve(self, work: wire.Work) -> Run:
        return replace(self.honest_run(work), end_root=work.task.start_root)


class Copier(Node):
    """Knows the right roots from elsewhere but never did the work."""

    def solve(self, work: wire.Work) -> Run:
        return replace(self.honest_run(work), witness_root=keccak(b"guess"))


class OutputForger(Node):
    """Trains honestly and forges what it says was logged and written."""

    def solve(self, work: wire.Work) -> Run:
        return replace(self.honest_run(work), outputs_root=keccak(b"better metrics"))


class SaltWithholder(Node):
    """Never opens a salt."""

    def open_salt(self, commitment: Digest) -> None:
        return


class StateWithholder(Node):
    """Commits to an end state and stores other bytes."""

    def upload(self, root: Digest, model: Digest) -> jobs_wire.StateRefs:
        return super().upload(keccak(b"junk"), model)


class Vanisher(Node):
    """Takes work and is never heard of again."""

    def begin(self, work: wire.Work | None) -> None:
        super().begin(work)
        if work is not None:
            self.world.actors.remove(self)
            self.world.random.random()


class Equivocator(Node):
    """Signs two different claims for one attempt, the second as unlike the task as it can be."""

    def commit(self, work: wire.Work) -> None:
        super().commit(work)
        other = replace(self.honest_run(work), end_root=keccak(b"another"))
        following, request = self.work, self.commitment(work, other)
        claim = replace(request.commitment, numerics="made up", first_event=7, batches=9)
        signature = sign_record(claim, self.world.domain, self.account)
        request = replace(request, commitment=claim, signature=signature)
        try:
            self.world.call("commit", request, self.caller)
        finally:
            self.work = following


class Padder(Node):
    """Trains honestly, and charges for the validation batches too."""

    def batches(self, first: int, end: int) -> int:
        return end - first


class LazyVerifier(Node):
    """Echoes every public root of the commitment."""

    def check(self, work: wire.Work) -> Run:
        about = work.commitment
        assert about is not None
        return Run(
            about.end_event,
            about.outcome,
            about.end_root,
            about.tape_root,
            about.outputs_root,
            keccak(b"never looked"),
        )


class Accuser(Node):
    """Contradicts every solver it checks."""

    def check(self, work: wire.Work) -> Run:
        return replace(self.honest_run(work), end_root=keccak(b"slander"))


class Diverger(Node):
    """Runs a program that gives every machine other bits."""

    def check(self, work: wire.Work) -> Run:
        return replace(self.honest_run(work), end_root=keccak(b"mine" + self.address))


class Accomplice(Node):
    """Replays, and echoes the solver's roots whatever it found."""

    def check(self, work: wire.Work) -> Run:
        about, run = work.commitment, self.honest_run(work)
        assert about is not None
        return replace(run, end_root=about.end_root, outputs_root=about.outputs_root)


class SilentVerifier(Node):
    """Promises a replay and never shows it."""

    def report(self, subject: Digest) -> None:
        return


ACTORS = {
    each.__name__: each
    for each in (
        Node,
        CheatingSolver,
        StaleSolver,
        Copier,
        OutputForger,
        Padder,
        SaltWithholder,
        StateWithholder,
        Vanisher,
        Equivocator,
        LazyVerifier,
        Accuser,
        Diverger,
        Accomplice,
        SilentVerifier,
    )
}


def _caller(identity: Identity) -> Caller:
    return Caller(SignedDelegation.parse(identity.delegation(), identity.domain))


@pytest.fixture
def new_world() -> type[World]:
    return World


@pytest.fixture
def actors() -> dict[str, type[Node]]:
    return ACTORS
