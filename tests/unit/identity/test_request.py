from hashlib import sha256
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gensyn_lightning.errors import CoordinatorUnavailable, Unauthenticated
from gensyn_lightning.identity import Account, Identity, RequestVerifier, Role, request
from gensyn_lightning.identity.request import (
    AUTH_KEY,
    DELEGATION_KEY,
    LIFETIME_MS,
    WINDOW_MS,
    Epoch,
    sign_request,
)
from gensyn_lightning.protocol.canonical import Domain, domain_separator
from gensyn_lightning.protocol.digest import Address

DOMAIN = Domain(31_337, Address(b"\x11" * 20))
EPOCH = Epoch(b"e" * 16)
METHOD, BODY = "/gensyn.v1.Nodes/Claim", b"body"

Clock = Any


@pytest.fixture
def identity(clock: Clock) -> Identity:
    return Identity(Account.generate(), DOMAIN, (Role.SOLVER,), clock=clock)


@pytest.fixture
def verifier(clock: Clock) -> RequestVerifier:
    return RequestVerifier(DOMAIN, clock=clock, epoch=EPOCH)


def test_a_signed_request_is_its_accounts(identity: Identity, verifier: RequestVerifier) -> None:
    caller = verifier.verify(METHOD, BODY, sign_request(identity, METHOD, BODY, EPOCH))

    assert caller.account == caller.owner == identity.address
    assert caller.roles == (Role.SOLVER,)


def test_the_bytes_that_are_signed_are_the_published_ones(identity: Identity, clock: Clock) -> None:
    (_, auth), _ = sign_request(identity, METHOD, BODY, EPOCH)
    sent, nonce, epoch, signature = auth[:8], auth[8:20], auth[20:36], auth[36:]
    message = b"".join(
        (
            b"gensyn-request-v1\0",
            domain_separator(DOMAIN),
            b"\x00\x16/gensyn.v1.Nodes/Claim",
            sha256(b"body").digest(),
            sent,
            nonce,
            epoch,
            identity.address,
        )
    )

    assert int.from_bytes(sent, "big") == clock.now_ms
    assert epoch == EPOCH
    Ed25519PublicKey.from_public_bytes(identity.node_key.public).verify(signature, message)


def test_a_request_counts_once(identity: Identity, verifier: RequestVerifier) -> None:
    signed = sign_request(identity, METHOD, BODY, EPOCH)
    verifier.verify(METHOD, BODY, signed)

    with pytest.raises(Unauthenticated, match="seen before"):
        verifier.verify(METHOD, BODY, signed)


@pytest.mark.parametrize(
    ("method", "body"),
    [("/gensyn.v1.Nodes/Commit", BODY), (METHOD, b"bodY"), (METHOD, b""), (METHOD + "x", BODY[1:])],
)
def test_a_signature_covers_the_method_and_the_body(
    method: str, body: bytes, identity: Identity, verifier: RequestVerifier
) -> None:
    with pytest.raises(Unauthenticated, match="not over this request"):
        verifier.verify(method, body, sign_request(identity, METHOD, BODY, EPOCH))


def test_every_bit_of_the_proof_counts(identity: Identity, verifier: RequestVerifier) -> None:
    (_, auth), delegation = sign_request(identity, METHOD, BODY, EPOCH)

    for index in range(len(auth)):
        changed = bytearray(auth)
        changed[index] ^= 0x80
        with pytest.raises(Unauthenticated):
            verifier.verify(METHOD, BODY, ((AUTH_KEY, bytes(changed)), delegation))
    verifier.verify(METHOD, BODY, ((AUTH_KEY, auth), delegation))


@pytest.mark.parametrize("shift_ms", [-WINDOW_MS - 1, WINDOW_MS + 1])
def test_a_request_off_the_clock_is_refused(
    shift_ms: int, identity: Identity, verifier: RequestVerifier, clock: Clock
) -> None:
    signed = sign_request(identity, METHOD, BODY, EPOCH)
    clock.now_ms += shift_ms

    with pytest.raises(Unauthenticated, match="off this clock"):
        verifier.verify(METHOD, BODY, signed)


@pytest.mark.parametrize("shift_ms", [-WINDOW_MS, WINDOW_MS])
def test_a_request_at_the_edge_of_the_window_counts_once(
    shift_ms: int, identity: Identity, verifier: RequestVerifier, clock: Clock
) -> None:
    signed = sign_request(identity, METHOD, BODY, EPOCH)
    clock.now_ms += shift_ms
    verifier.verify(METHOD, BODY, signed)

    for _ in range(2 * WINDOW_MS // 1000 + 4):
        with pytest.raises(Unauthenticated):
            verifier.verify(METHOD, BODY, signed)
        clock.now_ms += 1000
        verifier.verify(METHOD, BODY, sign_request(identity, METHOD, BODY, EPOCH))


def test_nothing_signed_for_an_earlier_run_counts(identity: Identity, clock: Clock) -> None:
    signed = sign_request(identity, METHOD, BODY, EPOCH)

    with pytest.raises(Unauthenticated, match="another run"):
        RequestVerifier(DOMAIN, clock=clock).verify(METHOD, BODY, signed)


@pytest.mark.parametrize(
    "domain", [Domain(1, DOMAIN.escrow), Domain(DOMAIN.chain_id, Address(bytes(20)))]
)
def test_a_request_for_another_network_is_refused(
    domain: Domain, verifier: RequestVerifier, clock: Clock
) -> None:
    foreign = Identity(Account.generate(), domain, clock=clock)

    with pytest.raises(Unauthenticated):
        verifier.verify(METHOD, BODY, sign_request(foreign, METHOD, BODY, EPOCH))


def test_a_foreign_delegation_is_refused(
    identity: Identity, verifier: RequestVerifier, clock: Clock
) -> None:
    (auth, _), (_, theirs) = (
        sign_request(identity, METHOD, BODY, EPOCH),
        sign_request(Identity(Account.generate(), DOMAIN, clock=clock), METHOD, BODY, EPOCH),
    )

    with pytest.raises(Unauthenticated, match="not over this request"):
        verifier.verify(METHOD, BODY, (auth, theirs))


@pytest.mark.parametrize("missing", [AUTH_KEY, DELEGATION_KEY])
def test_an_unsigned_request_is_refused(
    missing: str, identity: Identity, verifier: RequestVerifier
) -> None:
    signed = sign_request(identity, METHOD, BODY, EPOCH)

    with pytest.raises(Unauthenticated, match="carries no"):
        verifier.verify(METHOD, BODY, tuple(each for each in signed if each[0] != missing))
    with pytest.raises(Unauthenticated, match="carries no"):
        verifier.verify(METHOD, BODY, (*signed, *signed))


@pytest.mark.parametrize("size", [0, 1, 99, 101, 4096])
def test_a_proof_of_another_size_is_refused(
    size: int, identity: Identity, verifier: RequestVerifier
) -> None:
    _, delegation = sign_request(identity, METHOD, BODY, EPOCH)

    with pytest.raises(Unauthenticated):
        verifier.verify(METHOD, BODY, ((AUTH_KEY, bytes(size)), delegation))


def test_a_delegation_that_ran_out_is_refused_and_renewed_in_time(
    identity: Identity, verifier: RequestVerifier, clock: Clock
) -> None:
    old = identity.delegation()
    clock.now_ms += LIFETIME_MS // 2 + 1
    renewed = identity.delegation()
    clock.now_ms += LIFETIME_MS // 2

    auth, _ = sign_request(identity, METHOD, BODY, EPOCH)
    with pytest.raises(Unauthenticated, match="run out"):
        verifier.verify(METHOD, BODY, (auth, (DELEGATION_KEY, old)))
    assert renewed != old
    verifier.verify(METHOD, BODY, (auth, (DELEGATION_KEY, renewed)))


def test_memory_of_nonces_and_delegations_is_bounded(
    verifier: RequestVerifier, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "NONCES_MAX", 8)
    monkeypatch.setattr(request, "DELEGATIONS_MAX", 4)

    def ask() -> None:
        somebody = Identity(Account.generate(), DOMAIN, clock=clock)
        verifier.verify(METHOD, BODY, sign_request(somebody, METHOD, BODY, EPOCH))

    for _ in range(8):
        ask()
    with pytest.raises(CoordinatorUnavailable):
        ask()
    clock.now_ms += WINDOW_MS + 3000
    ask()


def test_ten_thousand_random_proofs_are_refused(
    identity: Identity, verifier: RequestVerifier, random: Random
) -> None:
    _, delegation = sign_request(identity, METHOD, BODY, EPOCH)

    for _ in range(10_000):
        auth = random.randbytes(random.choice((100, 100, 100, random.randrange(200))))
        with pytest.raises(Unauthenticated):
            verifier.verify(METHOD, BODY, ((AUTH_KEY, auth), delegation))
