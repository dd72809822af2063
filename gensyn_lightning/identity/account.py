"""The key behind an address: it signs records, and whoever has a record can tell who signed it.

Signatures are secp256k1 over the record's EIP-712 digest, 65 bytes r ‖ s ‖ v with v 27 or 28, as a
contract's `ecrecover` takes them. They are deterministic (RFC 6979), and of the two forms every
signature has only the one with the lower s counts, so that nobody can make a second from the first.
"""

from __future__ import annotations

import secrets
from typing import Any, NewType

from coincurve import PrivateKey, PublicKey

from gensyn_lightning.errors import InvalidProof, Malformed
from gensyn_lightning.protocol.canonical import Domain, signing_digest
from gensyn_lightning.protocol.digest import Address, keccak

Signature = NewType("Signature", bytes)

SIGNATURE_BYTES = 65
SECRET_BYTES = 32
_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_V_BASE = 27


class Account:
    """A secp256k1 key and its address; its repr shows the address only."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES or not 0 < int.from_bytes(secret, "big") < _ORDER:
            raise Malformed("these bytes are no account key")
        self._key = PrivateKey(secret)
        self.address = _address(self._key.public_key)

    @classmethod
    def generate(cls) -> Account:
        """Return a new account."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    def secret(self) -> bytes:
        """Return the key itself; never log, print or store it outside a keystore."""
        return self._key.secret

    def sign_digest(self, digest: bytes) -> Signature:
        """Sign a 32-byte digest."""
        signed = self._key.sign_recoverable(digest, hasher=None)
        return Signature(signed[:64] + bytes([signed[64] + _V_BASE]))

    def __repr__(self) -> str:
        return f"Account({self.address.hex()})"


def sign_record(record: Any, domain: Domain, account: Account) -> Signature:
    """Sign `record` for use in `domain` only."""
    return account.sign_digest(signing_digest(record, domain))


def recover(record: Any, domain: Domain, signature: bytes) -> Address:
    """Return the account that signed `record` in `domain`; raise `InvalidProof` if none can have.

    Any well-formed signature recovers to *some* account: compare the result with the one expected.
    """
    return recover_digest(signing_digest(record, domain), signature)


def recover_digest(digest: bytes, signature: bytes) -> Address:
    """Return the account that signed a 32-byte digest; refuse a high s and any v but 27 and 28."""
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidProof(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    recovery = signature[64] - _V_BASE
    if recovery not in {0, 1} or not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
        raise InvalidProof("the signature is not in its one valid form")
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes([recovery]), digest, hasher=None
        )
    except ValueError:
        raise InvalidProof("the signature belongs to no account") from None
    return _address(key)


def _address(key: PublicKey) -> Address:
    return Address(keccak(key.format(compressed=False)[1:])[12:])


__all__ = ["SIGNATURE_BYTES", "Account", "Signature", "recover", "recover_digest", "sign_record"]
