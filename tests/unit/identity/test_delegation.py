import pytest
from hypothesis import given
from hypothesis import strategies as st

from gensyn_lightning.errors import Unauthenticated
from gensyn_lightning.identity import Account, Delegation, NodeKey, Role, SignedDelegation
from gensyn_lightning.identity.delegation import signed_by
from gensyn_lightning.protocol.canonical import Domain, encode_type
from gensyn_lightning.protocol.digest import Address

DOMAIN = Domain(7, Address(b"\x07" * 20))
ACCOUNT = Account.generate()
KEY = NodeKey()


def delegation(account: Account = ACCOUNT) -> Delegation:
    roles = (Role.SOLVER, Role.VERIFIER)
    return Delegation(KEY.public, account.address, account.address, 2_000_000_000_000, roles)


def test_a_delegation_comes_back_from_its_bytes() -> None:
    issued = SignedDelegation.issue(delegation(), DOMAIN, ACCOUNT)

    assert SignedDelegation.parse(issued.to_bytes(), DOMAIN) == issued


def test_a_wallet_can_show_what_is_delegated() -> None:
    assert encode_type(Delegation) == (
        "Delegation(bytes32 node_key,address account,address owner,uint64 expiry_ms,uint8[] roles)"
    )


def test_nobody_delegates_for_another_account() -> None:
    forged = SignedDelegation.issue(delegation(), DOMAIN, Account.generate())

    with pytest.raises(Unauthenticated, match="not signed by its account"):
        SignedDelegation.parse(forged.to_bytes(), DOMAIN)


def test_a_delegation_for_another_network_is_refused() -> None:
    foreign = SignedDelegation.issue(delegation(), Domain(8, DOMAIN.escrow), ACCOUNT)

    with pytest.raises(Unauthenticated):
        SignedDelegation.parse(foreign.to_bytes(), DOMAIN)


def test_changing_any_byte_of_a_delegation_breaks_it() -> None:
    data = SignedDelegation.issue(delegation(), DOMAIN, ACCOUNT).to_bytes()

    for index in range(len(data)):
        changed = bytearray(data)
        changed[index] ^= 1
        with pytest.raises(Unauthenticated):
            SignedDelegation.parse(bytes(changed), DOMAIN)


@given(st.binary(max_size=1200))
def test_bytes_that_are_no_delegation_are_refused(data: bytes) -> None:
    with pytest.raises(Unauthenticated):
        SignedDelegation.parse(data, DOMAIN)


def test_only_the_key_that_signed_is_found_to_have_signed() -> None:
    signature = KEY.sign(b"message")

    assert signed_by(KEY.public, b"message", signature)
    assert not signed_by(KEY.public, b"massage", signature)
    assert not signed_by(NodeKey().public, b"message", signature)
    assert not signed_by(b"\xff" * 31, b"message", signature)
    assert not signed_by(KEY.public, b"message", b"")


def test_two_node_keys_are_never_the_same() -> None:
    assert NodeKey().public != NodeKey().public
