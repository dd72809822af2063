"""Requests signed over their raw bytes, so that a server knows who asks before it parses anything.

A node key signs: tag ‖ domain ‖ method ‖ SHA-256 of the body ‖ time ‖ nonce ‖ epoch ‖ account.
For a stream of requests the body is the first message; it must bind whatever follows. The epoch is
drawn by the server when it starts, so that nothing recorded before a restart counts after it, and
the nonces of the last minute are all a server has to remember. A client learns the epoch from the
refusal of its first request. Answers are not signed: what matters in them is signed by its author.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NewType

from gensyn_lightning.errors import CoordinatorUnavailable, Unauthenticated
from gensyn_lightning.identity.account import SIGNATURE_BYTES, Account
from gensyn_lightning.identity.delegation import (
    BYTES_MAX,
    NODE_SIGNATURE_BYTES,
    Delegation,
    NodeKey,
    Role,
    SignedDelegation,
    signed_by,
)
from gensyn_lightning.protocol.canonical import Domain, domain_separator
from gensyn_lightning.protocol.digest import Address

Epoch = NewType("Epoch", bytes)

AUTH_KEY = "gensyn-auth-bin"
DELEGATION_KEY = "gensyn-delegation-bin"
EPOCH_KEY = "gensyn-epoch-bin"

WINDOW_MS = 30_000
EPOCH_BYTES = 16
NONCE_BYTES = 12
NO_EPOCH = Epoch(bytes(EPOCH_BYTES))
NONCES_MAX = 1 << 18
DELEGATIONS_MAX = 4096
LIFETIME_MS = 86_400_000

_TAG = b"gensyn-request-v1\0"
_TIME_BYTES = 8
_STAMP_BYTES = _TIME_BYTES + NONCE_BYTES + EPOCH_BYTES
_AUTH_BYTES = _STAMP_BYTES + NODE_SIGNATURE_BYTES


def now_ms() -> int:
    """Return the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request was proven to come from, and the delegation that says so."""

    lent: SignedDelegation

    @property
    def account(self) -> Address:
        """The account that lent its name."""
        return self.lent.delegation.account

    @property
    def owner(self) -> Address:
        """Whose account it is, by its own word."""
        return self.lent.delegation.owner

    @property
    def roles(self) -> tuple[Role, ...]:
        """What the caller may act as."""
        return self.lent.delegation.roles


class Identity:
    """An account with a node key of its own; renews the delegation before it runs out."""

    def __init__(
        self,
        account: Account,
        domain: Domain,
        roles: tuple[Role, ...] = (Role.SUBMITTER,),
        *,
        owner: Address | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.account, self.domain, self.clock = account, domain, clock
        self.node_key = NodeKey()
        self._roles, self._owner = roles, owner or account.address
        self._issued: tuple[int, bytes] = (0, b"")
        self._lock = threading.Lock()

    @property
    def address(self) -> Address:
        """The account's address."""
        return self.account.address

    def delegation(self) -> bytes:
        """Return the signed delegation, as bytes that travel with every request."""
        with self._lock:
            if self.clock() > self._issued[0] - LIFETIME_MS // 2:
                self._issued = self._issue(self.clock() + LIFETIME_MS)
            return self._issued[1]

    def _issue(self, expiry_ms: int) -> tuple[int, bytes]:
        wanted = Delegation(self.node_key.public, self.address, self._owner, expiry_ms, self._roles)
        return expiry_ms, SignedDelegation.issue(wanted, self.domain, self.account).to_bytes()


def sign_request(
    identity: Identity, method: str, body: bytes, epoch: Epoch = NO_EPOCH
) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata that proves who sends `body` to `method` (`/package.Service/Name`)."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    stamp = identity.clock().to_bytes(_TIME_BYTES, "big") + nonce + epoch
    message = _message(identity.domain, method, body, stamp, identity.address)
    auth = stamp + identity.node_key.sign(message)
    return ((AUTH_KEY, auth), (DELEGATION_KEY, identity.delegation()))


@dataclass(slots=True)
class _Nonces:
    """The nonces of the window, by the second in which they can be forgotten."""

    by_second: dict[int, set[bytes]] = field(default_factory=dict)
    count: int = 0

    def add(self, key: bytes, sent_ms: int, at_ms: int) -> bool:
        """Remember `key`; return False when it was there already."""
        for second in [each for each in self.by_second if each * 1000 + WINDOW_MS < at_ms - 1000]:
            self.count -= len(self.by_second.pop(second))
        if self.count >= NONCES_MAX:
            raise CoordinatorUnavailable("too many requests in one minute", hint="try again later")
        seen = self.by_second.setdefault(sent_ms // 1000, set())
        if key in seen:
            return False
        seen.add(key)
        self.count += 1
        return True


class RequestVerifier:
    """Checks requests of one domain; made anew, with a new epoch, at every start of a server.

    Not for use from several threads.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        clock: Callable[[], int] = now_ms,
        epoch: Epoch | None = None,
    ) -> None:
        self.domain = domain
        self.epoch = epoch or Epoch(secrets.token_bytes(EPOCH_BYTES))
        self._clock = clock
        self._nonces = _Nonces()
        self._delegations: dict[bytes, SignedDelegation] = {}

    def verify(
        self, method: str, body: bytes, metadata: tuple[tuple[str, str | bytes], ...]
    ) -> Caller:
        """Return who asks; raise `Unauthenticated` if wrong, stale, replayed or foreign."""
        auth = _header(metadata, AUTH_KEY, _AUTH_BYTES)
        lent = self._delegation(_header(metadata, DELEGATION_KEY, BYTES_MAX + SIGNATURE_BYTES))
        delegation = lent.delegation
        if len(auth) != _AUTH_BYTES:
            raise Unauthenticated(f"{AUTH_KEY} has {len(auth)} bytes, not {_AUTH_BYTES}")
        stamp, signature = auth[:_STAMP_BYTES], auth[_STAMP_BYTES:]
        message = _message(self.domain, method, body, stamp, delegation.account)
        if not signed_by(delegation.node_key, message, signature):
            raise Unauthenticated("the signature is not over this request")
        self._check_fresh(stamp, delegation)
        return Caller(lent)

    def _check_fresh(self, stamp: bytes, delegation: Delegation) -> None:
        sent_ms = int.from_bytes(stamp[:_TIME_BYTES], "big")
        nonce, epoch = stamp[_TIME_BYTES:-EPOCH_BYTES], stamp[-EPOCH_BYTES:]
        at_ms = self._clock()
        if epoch != self.epoch:
            raise Unauthenticated(
                "the request was signed for another run of the server", hint="sign it again"
            )
        if abs(at_ms - sent_ms) > WINDOW_MS:
            raise Unauthenticated(
                f"the request is {abs(at_ms - sent_ms)} ms off this clock",
                hint="set the clock of the machine that sends",
            )
        if at_ms > delegation.expiry_ms:
            raise Unauthenticated("the delegation has run out", hint="sign a new one")
        if not self._nonces.add(delegation.node_key + nonce, sent_ms, at_ms):
            raise Unauthenticated("the request was seen before", hint="sign every request anew")

    def _delegation(self, data: bytes) -> SignedDelegation:
        known = self._delegations.get(data)
        if known is None:
            known = SignedDelegation.parse(data, self.domain)
            if len(self._delegations) >= DELEGATIONS_MAX:
                self._delegations.pop(next(iter(self._delegations)))
            self._delegations[data] = known
        return known


def _header(metadata: tuple[tuple[str, str | bytes], ...], key: str, bytes_max: int) -> bytes:
    values = [value for name, value in metadata if name == key]
    if len(values) != 1 or not isinstance(values[0], bytes):
        raise Unauthenticated(f"the request carries no {key}", hint="sign the request")
    if len(values[0]) > bytes_max:
        raise Unauthenticated(f"{key} is longer than {bytes_max} bytes")
    return values[0]


def _message(domain: Domain, method: str, body: bytes, stamp: bytes, account: Address) -> bytes:
    name = method.encode()
    return b"".join(
        (
            _TAG,
            domain_separator(domain),
            len(name).to_bytes(2, "big"),
            name,
            hashlib.sha256(body).digest(),
            stamp,
            account,
        )
    )
