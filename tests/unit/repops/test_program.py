"""The bytes of every scalar program, and what they compute, are those that were frozen."""

from __future__ import annotations

import json
from pathlib import Path

from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.repops import library, selftest
from gensyn_lightning.repops.programs import all_definitions
from gensyn_lightning.repops.word import Definition

VECTORS = Path(__file__).parents[2] / "vectors/repops/definitions.json"
CHALLENGE = Digest(bytes(range(32)))


def definition_of(found: Definition) -> str:
    """Return the digest over a definition's programs, how it is folded included."""
    parts = [f"{found.kinds}>{found.results}".encode(), *(each.encode() for each in found.trace())]
    if found.combine is not None:
        parts += (found.combine.name.encode(), repr(found.init).encode())
    return digest_of(b"\0".join(parts)).hex()


def answer_of(found: Definition) -> str:
    """Return the digest over what a definition makes of the challenge, by the best means here."""
    made = selftest.answer(found, CHALLENGE, library.load())
    return digest_of(b"".join(each.astype("<u8").tobytes() for each in made)).hex()


def test_every_program_has_the_bytes_that_were_frozen() -> None:
    found = {each.name: definition_of(each) for each in all_definitions()}
    assert found == {name: digests[0] for name, digests in json.loads(VECTORS.read_text()).items()}


def test_every_program_computes_what_was_frozen() -> None:
    found = {each.name: answer_of(each) for each in all_definitions()}
    assert found == {name: digests[1] for name, digests in json.loads(VECTORS.read_text()).items()}


if __name__ == "__main__":  # adds what is new; what is known must not change within a version
    known = json.loads(VECTORS.read_text()) if VECTORS.exists() else {}
    made = {each.name: [definition_of(each), answer_of(each)] for each in all_definitions()}
    VECTORS.write_text(json.dumps(made | known, indent=0, sort_keys=True) + "\n")
