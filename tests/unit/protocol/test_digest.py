"""The two hash functions, and how digests and addresses are read."""

from __future__ import annotations

import pytest

from gensyn_lightning.errors import Malformed
from gensyn_lightning.protocol.digest import digest_of, keccak, parse_address, parse_digest


def test_artifacts_are_named_by_blake3() -> None:
    known = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert digest_of(b"").hex() == known
    assert digest_of(memoryview(b"")).hex() == known


def test_keccak_is_solidity_s() -> None:
    known = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak(b"").hex() == known


def test_digests_and_addresses_are_read_from_their_text() -> None:
    assert parse_digest("0f" * 32) == bytes([15] * 32)
    assert parse_address("0x" + "0F" * 20) == parse_address("0f" * 20) == bytes([15] * 20)


@pytest.mark.parametrize("text", ["", "0f" * 31, "0F" * 32, "0x" + "0f" * 32, "0g" * 32, " " * 64])
def test_other_texts_are_no_digest(text: str) -> None:
    with pytest.raises(Malformed):
        parse_digest(text)


@pytest.mark.parametrize("text", ["", "0x", "0f" * 19, "0x0x" + "0f" * 20, "zz" * 20])
def test_other_texts_are_no_address(text: str) -> None:
    with pytest.raises(Malformed):
        parse_address(text)
