"""Salts and nonces come again after a restart, and never twice for two things."""

from gensyn_lightning.identity import Account
from gensyn_lightning.node.salt import replay_nonce, salt
from gensyn_lightning.protocol.digest import digest_of

ACCOUNT, OTHER = Account(bytes(31) + b"\1"), Account(bytes(31) + b"\2")
TASK, DRAW = digest_of(b"task"), digest_of(b"draw")


def test_the_same_attempt_has_the_same_salt() -> None:
    assert salt(ACCOUNT, TASK, 1) == salt(Account(ACCOUNT.secret()), TASK, 1)
    assert len(salt(ACCOUNT, TASK, 1)) == 16


def test_everything_that_differs_gives_another() -> None:
    made = [
        salt(ACCOUNT, TASK, 1),
        salt(ACCOUNT, TASK, 2),
        salt(ACCOUNT, DRAW, 1),
        salt(OTHER, TASK, 1),
        replay_nonce(ACCOUNT, TASK, DRAW),
        replay_nonce(ACCOUNT, DRAW, TASK),
        replay_nonce(OTHER, TASK, DRAW),
    ]
    assert len(set(made)) == len(made)
