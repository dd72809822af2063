"""What a node promised is still known after a kill."""

import os
from dataclasses import fields
from pathlib import Path

from gensyn_lightning.node.memory import KEPT_S, Memory, Promised
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment, Outcome
from gensyn_lightning.protocol.digest import Address, Nonce, digest_of
from gensyn_lightning.protocol.verdict import Replay

NAME, SALT = digest_of(b"it"), Nonce(b"s" * 16)


def filled(record: type) -> object:
    kinds = {"int": 7, "str": "native:0", "Outcome": Outcome.FINISHED, "Nonce": SALT}
    kinds |= {"Digest": NAME, "Address": Address(b"a" * 20)}
    return record(**{each.name: kinds[str(each.type)] for each in fields(record)})


def test_salts_and_promises_survive(tmp_path: Path) -> None:
    commitment, replay = filled(Commitment), filled(Replay)
    name = struct_hash(commitment)  # type: ignore[arg-type]
    promised = Promised(NAME, 9, commitment, replay)  # type: ignore[arg-type]
    Memory(tmp_path).keep_salt(commitment, SALT)  # type: ignore[arg-type]
    Memory(tmp_path).keep_promised(promised)
    again = Memory(tmp_path)
    assert again.salt(name) == SALT
    assert again.committed() == {NAME: 7}
    assert again.promised(NAME) == promised


def test_what_was_never_promised_is_unknown(tmp_path: Path) -> None:
    assert Memory(tmp_path).salt(NAME) is None
    assert Memory(tmp_path).promised(NAME) is None
    assert Memory(tmp_path).committed() == {}


def test_old_promises_are_forgotten(tmp_path: Path) -> None:
    commitment = filled(Commitment)
    Memory(tmp_path).keep_salt(commitment, SALT)  # type: ignore[arg-type]
    kept = next(tmp_path.iterdir())
    os.utime(kept, (kept.stat().st_mtime - KEPT_S - 9,) * 2)
    assert Memory(tmp_path).salt(struct_hash(commitment)) is None  # type: ignore[arg-type]
