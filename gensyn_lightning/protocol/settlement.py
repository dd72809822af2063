"""Who is paid what when a job ends: integers in, integers out, and nothing is lost on the way.

Paid in = paid to solvers + paid to verifiers + refunded. A solver is paid per accepted batch; a
verifier for each timely report that arbitration did not prove wrong, whatever it said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gensyn_lightning.errors import ProtocolError
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import encode
from gensyn_lightning.protocol.digest import Address, Digest, Money
from gensyn_lightning.protocol.parameters import PPM, Parameters


@dataclass(frozen=True, slots=True)
class Work:
    """An accepted attempt: who trained how many batches, and who checked it."""

    solver: Address
    batches: int
    verifiers: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that leaves escrow for one account."""

    to: Address
    amount: Money


@dataclass(frozen=True, slots=True)
class Settlement:
    """Every payment of a job, in account order; the refund goes to the submitter."""

    payments: tuple[Payment, ...]
    refund: Money


def price(batches: int, parameters: Parameters) -> Money:
    """Return what `batches` training batches cost, checks included."""
    return Money(batches * parameters.price_per_batch)


def settle(budget: Money, parameters: Parameters, work: Sequence[Work]) -> Settlement:
    """Return the payments for accepted work; raise `ProtocolError` if escrow cannot cover them."""
    due: defaultdict[Address, int] = defaultdict(int)
    for each in work:
        cost = price(each.batches, parameters)
        checked = cost * parameters.verifier_share_ppm // PPM
        due[each.solver] += cost - checked
        for verifier in each.verifiers:
            due[verifier] += checked // len(each.verifiers)
    total = sum(due.values())
    if total > budget:
        raise ProtocolError(f"work worth {total} exceeds the budget of {budget}")
    payments = tuple(Payment(to, Money(due[to])) for to in sorted(due) if due[to])
    return Settlement(payments, Money(budget - total))


def settle_root(settlement: Settlement) -> Digest:
    """Return the root over every payment, so that one leaf can be opened on the chain."""
    return merkle.root([encode(payment) for payment in settlement.payments])
