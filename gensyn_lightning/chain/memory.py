"""A ledger in this process's memory, for tests and simulations; the contracts' rules in Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gensyn_lightning.chain.ledger import (
    JOB_TOTAL_MS_MAX,
    PAYMENTS_MAX,
    SETTLE_GRACE_S,
    Block,
    Escrow,
    EscrowState,
    Signer,
    Transaction,
)
from gensyn_lightning.errors import InsufficientBalance, TransactionReverted
from gensyn_lightning.protocol.canonical import Domain, struct_hash
from gensyn_lightning.protocol.digest import ZERO, Address, Digest, Money, keccak
from gensyn_lightning.protocol.job import Job, job_id
from gensyn_lightning.protocol.parameters import STRING_BYTES_MAX
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Settlement, settle_root

_NOBODY = Address(bytes(20))
_ESCROW = Address(keccak(b"escrow")[12:])


@dataclass(slots=True)
class _Account:
    """All that is kept about one job."""

    escrow: Escrow
    deposited: Transaction
    anchors: dict[Digest, Transaction]
    numerics: str
    closed: Transaction | None = None
    receipt: Receipt | None = None


class MemoryLedger:
    """Balances and escrows in dictionaries; `clock` gives the chain's time in seconds."""

    def __init__(
        self,
        balances: Mapping[Address, int],
        operators: Iterable[Address],
        clock: Callable[[], int],
        *,
        chain_id: int = 1,
    ) -> None:
        self._balances = dict(balances)
        self._operators = frozenset(operators)
        self._clock = clock
        self._chain_id = chain_id
        self._lock = threading.RLock()
        self._jobs: dict[Digest, _Account] = {}
        self._block = Block(0, keccak(b"genesis"), clock())

    def domain(self) -> Domain:
        """Return what every signature of this network is bound to."""
        return Domain(self._chain_id, _ESCROW)

    def receipts_address(self) -> Address:
        """Return where the receipts are kept."""
        return Address(keccak(b"receipts")[12:])

    def block(self) -> Block:
        """Return the newest block."""
        return self._block

    def balance(self, account: Address) -> Money:
        """Return what the account can spend."""
        with self._lock:
            return Money(self._balances.get(account, 0))

    def escrow(self, job: Digest) -> Escrow | None:
        """Return the job's escrow, or None when nothing was ever deposited for it."""
        found = self._jobs.get(job)
        return found.escrow if found else None

    def receipt(self, job: Digest) -> Receipt | None:
        """Return the job's receipt, or None before it is settled."""
        found = self._jobs.get(job)
        return found.receipt if found else None

    def receipts_of(self, model: Digest, *, limit: int = 16) -> Sequence[Receipt]:
        """Return the receipts of jobs that gave this model, oldest first."""
        with self._lock:
            closed = [each for each in self._jobs.values() if each.closed and each.receipt]
        closed.sort(key=lambda each: each.closed.block.number if each.closed else 0)
        receipts = [each.receipt for each in closed if each.receipt]
        return [each for each in receipts if each.model == model][:limit]

    def anchored(self, job: Digest, root: Digest) -> Transaction | None:
        """Return the transaction that anchored `root` for the job, if any."""
        found = self._jobs.get(job)
        return found.anchors.get(root) if found else None

    def closed(self, job: Digest) -> Transaction | None:
        """Return the transaction that settled, refunded or reclaimed the job's budget, if any."""
        found = self._jobs.get(job)
        return found.closed if found else None

    def deposit(self, account: Signer, job: Job) -> Transaction:
        """Put `job.budget` into escrow under `job_id(job)`; `account` MUST be the submitter."""
        name, digest = job_id(job), struct_hash(job)
        with self._lock:
            if name in self._jobs:
                _check(self._jobs[name].escrow.job_digest == digest, "deposited otherwise before")
                return self._jobs[name].deposited
            _check(account.address == job.submitter, "only the submitter deposits")
            _check(job.budget > 0, "a budget of nothing")
            _check(job.parameters.job_total_ms <= JOB_TOTAL_MS_MAX, "the job may last too long")
            _check_text(job.numerics, job.sandbox_tier)
            self._spend(job.submitter, job.budget)
            mined = self._mine(digest)
            lasts_s = -(-job.parameters.job_total_ms // 1000) + SETTLE_GRACE_S
            opened = Escrow(
                job=name,
                submitter=job.submitter,
                amount=job.budget,
                state=EscrowState.OPEN,
                job_digest=digest,
                program=job.program,
                parameters=struct_hash(job.parameters),
                deadline_s=mined.block.timestamp_s + lasts_s,
                anchors=0,
                settle_root=ZERO,
            )
            self._jobs[name] = _Account(opened, mined, {}, job.numerics)
            return mined

    def anchor(self, account: Signer, job: Digest, root: Digest) -> Transaction:
        """Fix a batch of commitments in time; `account` MUST be an operator, the escrow OPEN."""
        with self._lock:
            before = self.anchored(job, root)
            if before is not None:
                return before
            found = self._open_for(account, job)
            _check(root != ZERO, "no root")
            found.anchors[root] = self._mine(root)
            found.escrow = replace(found.escrow, anchors=len(found.anchors))
            return found.anchors[root]

    def settle(
        self, account: Signer, job: Digest, settlement: Settlement, receipt: Receipt
    ) -> Transaction:
        """Pay everyone, return the rest to the submitter and write the receipt, in one step."""
        with self._lock:
            before = self._jobs.get(job)
            if before and before.receipt == receipt:
                return _closed_alike(before, settlement)
            found = self._open_for(account, job)
            _check_payments(found.escrow, settlement)
            _check_receipt(found, settlement, receipt)
            found.receipt = receipt
            return self._close(found, EscrowState.SETTLED, settlement)

    def refund(self, account: Signer, job: Digest, settlement: Settlement) -> Transaction:
        """Pay what was earned and return the rest, without a receipt; rules as for `settle`."""
        with self._lock:
            before = self._jobs.get(job)
            if before and before.escrow.state is EscrowState.REFUNDED:
                return _closed_alike(before, settlement)
            found = self._open_for(account, job)
            _check_payments(found.escrow, settlement)
            return self._close(found, EscrowState.REFUNDED, settlement)

    def reclaim(self, account: Signer, job: Digest) -> Transaction:
        """Return the whole budget to the submitter; for anyone, from the escrow's deadline on."""
        with self._lock:
            found = self._existing(job)
            if found.closed and found.escrow.state is EscrowState.RECLAIMED:
                return found.closed
            _check_open(found)
            _check(self._clock() >= found.escrow.deadline_s, "the deadline has not passed")
            everything = Settlement((), found.escrow.amount)
            return self._close(found, EscrowState.RECLAIMED, everything)

    def _existing(self, job: Digest) -> _Account:
        found = self._jobs.get(job)
        if found is None:
            raise TransactionReverted("nothing was deposited for this job")
        return found

    def _open_for(self, operator: Signer, job: Digest) -> _Account:
        _check(operator.address in self._operators, "only an operator may do this")
        found = self._existing(job)
        _check_open(found)
        return found

    def _spend(self, account: Address, amount: int) -> None:
        held = self._balances.get(account, 0)
        if held < amount:
            raise InsufficientBalance(
                f"the balance is {held}, the price {amount}",
                hint="lower the price (max_epochs, limit_train_batches) or add to the balance",
            )
        self._balances[account] = held - amount

    def _close(self, found: _Account, state: EscrowState, settlement: Settlement) -> Transaction:
        for each in settlement.payments:
            self._balances[each.to] = self._balances.get(each.to, 0) + each.amount
        owner = found.escrow.submitter
        self._balances[owner] = self._balances.get(owner, 0) + settlement.refund
        root = ZERO if state is EscrowState.RECLAIMED else settle_root(settlement)
        found.escrow = replace(found.escrow, state=state, settle_root=root)
        found.closed = self._mine(found.escrow.job)
        return found.closed

    def _mine(self, what: bytes) -> Transaction:
        number = self._block.number + 1
        word = number.to_bytes(8, "big")
        now = max(self._clock(), self._block.timestamp_s)
        self._block = Block(number, keccak(self._block.digest + word + what), now)
        return Transaction(keccak(word + what), self._block)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TransactionReverted(otherwise)


def _check_text(*texts: str) -> None:
    _check(all(len(each.encode()) <= STRING_BYTES_MAX for each in texts), "a text is too long")


def _closed_alike(found: _Account, settlement: Settlement) -> Transaction:
    _check(found.escrow.settle_root == settle_root(settlement), "closed otherwise before")
    assert found.closed
    return found.closed


def _check_open(found: _Account) -> None:
    _check(found.escrow.state is EscrowState.OPEN, "the job's budget has left escrow")


def _check_payments(escrow: Escrow, settlement: Settlement) -> None:
    payments = settlement.payments
    _check(len(payments) <= PAYMENTS_MAX, "too many payments")
    before = _NOBODY
    for each in payments:
        _check(each.to not in {_NOBODY, _ESCROW}, "a payment to nobody")
        _check(each.to > before, "payments out of order")
        _check(each.amount > 0, "a payment of nothing")
        before = each.to
    total = sum(each.amount for each in payments) + settlement.refund
    _check(settlement.refund >= 0 and total == escrow.amount, "payments do not sum to the escrow")


def _check_receipt(found: _Account, settlement: Settlement, receipt: Receipt) -> None:
    escrow = found.escrow
    _check(receipt.job == escrow.job, "the receipt names another job")
    _check(receipt.program == escrow.program, "the receipt names another program")
    _check(receipt.submitter == escrow.submitter, "the receipt names another submitter")
    _check(receipt.numerics == found.numerics, "the receipt names other numerics")
    _check_text(receipt.sandbox_tier)
    _check(receipt.settle_root == settle_root(settlement), "the receipt names other payments")
    paid = sum(each.amount for each in settlement.payments)
    _check(receipt.paid == paid, "the receipt names another sum")
    _check(receipt.commitments_root in found.anchors, "commitments that were never anchored")
