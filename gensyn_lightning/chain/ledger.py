"""The port to a chain: budgets in escrow, commitments fixed in time, settlements and receipts.

Every adapter MUST behave alike; `tests/ports/test_ledger.py` runs on all of them. Calls are
synchronous and safe from several threads; a slow chain blocks for a stated time, then raises
`LedgerError`. Writing is idempotent: a call that was made before has no second effect and
returns the first transaction, also after a kill between sending and hearing the answer. The
same call with other content raises `TransactionReverted`.

What a ledger does not establish: that the settlement is just. It checks that nothing is paid
twice, that every unit paid in is paid out or refunded, and that the receipt's roots were
anchored or computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Address, Digest, Money
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Settlement

PAYMENTS_MAX = 256
JOB_TOTAL_MS_MAX = 90 * 86_400_000
SETTLE_GRACE_S = 3_600


class Signer(Protocol):
    """An account that can sign: its key stays where it is."""

    @property
    def address(self) -> Address:
        """The account's address."""

    def sign_digest(self, digest: Digest) -> bytes:
        """Return the recoverable secp256k1 signature: r, s (low), and v of 27 or 28; 65 bytes."""


class EscrowState(IntEnum):
    """Where a job's budget is."""

    OPEN = 1
    SETTLED = 2
    REFUNDED = 3
    RECLAIMED = 4


@dataclass(frozen=True, slots=True)
class Escrow:
    """A job's budget and what became of it; times are the chain's, in seconds.

    `parameters` is the struct hash of the job's parameters, `settle_root` the root over its
    payments, zero while OPEN or when RECLAIMED. From `deadline_s` on anyone may `reclaim`.
    """

    job: Digest
    submitter: Address
    amount: Money
    state: EscrowState
    job_digest: Digest
    program: Digest
    parameters: Digest
    deadline_s: int
    anchors: int
    settle_root: Digest


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the chain; `timestamp_s` never decreases."""

    number: int
    digest: Digest
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A call the chain has accepted, and the block it stands in."""

    digest: Digest
    block: Block


class Ledger(Protocol):
    """Escrow and receipts on some chain."""

    def domain(self) -> Domain:
        """Return what every signature of this network is bound to."""

    def receipts_address(self) -> Address:
        """Return where the receipts are kept."""

    def block(self) -> Block:
        """Return the newest block."""

    def balance(self, account: Address) -> Money:
        """Return what the account can spend."""

    def escrow(self, job: Digest) -> Escrow | None:
        """Return the job's escrow, or None when nothing was ever deposited for it."""

    def receipt(self, job: Digest) -> Receipt | None:
        """Return the job's receipt, or None before it is settled."""

    def receipts_of(self, model: Digest, *, limit: int = 16) -> Sequence[Receipt]:
        """Return the receipts of jobs that gave this model, oldest first."""

    def anchored(self, job: Digest, root: Digest) -> Transaction | None:
        """Return the transaction that anchored `root` for the job, if any."""

    def closed(self, job: Digest) -> Transaction | None:
        """Return the transaction that settled, refunded or reclaimed the job's budget, if any."""

    def deposit(self, account: Signer, job: Job) -> Transaction:
        """Put `job.budget` into escrow under `job_id(job)`; `account` MUST be the submitter.

        Raises `InsufficientBalance`, or `TransactionReverted` for a budget of nothing, a
        `job_total_ms` above `JOB_TOTAL_MS_MAX` or a text above `STRING_BYTES_MAX`.
        """

    def anchor(self, account: Signer, job: Digest, root: Digest) -> Transaction:
        """Fix a batch of commitments in time; `account` MUST be an operator, the escrow OPEN.

        `root` is `merkle.root` over the commitments' struct hashes, in their order. Roots name
        themselves: the same root for the same job is anchored once.
        """

    def settle(
        self, account: Signer, job: Digest, settlement: Settlement, receipt: Receipt
    ) -> Transaction:
        """Pay everyone, return the rest to the submitter and write the receipt, in one step.

        `account` MUST be an operator and the escrow OPEN. Refused unless: payments are at most
        `PAYMENTS_MAX`, in strictly rising order of account and none of nothing; payments and
        refund sum to the escrow; the receipt names this job, its program and its submitter,
        `paid` is the sum of the payments, `settle_root` is `settle_root(settlement)`, and
        `commitments_root` was anchored for this job.
        """

    def refund(self, account: Signer, job: Digest, settlement: Settlement) -> Transaction:
        """Pay what was earned and return the rest, without a receipt; rules as for `settle`."""

    def reclaim(self, account: Signer, job: Digest) -> Transaction:
        """Return the whole budget to the submitter; for anyone, from the escrow's deadline on.

        The deadline is `job_total_ms` (rounded up to seconds) and `SETTLE_GRACE_S` after the
        deposit, so that no budget depends on a coordinator being alive.
        """
