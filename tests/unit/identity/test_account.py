import secrets

import pytest
from eth_account import Account as Reference
from hypothesis import given
from hypothesis import strategies as st

from gensyn_lightning.errors import InvalidProof, Malformed
from gensyn_lightning.identity.account import Account, recover, recover_digest, sign_record
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.task import Task

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DOMAIN = Domain(1, Address(bytes(20)))
TASK = Task(Digest(b"j" * 32), 0, 0, 8, Digest(b"s" * 32))


@given(st.integers(1, ORDER - 1), st.binary(min_size=32, max_size=32))
def test_signatures_and_addresses_are_those_of_another_implementation(
    number: int, digest: bytes
) -> None:
    secret = number.to_bytes(32, "big")
    account, other = Account(secret), Reference.from_key(secret)

    signature = account.sign_digest(digest)

    assert account.address == bytes.fromhex(other.address[2:])
    assert signature == bytes(other.unsafe_sign_hash(digest).signature)
    assert recover_digest(digest, signature) == account.address


def test_signing_twice_gives_the_same_signature() -> None:
    account = Account.generate()

    assert sign_record(TASK, DOMAIN, account) == sign_record(TASK, DOMAIN, account)


@pytest.mark.parametrize(
    "domain", [Domain(2, DOMAIN.escrow), Domain(DOMAIN.chain_id, Address(b"\x01" * 20))]
)
def test_signature_for_one_network_is_none_in_another(domain: Domain) -> None:
    account = Account.generate()
    signature = sign_record(TASK, DOMAIN, account)

    assert recover(TASK, DOMAIN, signature) == account.address
    assert recover(TASK, domain, signature) != account.address


def test_the_other_form_of_a_signature_is_refused() -> None:
    signature = Account.generate().sign_digest(bytes(32))
    high = ORDER - int.from_bytes(signature[32:64], "big")
    flipped = signature[:32] + high.to_bytes(32, "big") + bytes([55 - signature[64]])

    with pytest.raises(InvalidProof, match="one valid form"):
        recover_digest(bytes(32), flipped)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 30, 255])
def test_an_odd_recovery_number_is_refused(v: int) -> None:
    signature = Account.generate().sign_digest(bytes(32))

    with pytest.raises(InvalidProof):
        recover_digest(bytes(32), signature[:64] + bytes([v]))


@pytest.mark.parametrize("size", [0, 64, 66])
def test_a_signature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InvalidProof, match="65 bytes"):
        recover_digest(bytes(32), bytes(size))


@given(st.binary(min_size=65, max_size=65))
def test_random_signatures_recover_or_are_refused(signature: bytes) -> None:
    try:
        found = recover_digest(bytes(32), signature)
    except InvalidProof:
        return
    assert len(found) == 20


@pytest.mark.parametrize("secret", [b"", bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_bytes_that_are_no_key_are_refused(secret: bytes) -> None:
    with pytest.raises(Malformed):
        Account(secret)


def test_the_key_is_not_in_its_repr() -> None:
    secret = secrets.token_bytes(31).rjust(32, b"\x01")

    assert secret.hex() not in repr(Account(secret))
    assert str(secret) not in repr(Account(secret))
