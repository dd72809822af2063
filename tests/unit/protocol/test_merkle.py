"""Every leaf of every tree proves itself, and nothing else proves anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gensyn_lightning.errors import InvalidProof, LimitExceeded
from gensyn_lightning.protocol import merkle
from gensyn_lightning.protocol.digest import Digest, keccak
from gensyn_lightning.protocol.merkle import InclusionProof, prove, root, verify_inclusion

VECTORS = Path(__file__).parents[2] / "vectors/protocol/merkle.json"


def leaves(count: int) -> list[bytes]:
    return [f"leaf {index}".encode() for index in range(count)]


def reference(data: list[bytes]) -> bytes:
    """Return RFC 6962's root, written as the RFC does: split at the largest power of two."""
    if not data:
        return keccak(b"")
    if len(data) == 1:
        return keccak(b"\x00" + data[0])
    split = 1 << (len(data) - 1).bit_length() - 1
    return keccak(b"\x01" + reference(data[:split]) + reference(data[split:]))


@pytest.mark.parametrize("count", range(34))
def test_every_leaf_of_a_tree_proves_itself(count: int) -> None:
    data = leaves(count)
    top = root(data)
    assert top == reference(data)
    for index in range(count):
        verify_inclusion(data[index], prove(data, index), top)
    for index in (-1, count):
        with pytest.raises(InvalidProof):
            prove(data, index)


def tampered(proof: InclusionProof) -> list[InclusionProof]:
    """Return the proof with one thing changed, in every way."""
    found = [
        replace(proof, index=index) for index in range(-1, proof.count + 1) if index != proof.index
    ]
    siblings = list(proof.siblings)
    for index, sibling in enumerate(siblings):
        flipped = Digest(bytes([sibling[0] ^ 1]) + sibling[1:])
        found.append(replace(proof, siblings=(*siblings[:index], flipped, *siblings[index + 1 :])))
        found.append(replace(proof, siblings=(*siblings[:index], *siblings[index + 1 :])))
    found.append(replace(proof, siblings=(*siblings, merkle.EMPTY)))
    if len(siblings) > 1:
        found.append(replace(proof, siblings=tuple(reversed(siblings))))
    return found


@pytest.mark.parametrize("count", range(1, 34))
def test_no_tampered_proof_holds(count: int) -> None:
    data = leaves(count)
    top = root(data)
    for index in range(count):
        proof = prove(data, index)
        for other in tampered(proof):
            with pytest.raises(InvalidProof):
                verify_inclusion(data[index], other, top)
        with pytest.raises(InvalidProof):
            verify_inclusion(b"another leaf", proof, top)
        with pytest.raises(InvalidProof):
            verify_inclusion(data[index], proof, merkle.EMPTY)


def test_a_proof_for_a_tree_of_another_size_needs_another_path() -> None:
    data = leaves(8)
    for count in (1, 2, 3, 4, 9, 16, 1 << 20):
        with pytest.raises(InvalidProof):
            verify_inclusion(data[3], replace(prove(data, 3), count=count), root(data))


def test_a_parent_is_no_leaf() -> None:
    data = leaves(2)
    inside = merkle.leaf(data[0]) + merkle.leaf(data[1])
    assert root([inside]) != root(data)
    assert merkle.parent(merkle.leaf(data[0]), merkle.leaf(data[1])) == root(data)


def test_a_tree_beyond_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        verify_inclusion(b"", InclusionProof(0, merkle.LEAVES_MAX + 1, ()), merkle.EMPTY)


@given(st.lists(st.binary(max_size=4), max_size=8), st.lists(st.binary(max_size=4), max_size=8))
def test_only_the_same_leaves_have_the_same_root(left: list[bytes], right: list[bytes]) -> None:
    assert (root(left) == root(right)) == (left == right)


def vectors() -> list[dict[str, Any]]:
    """Return trees with one proof each, for whoever checks them in another language."""
    found = []
    for count in (*range(10), 16, 17, 33):
        data = leaves(count)
        tree: dict[str, Any] = {"leaves": [each.hex() for each in data], "root": root(data).hex()}
        tree["proofs"] = [
            {"index": index, "siblings": [each.hex() for each in prove(data, index).siblings]}
            for index in range(count)
        ]
        found.append(tree)
    return found


def test_trees_keep_their_golden_roots() -> None:
    assert vectors() == json.loads(VECTORS.read_text())


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(vectors(), indent=1) + "\n")
