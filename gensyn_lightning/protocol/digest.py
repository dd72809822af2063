"""The two hash functions and the 32-byte names they give.

BLAKE3 names bytes (artifacts, tensors), so that `b3sum` checks them; Keccak-256
builds what a contract opens (records, trees).
"""

from __future__ import annotations

from typing import NewType

from blake3 import blake3
from sha3 import keccak_256  # type: ignore[import-untyped]

from gensyn_lightning.errors import Malformed

Digest = NewType("Digest", bytes)
Address = NewType("Address", bytes)
Nonce = NewType("Nonce", bytes)
Money = NewType("Money", int)

ZERO = Digest(bytes(32))


def digest_of(data: bytes | memoryview) -> Digest:
    """Return the BLAKE3-256 digest that names `data` as an artifact."""
    return Digest(blake3(data).digest())


def keccak(data: bytes) -> Digest:
    """Return Keccak-256 of `data`, as Solidity's `keccak256` gives it."""
    return Digest(keccak_256(data).digest())


def parse_digest(text: str) -> Digest:
    """Read a digest from 64 hex digits (lower case, no prefix); raise `Malformed` otherwise."""
    return Digest(_parse_hex(text, 32, "digest"))


def parse_address(text: str) -> Address:
    """Read an account address from 40 hex digits, with or without `0x`."""
    return Address(_parse_hex(text.removeprefix("0x").lower(), 20, "address"))


def _parse_hex(text: str, size: int, noun: str) -> bytes:
    if len(text) != 2 * size or any(c not in "0123456789abcdef" for c in text):
        raise Malformed(f"not a {noun}: {text[:80]!r}")
    return bytes.fromhex(text)
