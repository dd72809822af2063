"""What nodes ask of the engine about work: register, claim, keep alive, give up.

Answers are at once; whoever waits for work asks again when the engine wakes it. Every request may
come twice: the second is answered like the first and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from coordinator import checking, limits, solving
from coordinator.engine import Engine
from coordinator.examination import Examination
from coordinator.page import Page
from coordinator.rows import (
    AttemptRow,
    AuditRow,
    NodeRow,
    work_id,
    work_of,
)
from gensyn_lightning.errors import LeaseLost, LimitExceeded, Malformed, Unauthenticated
from gensyn_lightning.identity import Caller, Role
from gensyn_lightning.protocol import attempt, audit
from gensyn_lightning.protocol.audit import Purpose
from gensyn_lightning.protocol.canonical import parse_json, struct_hash
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.parameters import STRING_BYTES_MAX
from gensyn_lightning.wire import nodes as wire

Held = AttemptRow | AuditRow

_KINDS = {Purpose.CHECK: wire.WorkKind.CHECK, Purpose.ARBITRATION: wire.WorkKind.ARBITRATE}


class Nodes:
    """The engine, as nodes see it."""

    def __init__(self, engine: Engine, heartbeat_ms: int) -> None:
        self.engine, self.heartbeat_ms = engine, heartbeat_ms
        self.examination = Examination()

    def challenge(self, request: wire.ChallengeRequest, caller: Caller) -> wire.ChallengeResponse:
        """Say what a node has to compute before it registers."""
        return wire.ChallengeResponse(self.examination.challenge)

    def register(self, request: wire.RegisterRequest, caller: Caller) -> wire.RegisterResponse:
        """Enter a node, or what it says of itself now."""
        _need(caller, Role.SOLVER, request.solves)
        _need(caller, Role.VERIFIER, request.verifies)
        self._check_parts(caller)
        names = (request.name, *request.numerics)
        if any(len(each.encode()) > STRING_BYTES_MAX for each in names):
            raise LimitExceeded(f"a name is longer than {STRING_BYTES_MAX} bytes")
        if len(request.numerics) > limits.NUMERICS_MAX:
            raise LimitExceeded(f"a node names at most {limits.NUMERICS_MAX} arithmetics")
        self.examination.check(request, caller.account)
        node = NodeRow(
            account=caller.account,
            owner=caller.owner,
            name=request.name,
            numerics=request.numerics,
            tier=request.sandbox_tier,
            solves=request.solves,
            verifies=request.verifies,
            arbitrates=Role.VERIFIER in caller.roles,
            registration=caller.lent.to_bytes(),
            registered_ms=self.engine.now_ms(),
        )
        self.engine.register(node)
        return wire.RegisterResponse(self.heartbeat_ms)

    def claim(self, request: wire.ClaimRequest, caller: Caller) -> wire.ClaimResponse:
        """Return work if there is any for this node now, and commands in any case."""
        if len(request.holding) > limits.HOLDING_MAX:
            raise LimitExceeded(f"a node names at most {limits.HOLDING_MAX} works it holds")
        node = self.engine.roster.called(caller.account, self.engine.now_ms())
        work = self._work(node, set(request.holding))
        cancelled = [each for each in request.holding if not self._alive(caller.account, each)]
        orders = [*self.commands(caller.account), *map(_cancel, cancelled)]
        return wire.ClaimResponse(work, tuple(orders[: limits.COMMANDS_MAX]))

    def work_lies_open(self) -> bool:
        """Whether time alone may bring a waiting node work: some is open, for another first."""
        return any(solving.waiting(page) is not None for page in self.engine.pages())

    def heartbeat(self, request: wire.HeartbeatRequest, caller: Caller) -> wire.HeartbeatResponse:
        """Keep a lease."""
        if len(request.progress) > limits.PROGRESS_BYTES_MAX:
            raise LimitExceeded(f"progress takes at most {limits.PROGRESS_BYTES_MAX} bytes")
        self.engine.roster.called(caller.account, self.engine.now_ms())
        page, row = self.locate(caller, request.work_id, request.fence)
        until_ms = self._extend(page, row)
        self._show(page, row, request)
        return wire.HeartbeatResponse(until_ms, tuple(self.commands(caller.account)))

    def fail(self, request: wire.FailRequest, caller: Caller) -> wire.FailResponse:
        """Take work back from a node that cannot go on."""
        page, row = self.locate(caller, request.work_id, request.fence)
        reason = request.reason.encode()[: limits.REASON_BYTES_MAX].decode(errors="ignore")
        with self.engine.edit(page.job.id):
            if isinstance(row, AuditRow):
                checking.expire(page, row, reason)
            else:
                solving.lose(page, row, attempt.NodeFailed(), reason)
        return wire.FailResponse()

    def commands(self, node: Address) -> list[wire.Command]:
        """Return what the node is to do besides its work."""
        found = (each for page in self.engine.pages() for each in _orders(page, node))
        return [each for _, each in zip(range(limits.COMMANDS_MAX), found, strict=False)]

    def locate(self, caller: Caller, identifier: Digest, fence: int) -> tuple[Page, Held]:
        """Return work by its name; raise `LeaseLost` unless it is live and this caller's."""
        prefix, number = work_of(identifier)
        page = self.engine.find(prefix)
        row = page.work(number) if page else None
        if page is None or row is None or fence != number or not _is_live(row):
            raise LeaseLost("this work is over, or somebody else's")
        if _holder(row) != caller.account:
            raise Unauthenticated("this work is somebody else's")
        return page, row

    def follow_on(self, page: Page, node: NodeRow) -> wire.Work | None:
        """Lease the next segment to the node that trained the last, unless it must check first."""
        if any(_waits(each, node.account) for each in self.engine.pages()):
            return None
        row = solving.waiting(page)
        if row is None or row.preferred != node.account or page.held_by(node.account):
            return None
        if not self.engine.roster.fits(node, page.job.record):
            return None  # it has registered as another machine since
        return work_for(page, solving.lease(page, row, node, (None, None)))

    def _check_parts(self, caller: Caller) -> None:
        """Raise unless the delegation covers every part the node already has in an open job.

        A report shows one delegation for each node; a narrower one would make it fail.
        """
        for page in self.engine.pages():
            known = page.members.get(caller.account)
            if known is not None:
                _need(caller, Role.SOLVER, known.solves)
                _need(caller, Role.VERIFIER, known.verifies)

    def _work(self, node: NodeRow, holding: set[Digest]) -> wire.Work | None:
        for page in self.engine.pages():
            for row in page.held_by(node.account):
                if work_id(page.job.id, row.fence) in holding:
                    return None  # it is at work and asks for commands
                self._extend(page, row)
                return work_for(page, _fresh(page, row))
        return self._check(node) or self._segment(node)

    def _check(self, node: NodeRow) -> wire.Work | None:
        """Lease a drawn audit: arbitrations first, then the earliest segment of the oldest job."""
        for page in self.engine.pages():
            drawn = [each for each in _drawn(page, node.account) if each.of == page.job.id]
            if drawn:
                row = min(drawn, key=lambda each: (-each.purpose, each.index, each.fence))
                with self.engine.edit(page.job.id):
                    taken = checking.take(page, row)
                return work_for(page, taken)
        return None

    def _segment(self, node: NodeRow) -> wire.Work | None:
        """Lease an open segment, if the draw gives it to this node."""
        for page in self.engine.pages() if node.solves else ():
            row = solving.waiting(page)
            if row is None or not self.engine.roster.fits(node, page.job.record):
                continue
            with self.engine.edit(page.job.id):
                drawn = solving.preferred(page, row, node, self.engine.roster)
                made = solving.lease(page, row, node, drawn) if drawn else None
            if made is not None:
                return work_for(page, made)
        return None

    def _extend(self, page: Page, row: Held) -> int:
        """Move a lease's end; written only when half of it is used up."""
        lease_ms = page.job.record.parameters.lease_ms
        until_ms = self.engine.now_ms() + lease_ms
        held_ms = _lease_until_ms(row)
        if until_ms - held_ms < lease_ms // 2:
            return held_ms
        with self.engine.edit(page.job.id):
            if isinstance(row, AttemptRow):
                beat = attempt.apply(row.attempt, attempt.Heartbeat(until_ms))
                page.put(replace(row, attempt=beat))
            else:
                page.put(replace(row, audit=audit.apply(row.audit, audit.Heartbeat(until_ms))))
        return until_ms

    def _alive(self, node: Address, identifier: Digest) -> bool:
        prefix, fence = work_of(identifier)
        page = self.engine.find(prefix)
        row = page.work(fence) if page else None
        return row is not None and _is_live(row) and _holder(row) == node

    def _show(self, page: Page, row: Held, request: wire.HeartbeatRequest) -> None:
        """Remember a runner's own word on how far it is, for people only."""
        said = parse_json(request.progress, bytes_max=limits.PROGRESS_BYTES_MAX)
        if not isinstance(said, dict):
            raise Malformed("progress is a JSON object")
        index = row.index if isinstance(row, AuditRow) else row.task.index
        kind = "check" if isinstance(row, AuditRow) else "solve"
        self.engine.progress.setdefault(page.job.id, {})[kind] = {
            "index": index,
            "event": request.event,
            "node": _holder(row).hex(),
            "said": said,
        }


def work_for(page: Page, row: Held) -> wire.Work:
    """Return what a node needs to do leased work."""
    judged = page.attempts[row.attempt] if isinstance(row, AuditRow) else row
    before = page.attempt_of(page.tasks[judged.task.index - 1]) if judged.task.index else None
    start = before.handover if before else None
    claim = judged.handover if isinstance(row, AuditRow) else None
    return wire.Work(
        work_id=work_id(page.job.id, row.fence),
        kind=_KINDS[row.purpose] if isinstance(row, AuditRow) else wire.WorkKind.SOLVE,
        job_id=page.job.id,
        job=page.job.record,
        task=judged.task,
        fence=row.fence,
        lease_until_ms=_lease_until_ms(row),
        start=start.refs if start else None,
        start_outputs=start.outputs if start else None,
        commitment=claim.commitment if claim else None,
        tape=claim.tape if claim else None,
        draw=struct_hash(row.draw) if isinstance(row, AuditRow) else None,
    )


def _orders(page: Page, node: Address) -> Iterator[wire.Command]:
    for fence in page.duties.get(node, ()):
        row = page.work(fence)
        if isinstance(row, AttemptRow) and row.attempt.commitment is not None:
            yield wire.Command(wire.CommandKind.OPEN_SALT, row.attempt.commitment)
        elif isinstance(row, AuditRow) and _to_report(page, row):
            yield wire.Command(wire.CommandKind.REPORT, work_id(page.job.id, row.fence))


def _to_report(page: Page, row: AuditRow) -> bool:
    return row.state is audit.State.PROMISED and page.attempts[row.attempt].salt is not None


def _drawn(page: Page, node: Address) -> list[AuditRow]:
    rows = (page.audits.get(fence) for fence in page.duties.get(node, ()))
    return [each for each in rows if each is not None and each.state is audit.State.DRAWN]


def _waits(page: Page, node: Address) -> bool:
    return bool(_drawn(page, node))


def _cancel(identifier: Digest) -> wire.Command:
    return wire.Command(wire.CommandKind.CANCEL, identifier)


def _holder(row: Held) -> Address:
    return row.verifier if isinstance(row, AuditRow) else row.solver


def _is_live(row: Held) -> bool:
    if isinstance(row, AuditRow):
        return row.state in {audit.State.LEASED, audit.State.PROMISED}
    return row.state is attempt.State.LEASED


def _lease_until_ms(row: Held) -> int:
    return (row.audit if isinstance(row, AuditRow) else row.attempt).lease_until_ms


def _fresh(page: Page, row: Held) -> Held:
    found = page.work(row.fence)
    assert found is not None
    return found


def _need(caller: Caller, role: Role, wanted: bool) -> None:
    if wanted and role not in caller.roles:
        raise Unauthenticated(f"the node's delegation does not cover {role.name.lower()}")
