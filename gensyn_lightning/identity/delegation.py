"""An account lends its name to a key that signs requests, for stated roles, until a stated time.

The delegation does not prove that `owner` agreed to own the account: it is the account's own word.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gensyn_lightning.errors import GensynError, Unauthenticated
from gensyn_lightning.identity.account import (
    SIGNATURE_BYTES,
    Account,
    Signature,
    recover,
    sign_record,
)
from gensyn_lightning.protocol.canonical import Domain, json_bytes, parse_json
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.jsonform import from_json, to_json

BYTES_MAX = 1024
NODE_SIGNATURE_BYTES = 64


class Role(IntEnum):
    """What a node key may act as."""

    SUBMITTER = 0
    SOLVER = 1
    VERIFIER = 2


@dataclass(frozen=True, slots=True)
class Delegation:
    """`account`, owned by `owner`, lets `node_key` sign requests in `roles` until `expiry_ms`."""

    node_key: Digest
    account: Address
    owner: Address
    expiry_ms: int
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class SignedDelegation:
    """A delegation and its account's signature, as they travel with every request."""

    delegation: Delegation
    signature: Signature

    @classmethod
    def issue(cls, delegation: Delegation, domain: Domain, account: Account) -> SignedDelegation:
        """Sign `delegation` with its account."""
        return cls(delegation, sign_record(delegation, domain, account))

    @classmethod
    def parse(cls, data: bytes, domain: Domain) -> SignedDelegation:
        """Read what `to_bytes` wrote; raise `Unauthenticated` if the account never signed it."""
        try:
            signature = Signature(data[:SIGNATURE_BYTES])
            value = parse_json(data[SIGNATURE_BYTES:], bytes_max=BYTES_MAX)
            delegation = from_json(Delegation, value)
            signer = recover(delegation, domain, signature)
        except GensynError as error:
            raise Unauthenticated(f"the delegation does not hold: {error}") from None
        if signer != delegation.account:
            raise Unauthenticated(
                "the delegation is not signed by its account",
                hint="sign it for this network's chain and escrow",
            )
        return cls(delegation, signature)

    def to_bytes(self) -> bytes:
        """Return the signature and the delegation's canonical JSON."""
        return self.signature + json_bytes(to_json(self.delegation))


class NodeKey:
    """An Ed25519 key made at start, held in memory only."""

    __slots__ = ("_key", "public")

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = Digest(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"NodeKey({self.public.hex()})"


def signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the node key `public` signed `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
