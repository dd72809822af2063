"""Which nodes are registered, and which of them are there right now.

Registrations are rows and survive; presence is the time of the last call, learnt anew after a
restart, since nothing but a draw depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from coordinator.limits import PRESENCE_MS
from coordinator.rows import NodeRow
from gensyn_lightning.errors import LimitExceeded, NotFound, Unauthenticated
from gensyn_lightning.protocol.assignment import Candidate
from gensyn_lightning.protocol.digest import Address
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.parameters import NODES_MAX


class Roster:
    """The registered nodes and when each last called."""

    def __init__(self, busy: Callable[[Address], bool]) -> None:
        self.busy = busy
        self.nodes: dict[Address, NodeRow] = {}
        self.seen_ms: dict[Address, int] = {}

    def add(self, node: NodeRow, now_ms: int) -> None:
        """Enter a node that has just called, or replace what it said before."""
        self.check(node)
        self.nodes[node.account] = node
        self.seen_ms[node.account] = now_ms

    def check(self, node: NodeRow) -> None:
        """Raise when one more node would be too many, or a known one names another owner."""
        known = self.nodes.get(node.account)
        if known is None and len(self.nodes) >= NODES_MAX:
            raise LimitExceeded(f"the network has {NODES_MAX} nodes already")
        if known is not None and known.owner != node.owner:
            raise Unauthenticated("an account keeps its owner", hint="register another account")

    def called(self, account: Address, now_ms: int) -> NodeRow:
        """Take note that a node called; raise `NotFound` unless it is registered."""
        node = self.nodes.get(account)
        if node is None:
            raise NotFound("the node is not registered", hint="register it first")
        self.seen_ms[account] = now_ms
        return node

    def present(self, job: Job, now_ms: int) -> list[NodeRow]:
        """Return the nodes that are there and compute this job's bits, in order of account."""
        return [
            node
            for account, node in sorted(self.nodes.items())
            if self.fits(node, job)
            and now_ms - self.seen_ms.get(account, -PRESENCE_MS) < PRESENCE_MS
        ]

    @staticmethod
    def fits(node: NodeRow, job: Job) -> bool:
        """Whether the node computes this job's bits in the sandbox it asks for."""
        return job.numerics in node.numerics and node.tier == job.sandbox_tier


def candidate(node: NodeRow, job: Job) -> Candidate:
    """Return the node as a draw for a job sees it; the node computes the job's bits."""
    return Candidate(node.account, node.owner, node.solves, node.verifies, job.numerics)


def prefer(nodes: list[NodeRow], avoided: Container[Address]) -> list[NodeRow]:
    """Leave out owners who lost this work before, unless nobody else is left."""
    others = [each for each in nodes if each.owner not in avoided]
    return others or nodes
