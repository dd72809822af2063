"""The embedded chain keeps what it took, refuses what it must, and never charges a fee."""

from pathlib import Path
from typing import Any

import pytest
from eth_account.typed_transactions.typed_transaction import TypedTransaction

from gensyn_lightning.chain.evm import (
    CHAIN_ID,
    TRANSACTION_BYTES_MAX,
    TRANSACTION_GAS_MAX,
    Call,
    EmbeddedChain,
    Genesis,
    Reverted,
)
from gensyn_lightning.errors import LedgerError, LimitExceeded, Malformed, NotFound
from gensyn_lightning.identity import Account
from gensyn_lightning.protocol.digest import Address, Digest, keccak

ALICE = Account(b"\x0a" * 32)
BOB = Address(b"\xbb" * 20)


@pytest.fixture
def chain(tmp_path: Path) -> Any:
    made = begin(tmp_path)
    yield made
    made.close()


def begin(folder: Path) -> EmbeddedChain:
    genesis = Genesis(Address(b"\x11" * 20), {ALICE.address: 1000})
    return EmbeddedChain(folder / "chain.db", genesis, lambda: 1_800_000_000)


def signed(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": 0,
        "to": BOB,
        "value": 10,
        "gas": 21_000,
        "maxFeePerGas": 0,
        "maxPriorityFeePerGas": 0,
        "data": b"",
        "accessList": [],
    } | changes
    signature = ALICE.sign_digest(Digest(TypedTransaction.from_dict(fields).hash()))
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    fields |= {"r": r, "s": s, "v": signature[64] - 27}
    return bytes(TypedTransaction.from_dict(fields).encode())


def test_a_transaction_stands_in_a_block_of_its_own_and_costs_nothing(chain: EmbeddedChain) -> None:
    raw = signed()
    assert chain.send(raw) == keccak(raw)
    assert (chain.balance(ALICE.address), chain.balance(BOB)) == (990, 10)
    mined = chain.mined(keccak(raw))
    assert mined is not None
    assert mined.header.block_number == chain.head().block_number == 2
    assert chain.head().base_fee_per_gas == 0


def test_it_is_all_there_after_reopening(tmp_path: Path) -> None:
    chain = begin(tmp_path)
    raw = signed()
    chain.send(raw)
    before = chain.head().hash, chain.contracts
    chain.close()
    chain = EmbeddedChain(tmp_path / "chain.db", None, lambda: 1_800_000_000)
    assert (chain.head().hash, chain.contracts) == before
    assert chain.balance(BOB) == 10
    # What it held before is still to be asked.
    assert chain.balance(BOB, 1) == 0
    assert chain.mined(keccak(raw)) is not None
    chain.send(signed(nonce=1))
    chain.close()


def test_two_homes_are_two_networks(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    chains = [begin(tmp_path / each) for each in "ab"]
    assert chains[0].contracts.escrow != chains[1].contracts.escrow
    for each in chains:
        each.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": 1}, "nonce"),
        ({"value": 1001}, "balance|funds"),
        ({"gas": 20_999}, "gas"),
        ({"chainId": 1}, "chain 1"),
        ({"gas": TRANSACTION_GAS_MAX + 1}, "gas"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, "balance|funds"),
        ({"data": bytes(TRANSACTION_BYTES_MAX)}, "bytes"),
    ],
)
def test_what_cannot_stand_is_not_taken(
    chain: EmbeddedChain, changes: dict[str, Any], reason: str
) -> None:
    head = chain.head().hash
    with pytest.raises((LedgerError, LimitExceeded, Malformed), match=f"(?i){reason}"):
        chain.send(signed(**changes))
    assert chain.head().hash == head
    chain.send(signed())


def test_the_same_transaction_is_taken_once(chain: EmbeddedChain) -> None:
    chain.send(signed())
    with pytest.raises(LedgerError, match="already known"):
        chain.send(signed())
    assert chain.balance(BOB) == 10


def test_a_changed_transaction_is_somebody_elses(chain: EmbeddedChain) -> None:
    raw = bytearray(signed())
    raw[-1] ^= 1
    with pytest.raises((LedgerError, Malformed)):
        chain.send(bytes(raw))
    assert chain.balance(BOB) == 0


def test_any_bytes_are_no_transaction(chain: EmbeddedChain) -> None:
    raw = signed()
    for cut in range(len(raw)):
        with pytest.raises(Malformed):
            chain.send(raw[:cut])


def test_asking_changes_nothing_and_says_why_it_was_refused(chain: EmbeddedChain) -> None:
    head = chain.head().hash
    call = Call(
        ALICE.address, chain.contracts.escrow, 0, keccak(b"reclaim(bytes32)")[:4] + bytes(32)
    )
    with pytest.raises(Reverted) as caught:
        chain.ask(call)
    assert caught.value.data[:4] == keccak(b"NothingDeposited(bytes32)")[:4]
    assert chain.head().hash == head


def test_a_call_that_never_ends_is_cut_off(chain: EmbeddedChain) -> None:
    # PUSH1 0, JUMPDEST at 2: loop. Deployed as init code it spins until its gas is gone.
    loop = Call(ALICE.address, b"", 0, bytes.fromhex("60005b600256"))
    with pytest.raises(Reverted):
        chain.ask(Call(loop.sender, b"", 0, loop.data, gas=300_000))


def test_what_is_not_there_is_not_found(chain: EmbeddedChain) -> None:
    assert chain.mined(bytes(32)) is None
    with pytest.raises(NotFound):
        chain.block(99)
    with pytest.raises(NotFound):
        chain.block(bytes(32))
    with pytest.raises(NotFound):
        chain.balance(BOB, 99)
