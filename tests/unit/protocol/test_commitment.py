"""A witness stays hidden until its salt opens."""

from __future__ import annotations

from gensyn_lightning.protocol.commitment import salted_witness
from gensyn_lightning.protocol.digest import ZERO, Digest, Nonce

SALT = Nonce(bytes([1] * 16))


def test_salt_and_witness_both_count() -> None:
    root = Digest(bytes([2] * 32))
    found = {
        salted_witness(SALT, root),
        salted_witness(Nonce(bytes(16)), root),
        salted_witness(SALT, ZERO),
    }
    assert len(found) == 3
    assert root not in found
