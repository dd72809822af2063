"""Secrets a node can compute again: the salt of an attempt, the nonce of a replay.

Both follow from the account's key and what they are for, so that a node that was killed signs the
same bytes after it is back, and nobody can take two different ones for the same attempt.
"""

from __future__ import annotations

import hashlib
import hmac

from gensyn_lightning.identity import Account
from gensyn_lightning.protocol.digest import Digest, Nonce

NONCE_BYTES = 16


def salt(account: Account, task: Digest, fence: int) -> Nonce:
    """Return the salt of the attempt at `task` under `fence`."""
    return _derive(account, b"gensyn-salt-v1\0", task + fence.to_bytes(8, "big"))


def replay_nonce(account: Account, commitment: Digest, draw: Digest) -> Nonce:
    """Return what hides the replay of `commitment` that `draw` asked for."""
    return _derive(account, b"gensyn-nonce-v1\0", commitment + draw)


def _derive(account: Account, purpose: bytes, subject: bytes) -> Nonce:
    made = hmac.new(account.secret(), purpose + subject, hashlib.sha256)
    return Nonce(made.digest()[:NONCE_BYTES])
