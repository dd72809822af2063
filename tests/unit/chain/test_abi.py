"""Our encoding of Solidity's values against the one everybody uses."""

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gensyn_lightning.chain import abi
from gensyn_lightning.errors import GensynError, Malformed
from gensyn_lightning.protocol.digest import Address, Digest, Money, Nonce
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.parameters import Parameters
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.verdict import DisputeClass

words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20)
uint64s = st.integers(0, 2**64 - 1)
receipts = st.builds(
    Receipt,
    job=words,
    program=words,
    submitter=addresses,
    model=words,
    end_root=words,
    segments=uint64s,
    replayed=uint64s,
    owners=uint64s,
    numerics=st.text(max_size=80),
    sandbox_tier=st.text(max_size=80),
    dispute_class=st.sampled_from(DisputeClass),
    single_operator=st.booleans(),
    commitments_root=words,
    settle_root=words,
    paid=st.integers(0, 2**256 - 1),
)


@given(receipts)
def test_a_receipt_is_encoded_as_everybody_does(receipt: Receipt) -> None:
    kind, values = abi.type_of(Receipt), abi.to_values(receipt)
    data = abi.encode([kind], [values])
    assert data == eth_abi.encode([kind], [values])
    (read,) = abi.decode([kind], data)
    assert abi.from_values(Receipt, read) == receipt


@given(st.lists(st.tuples(addresses, st.integers(0, 2**256 - 1)), max_size=9), st.binary())
def test_lists_and_bytes_are_encoded_as_everybody_does(
    payments: list[tuple[bytes, int]], data: bytes
) -> None:
    kinds = ["(address,uint256)[]", "bytes", "uint64", "string[]"]
    values = [payments, data, 7, ["a", "", "b" * 40]]
    encoded = abi.encode(kinds, values)
    assert encoded == eth_abi.encode(kinds, values)
    read = abi.decode(kinds, encoded)
    assert [list(read[0]), read[1], read[2], list(read[3])] == values


def test_records_inside_records_are_tuples_inside_tuples() -> None:
    job = Job(
        Digest(b"\1" * 32),
        Address(b"\2" * 20),
        Nonce(b"\3" * 16),
        "n",
        Digest(b"\4" * 32),
        "none",
        Money(5),
        Money(6),
        Parameters(),
    )
    (read,) = abi.decode([abi.type_of(Job)], abi.encode([abi.type_of(Job)], [abi.to_values(job)]))
    assert abi.from_values(Job, read) == job


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused_by_name(data: bytes) -> None:
    for kind in (abi.type_of(Receipt), "string[]", "(bytes,uint8)[]"):
        try:
            abi.decode([kind], data)
        except GensynError:
            continue


@pytest.mark.parametrize(
    ("kind", "value"),
    [("uint64", 2**64), ("uint64", -1), ("bytes32", b"short"), ("address", b""), ("bool", 2)],
)
def test_what_does_not_fit_is_refused(kind: str, value: object) -> None:
    with pytest.raises(Malformed):
        abi.encode([kind], [value])


def test_an_unknown_member_of_an_enum_is_refused() -> None:
    values = list(abi.to_values(next_receipt()))
    values[10] = 99
    with pytest.raises(Malformed):
        abi.from_values(Receipt, values)


def next_receipt() -> Receipt:
    word, none = Digest(bytes(32)), DisputeClass.NONE
    return Receipt(
        word,
        word,
        Address(bytes(20)),
        word,
        word,
        1,
        1,
        1,
        "",
        "",
        none,
        True,
        word,
        word,
        Money(1),
    )
