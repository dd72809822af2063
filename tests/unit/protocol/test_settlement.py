"""Nothing is lost when a job is settled: paid in equals paid out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gensyn_lightning.errors import ProtocolError
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.canonical import encode
from gensyn_lightning.protocol.digest import Address, Money
from gensyn_lightning.protocol.parameters import PPM, Parameters
from gensyn_lightning.protocol.settlement import Work, price, settle, settle_root

addresses = st.integers(0, 5).map(lambda each: Address(bytes([each] * 20)))
works = st.lists(
    st.builds(
        Work,
        solver=addresses,
        batches=st.integers(0, 2**40),
        verifiers=st.lists(addresses, max_size=3).map(tuple),
    ),
    max_size=8,
)
parameters = st.builds(
    Parameters,
    price_per_batch=st.integers(0, 10**9).map(Money),
    verifier_share_ppm=st.integers(0, PPM),
)


@given(works, parameters, st.integers(0, 2**64))
def test_paid_in_is_paid_out(work: list[Work], terms: Parameters, spare: int) -> None:
    worth = sum(price(each.batches, terms) for each in work)
    budget = Money(worth + spare)
    settlement = settle(budget, terms, work)
    assert sum(each.amount for each in settlement.payments) + settlement.refund == budget
    assert settlement.refund >= spare
    assert all(each.amount > 0 for each in settlement.payments)
    accounts = [each.to for each in settlement.payments]
    assert accounts == sorted(set(accounts))
    assert settle(budget, terms, list(reversed(work))) == settlement


@given(works, parameters)
def test_escrow_that_cannot_cover_the_work_is_an_error(work: list[Work], terms: Parameters) -> None:
    due = sum(each.amount for each in settle(Money(2**200), terms, work).payments)
    settle(Money(due), terms, work)
    if due:
        with pytest.raises(ProtocolError, match="exceeds"):
            settle(Money(due - 1), terms, work)


SOLVER, FIRST, SECOND = (Address(bytes([each] * 20)) for each in (1, 2, 3))
TERMS = Parameters(price_per_batch=Money(1_000), verifier_share_ppm=200_000)


def test_verifiers_share_what_is_set_aside_for_checking() -> None:
    settlement = settle(Money(20_000), TERMS, [Work(SOLVER, 10, (FIRST, SECOND))])
    paid = {each.to: each.amount for each in settlement.payments}
    assert paid == {SOLVER: 8_000, FIRST: 1_000, SECOND: 1_000}
    assert settlement.refund == 10_000


def test_checks_that_did_not_happen_are_not_paid() -> None:
    settlement = settle(Money(10_000), TERMS, [Work(SOLVER, 10, ())])
    assert [each.amount for each in settlement.payments] == [8_000]
    assert settlement.refund == 2_000


def test_one_payment_opens_under_the_root() -> None:
    settlement = settle(Money(20_000), TERMS, [Work(SOLVER, 10, (FIRST, SECOND))])
    data = [encode(each) for each in settlement.payments]
    for index, each in enumerate(data):
        merkle.verify_inclusion(each, merkle.prove(data, index), settle_root(settlement))
    assert settle_root(settle(Money(0), TERMS, [])) == merkle.EMPTY
