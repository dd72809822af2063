"""A small deterministic network on paper: the pure protocol with real keys, no process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gensyn_lightning.identity import Account, Identity, Role, SignedDelegation, sign_record
from gensyn_lightning.protocol import job as jobs
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.assignment import Candidate, Draw, Seed, draw_verifiers, sampled
from gensyn_lightning.protocol.canonical import Domain, json_bytes, struct_hash
from gensyn_lightning.protocol.commitment import (
    Commitment,
    Outcome,
    StoreReceipt,
    salted_witness,
)
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, Nonce, digest_of, keccak
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.jsonform import from_json, to_json
from gensyn_lightning.protocol.parameters import PPM, Parameters
from gensyn_lightning.protocol.task import Task, task_id
from gensyn_lightning.protocol.verdict import (
    Arbitration,
    Replay,
    arbitrate,
    blind,
    verdict,
)
from gensyn_lightning.report import case, money
from gensyn_lightning.report.build import build
from gensyn_lightning.report.leaves import model_digest
from gensyn_lightning.report.seal import sealed
from gensyn_lightning.report.statement import sign_provenance, sign_test_result
from gensyn_lightning.report.trust import Pins, Signer
from gensyn_lightning.training.leaf import VALUE, Leaf, in_order
from gensyn_lightning.training.leaf import root as leaves_root
from gensyn_lightning.training.outputs import Call, File, Outputs, Removed
from gensyn_lightning.training.outputs import encode as encode_outputs
from gensyn_lightning.training.outputs import parse as parse_outputs
from gensyn_lightning.training.outputs import root as outputs_root

NUMERICS = "native:0123456789abcdef"
EVENTS, BATCHES = 10, 8


def digest(*parts: object) -> Digest:
    return keccak("/".join(map(str, parts)).encode())


@dataclass
class Party:
    name: str
    roles: tuple[Role, ...]
    domain: Domain
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        account = Account(digest("key", self.name))
        self.identity = Identity(account, self.domain, self.roles)

    @property
    def address(self) -> Address:
        return self.identity.address

    def sign(self, record: Any) -> bytes:
        return sign_record(record, self.domain, self.identity.account)

    def delegation(self) -> SignedDelegation:
        return SignedDelegation.parse(self.identity.delegation(), self.domain)


@dataclass
class Paper:
    """Plays a job on paper; `cheats` and `slanders` name segments where someone lies first.

    With a `ledger`, budget, anchors and settlement are also put on its chain.
    """

    segments: int = 3
    rate_ppm: int = PPM
    cheats: frozenset[int] = frozenset()
    slanders: frozenset[int] = frozenset()
    settle: bool = True
    name: str = "honest"
    ledger: Any = None

    def __post_init__(self) -> None:
        self.domain = Domain(1337, Address(digest("escrow")[:20]))
        self.receipts = Address(digest("receipts")[:20])
        if self.ledger:
            self.domain, self.receipts = self.ledger.domain(), self.ledger.receipts_address()
        both = (Role.SOLVER, Role.VERIFIER)
        self.submitter = Party("submitter", (Role.SUBMITTER,), self.domain)
        self.coordinator = Party("coordinator", (Role.SUBMITTER,), self.domain)
        self.nodes = {
            each.address: each
            for each in (
                Party("solver-1", both, self.domain),
                Party("solver-2", both, self.domain),
                Party("verifier-1", (Role.VERIFIER,), self.domain),
                Party("verifier-2", (Role.VERIFIER,), self.domain),
            )
        }
        self.solvers = [each for each in self.nodes.values() if Role.SOLVER in each.roles]
        self.leaves = self._leaves()
        self.job = self._job()
        self.id = jobs.job_id(self.job)
        self.beacon = digest("beacon")
        self.fence = 0
        self.rosters: dict[str, list[str]] = {}
        self.anchors: list[dict[str, Any]] = []

    def _leaves(self) -> tuple[Leaf, ...]:
        return in_order(
            [
                Leaf(
                    "model/weight", "parameter", digest("w"), "float32", (3, 4), requires_grad=True
                ),
                Leaf("model/bias", "parameter", digest("b"), "float32", (3,), requires_grad=True),
                Leaf("optimizers/0/step", "tensor", digest("s"), "float32", ()),
                Leaf("loops", VALUE, digest("loops")),
            ]
        )

    def _job(self) -> Job:
        parameters = Parameters(audit_rate_ppm=self.rate_ppm)
        return Job(
            program=digest("program", self.name),
            submitter=self.submitter.address,
            nonce=Nonce(digest("nonce", self.name)[:16]),
            numerics=NUMERICS,
            initial_root=digest("start"),
            sandbox_tier="none",
            budget=Money(1_000_000),
            value_at_stake=Money(0),
            parameters=parameters,
        )

    def dossier(self) -> dict[str, Any]:
        """Play the job and return its dossier, sealed."""
        if self.ledger:
            self.ledger.deposit(self.submitter.identity.account, self.job)
        segments, root = [], self.job.initial_root
        for index in range(self.segments):
            attempts = []
            if index in self.cheats:
                attempts.append(self._attempt(index, root, self.solvers[0], cheat=True))
            attempts.append(self._attempt(index, root, self.solvers[bool(self.cheats)]))
            segments.append({"index": index, "attempts": attempts})
            root = self._end_root(index)
        records = {
            "schema": "gensyn-dossier/1",
            "domain": {"chain_id": self.domain.chain_id, "escrow": self.domain.escrow.hex()},
            "receipts": self.receipts.hex(),
            "coordinator": self.coordinator.address.hex(),
            "single_operator": True,
            "job": {
                "id": self.id.hex(),
                "record": to_json(self.job),
                "signature": self.submitter.sign(self.job).hex(),
                "state": "SETTLED" if self.settle else "TRAINING",
                "reason": None,
                "submitted_ms": 1,
                "beacon": self.beacon.hex(),
            },
            "nodes": [self._node(self.nodes[each]) for each in sorted(self.nodes)],
            "rosters": self.rosters,
            "segments": segments,
            "anchors": self.anchors,
            "settlement": None,
        }
        if self.settle:
            records["settlement"] = self._settlement(records)
        return self.seal(records)

    def seal(self, records: dict[str, Any]) -> dict[str, Any]:
        """Return the records sealed by the coordinator, whatever they say."""
        return sealed(records, self.domain, self.coordinator.identity.account)

    def report(self, change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
        """Return a report, after `change` was made to records that are then sealed again."""
        records = self.dossier()
        if change:
            change(records)
            records = self.seal(records)
        outputs = [self.outputs(index) for index in range(self.segments)]
        return build(json_bytes(records), self.leaves, self.submitter.identity, outputs)

    @staticmethod
    def outputs(index: int) -> bytes:
        """A segment's files, one of its own and one anew, and what it logged."""
        files = (
            File("root", "metrics.csv", digest_of(b"%d" % index), 1, "bytes"),
            File("root", f"{index}.ckpt", digest("checkpoint", index), 9, "checkpoint"),
        )
        removed = (Removed("root", f"{index - 1}.ckpt"),)
        metrics = {"$dict": [["loss", {"$float": (1 / (1 + index)).hex()}]]}
        calls = (
            Call(index, 0, "save", {"tree": {}}),
            Call(index, 0, "log_metrics", {"tree": [[metrics, index], {"$dict": []}]}),
        )
        return encode_outputs(Outputs(files, removed, calls, ()))

    def pins(self, *without: str) -> Pins:
        """Return everyone of this network as pinned, except those named."""
        named = [("submitter", self.submitter), ("coordinator", self.coordinator)]
        named += [(role.name.lower(), each) for each in self.nodes.values() for role in each.roles]
        known = {Signer(role, e.address): e.name for role, e in named if e.name not in without}
        return Pins(known, ("the test",))

    def _end_root(self, index: int) -> Digest:
        last = index == self.segments - 1
        return leaves_root(self.leaves) if last else digest("end", index)

    def _attempt(
        self, index: int, start: Digest, solver: Party, *, cheat: bool = False
    ) -> dict[str, Any]:
        first = index * EVENTS
        task = Task(self.id, index, first, first + EVENTS, start)
        salt = Nonce(digest("salt", index, cheat)[:16])
        kept = StoreReceipt((digest("structure"), digest("tensors")), 99, self.coordinator.address)
        claim = Commitment(
            job=self.id,
            task=task_id(task),
            task_index=index,
            fence=self._next_fence(),
            solver=solver.address,
            first_event=first,
            end_event=first + EVENTS,
            batches=BATCHES,
            outcome=Outcome.FINISHED if index == self.segments - 1 else Outcome.CONTINUES,
            raised=ZERO,
            start_root=start,
            end_root=digest("lie", index) if cheat else self._end_root(index),
            tape_root=digest("tape", index),
            outputs_root=outputs_root(parse_outputs(self.outputs(index))),
            witness=salted_witness(salt, digest("witness", index)),
            numerics=NUMERICS,
            sandbox_tier="none",
            store_receipt=struct_hash(kept),
        )
        signature = solver.sign(claim)
        seed = self._anchor(claim)
        rate = self.job.parameters.audit_rate_ppm
        drawn = sampled(struct_hash(seed), seed.task, rate, index)
        audits, rulings = self._audits(claim, salt, seed, cheat) if drawn else ([], [])
        ruled = rulings[-1]["outcome"] if rulings else None
        lot = Draw(struct_hash(Seed(seed.task, self.id, self.beacon)), seed.task, "solve", 0)
        roster = self._roster([each.address for each in self.solvers])
        return {
            "fence": claim.fence,
            "task": to_json(task),
            "state": "REFUTED" if ruled == "REFUTED" else "ACCEPTED",
            "solver": solver.address.hex(),
            "started_ms": 5,
            "committed_ms": 6,
            "draw": to_json(lot),
            "roster": roster.hex(),
            "commitment": to_json(claim),
            "signature": signature.hex(),
            "salt": salt.hex(),
            "state_refs": {"structure": digest("structure").hex(), "tensors": ZERO.hex()},
            "tape": ZERO.hex(),
            "outputs": ZERO.hex(),
            "model": model_digest(self.leaves).hex(),
            "store_receipt": to_json(kept),
            "store_signature": self.coordinator.sign(kept).hex(),
            "provenance": sign_provenance(solver.identity, claim, signature).decode(),
            "anchor": seed.anchored.hex(),
            "seed": to_json(seed),
            "sampled": drawn,
            "audits": audits,
            "arbitrations": rulings,
            "equivocations": [],
        }

    def _audits(
        self, claim: Commitment, salt: Nonce, seed: Seed, cheat: bool
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        slander = claim.task_index in self.slanders and not cheat
        truth = self._end_root(claim.task_index)
        claims = (claim, salt, seed)
        check = self._audit(claims, "CHECK", digest("slander") if slander else truth, [])
        if check["verdict"] == "MATCH":
            return [check], []
        accuser = bytes.fromhex(check["verifier"])
        third = self._audit(claims, "ARBITRATION", truth, [Address(accuser)])
        first, second = (self._replay_of(each) for each in (check, third))
        outcome = arbitrate(claim, salt, first, second)
        wrong = "NO_MATCH" if outcome is Arbitration.UPHELD else "MATCH"
        for each in (check, third):
            each["wrong"] = each["verdict"] == wrong
        ruling = {
            "round": 0,
            "outcome": outcome.name,
            "accuser": check["verifier"],
            "third": third["verifier"],
        }
        return [check, third], [ruling]

    def _audit(
        self,
        claims: tuple[Commitment, Nonce, Seed],
        purpose: str,
        end_root: Digest,
        taken: Sequence[Address],
    ) -> dict[str, Any]:
        claim, salt, seed = claims
        label = {"CHECK": "check", "ARBITRATION": "arbitrate"}[purpose]
        draw = Draw(struct_hash(seed), seed.task, label, 0)
        away = {claim.solver, *taken}
        members = [each for each in sorted(self.nodes) if each not in away]
        candidates = [Candidate(each, each, True, True, NUMERICS) for each in members]
        parties = frozenset({claim.solver, self.job.submitter})
        verifier = self.nodes[draw_verifiers(draw, candidates, parties, 1)[0]]
        made = Replay(
            commitment=struct_hash(claim),
            verifier=verifier.address,
            draw=struct_hash(draw),
            end_event=claim.end_event,
            batches=claim.batches,
            outcome=claim.outcome,
            raised=claim.raised,
            end_root=end_root,
            tape_root=claim.tape_root,
            outputs_root=claim.outputs_root,
            witness_root=digest("witness", claim.task_index),
            numerics=NUMERICS,
            nonce=Nonce(digest("blind", purpose, claim.fence)[:16]),
        )
        signature = verifier.sign(made)
        return {
            "fence": self._next_fence(),
            "purpose": purpose,
            "state": "REPORTED",
            "verifier": verifier.address.hex(),
            "draw": to_json(draw),
            "roster": self._roster(members).hex(),
            "promise": to_json(blind(made)),
            "promise_signature": verifier.sign(blind(made)).hex(),
            "replay": to_json(made),
            "replay_signature": signature.hex(),
            "result": sign_test_result(verifier.identity, claim, made, signature).decode(),
            "verdict": verdict(claim, salt, made).name,
            "wrong": False,
        }

    @staticmethod
    def _replay_of(audit: dict[str, Any]) -> Replay:
        return from_json(Replay, audit["replay"])

    def _anchor(self, claim: Commitment) -> Seed:
        named = struct_hash(claim)
        root = merkle.root([named])
        row = {"root": root.hex(), "commitments": [named.hex()], **self._block(claim.fence)}
        if self.ledger:
            operator = self.coordinator.identity.account
            row |= self._stamp(self.ledger.anchor(operator, self.id, root))
        self.anchors.append(row)
        return Seed(claim.task, root, Digest(bytes.fromhex(row["block_digest"])))

    @staticmethod
    def _stamp(found: Any) -> dict[str, Any]:
        return {
            "tx": found.digest.hex(),
            "block_number": found.block.number,
            "block_digest": found.block.digest.hex(),
            "timestamp_s": found.block.timestamp_s,
        }

    @staticmethod
    def _block(number: int) -> dict[str, Any]:
        return {
            "tx": digest("tx", number).hex(),
            "block_number": number,
            "block_digest": digest("block", number).hex(),
            "timestamp_s": 1_700_000_000 + number,
        }

    def _roster(self, members: Sequence[Address]) -> Digest:
        listed = sorted(members)
        root = merkle.root(listed)
        self.rosters[root.hex()] = [each.hex() for each in listed]
        return root

    def _node(self, node: Party) -> dict[str, Any]:
        lent = node.delegation()
        return {
            "account": node.address.hex(),
            "owner": node.address.hex(),
            "numerics": NUMERICS,
            "tier": "none",
            "roles": [each.name for each in node.roles],
            "registration": to_json(lent.delegation),
            "signature": lent.signature.hex(),
        }

    def _settlement(self, records: dict[str, Any]) -> dict[str, Any]:
        known = case.read({**records, "seal": "", "settlement": None})
        shares = money.expected_settlement(known)
        receipt = money.expected_receipt(known, model_digest(self.leaves))
        block = self._block(1000)
        if self.ledger:
            operator = self.coordinator.identity.account
            self.ledger.anchor(operator, self.id, receipt.commitments_root)
            block = self._stamp(self.ledger.settle(operator, self.id, shares, receipt))
        return {
            "kind": "SETTLE",
            "record": to_json(shares),
            "settle_root": receipt.settle_root.hex(),
            "receipt": to_json(receipt),
            "receipt_signature": self.coordinator.sign(receipt).hex(),
            **block,
        }

    def _next_fence(self) -> int:
        self.fence += 1
        return self.fence


@pytest.fixture
def paper() -> type[Paper]:
    """The maker of networks on paper."""
    return Paper


@pytest.fixture(scope="session")
def honest() -> tuple[bytes, Pins]:
    """An honest report of three segments, and the pins of its network."""
    played = Paper()
    return played.report(), played.pins()


@pytest.fixture(scope="session")
def maker() -> type[Paper]:
    """The same, for fixtures that outlive a test."""
    return Paper
