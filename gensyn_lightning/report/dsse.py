"""Signed statements: canonical JSON in a DSSE envelope under an Ed25519 node key.

The envelope is the one of https://github.com/secure-systems-lab/dsse (v1). Ours is stricter:
exactly one signature, `keyid` is the public key itself in hexadecimal, and envelope, payload and
base64 equal their re-encoding, so that two different files never carry the same statement. An
envelope says which key signed; it does not say whose key that is (see `Delegation`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gensyn_lightning.errors import InvalidProof, Malformed
from gensyn_lightning.protocol.canonical import json_bytes, parse_json

IN_TOTO = "application/vnd.in-toto+json"
ENVELOPE_BYTES_MAX = 1 << 20
KEY_BYTES = 32
SIGNATURE_BYTES = 64


class Signer(Protocol):
    """A key that signs; an Ed25519 `NodeKey` is one."""

    @property
    def public(self) -> bytes:
        """MUST be the 32 bytes of the Ed25519 public key."""

    def sign(self, message: bytes) -> bytes:
        """MUST return the 64 bytes of the Ed25519 signature over `message`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A payload whose signature holds, and the public key that made it."""

    payload: Any
    key: bytes


def seal(payload: Any, key: Signer, *, payload_type: str = IN_TOTO) -> bytes:
    """Return the envelope, as canonical JSON bytes, that carries `payload` signed by `key`."""
    body = json_bytes(payload)
    envelope = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": payload_type,
        "signatures": [signature(body, key, payload_type)],
    }
    return json_bytes(envelope)


def unseal(envelope: bytes, *, payload_type: str = IN_TOTO) -> Opened:
    """Return the payload and its signer; raise `Malformed` or `InvalidProof` for anything else."""
    return unseal_value(parse_json(envelope, bytes_max=ENVELOPE_BYTES_MAX), payload_type)


def unseal_value(envelope: Any, payload_type: str = IN_TOTO) -> Opened:
    """Return what `unseal` does, of an envelope that stands inside a larger JSON document."""
    fields = _members(envelope, {"payload", "payloadType", "signatures"}, "envelope")
    signatures = fields["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise Malformed("an envelope carries exactly one signature")
    if fields["payloadType"] != payload_type:
        raise Malformed(f"the envelope is not of type {payload_type}")
    body = _from_base64(fields["payload"], "payload")
    key = check_signature(body, signatures[0], payload_type)
    return Opened(parse_json(body, bytes_max=ENVELOPE_BYTES_MAX), key)


def signature(body: bytes, key: Signer, payload_type: str) -> dict[str, str]:
    """Return the signature member of an envelope over `body`."""
    made = key.sign(pre_authentication(payload_type, body))
    return {"keyid": key.public.hex(), "sig": base64.b64encode(made).decode()}


def check_signature(body: bytes, member: Any, payload_type: str) -> bytes:
    """Return the public key whose signature over `body` this is; raise unless it holds."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    fields = _members(member, {"keyid", "sig"}, "signature")
    key = _key(fields["keyid"])
    made = _from_base64(fields["sig"], "signature")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(made, pre_authentication(payload_type, body))
    except (InvalidSignature, ValueError):
        raise InvalidProof("the envelope's signature does not hold") from None
    return key


def pre_authentication(payload_type: str, body: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def _members(value: Any, names: set[str], noun: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != names:
        raise Malformed(f"an {noun} has exactly the members {sorted(names)}")
    return value


def _key(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * KEY_BYTES:
        raise Malformed("keyid must be a public key in hexadecimal")
    if set(text) - set("0123456789abcdef"):
        raise Malformed("keyid must be lower-case hexadecimal")
    return bytes.fromhex(text)


def _from_base64(text: Any, noun: str) -> bytes:
    if not isinstance(text, str):
        raise Malformed(f"the {noun} must be base64 text")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"the {noun} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Malformed(f"the {noun} is base64 in another spelling than its own")
    return data
