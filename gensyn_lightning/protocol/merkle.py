"""Merkle trees over Keccak-256: a root, inclusion proofs, and their check.

The shape is RFC 6962's without its padding rule for odd levels: a leaf is
keccak(0x00 ‖ data), a parent keccak(0x01 ‖ left ‖ right), and an odd vertex at
the end of a level rises unchanged. The root of no leaves is keccak("").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gensyn_lightning.errors import InvalidProof, LimitExceeded
from gensyn_lightning.protocol.digest import Digest, keccak

LEAVES_MAX = 1 << 32
EMPTY = keccak(b"")


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The siblings from a leaf up to the root, and where the leaf stands."""

    index: int
    count: int
    siblings: tuple[Digest, ...]


def leaf(data: bytes) -> Digest:
    """Return the hash of a leaf."""
    return keccak(b"\x00" + data)


def parent(left: Digest, right: Digest) -> Digest:
    """Return the hash of the parent of two vertices."""
    return keccak(b"\x01" + left + right)


def root(leaves: Sequence[bytes]) -> Digest:
    """Return the root over `leaves`, in their order."""
    level = [leaf(data) for data in leaves]
    if not level:
        return EMPTY
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def prove(leaves: Sequence[bytes], index: int) -> InclusionProof:
    """Return the proof that `leaves[index]` stands under `root(leaves)`."""
    if not 0 <= index < len(leaves):
        raise InvalidProof(f"no leaf {index} among {len(leaves)}")
    level, position, siblings = [leaf(data) for data in leaves], index, []
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):
            siblings.append(level[sibling])
        level, position = _level_above(level), position // 2
    return InclusionProof(index, len(leaves), tuple(siblings))


def verify_inclusion(data: bytes, proof: InclusionProof, expected: Digest) -> None:
    """Raise `InvalidProof` unless `data` is the leaf that `proof` places under `expected`."""
    if proof.count > LEAVES_MAX:
        raise LimitExceeded(f"a tree of {proof.count} leaves exceeds {LEAVES_MAX}")
    if not 0 <= proof.index < proof.count:
        raise InvalidProof(f"no leaf {proof.index} among {proof.count}")
    vertex, position, width = leaf(data), proof.index, proof.count
    siblings = list(proof.siblings)
    while width > 1:
        if position ^ 1 < width:
            if not siblings:
                raise InvalidProof("the proof is too short")
            sibling = siblings.pop(0)
            vertex = parent(sibling, vertex) if position % 2 else parent(vertex, sibling)
        position, width = position // 2, (width + 1) // 2
    if siblings or vertex != expected:
        raise InvalidProof("the leaf is not under this root")


def _level_above(level: list[Digest]) -> list[Digest]:
    pairs = zip(level[::2], level[1::2], strict=False)
    risen = level[-1:] if len(level) % 2 else []
    return [parent(left, right) for left, right in pairs] + risen
