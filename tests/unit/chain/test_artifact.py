"""The contracts that ship are the ones their manifest names, built from these sources."""

import hashlib
from pathlib import Path

import pytest

from gensyn_lightning.chain import artifact

ROOT = Path(__file__).parents[3]
ARTIFACTS = ROOT / "gensyn_lightning/chain/artifacts"


def test_the_manifest_names_artefacts_and_sources() -> None:
    for line in (ARTIFACTS / "MANIFEST.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        path = ROOT / name if "/" in name else ARTIFACTS / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, "run `make contracts`"


@pytest.mark.parametrize("name", ["Escrow", "Receipts"])
def test_code_is_recognized_whatever_its_constructor_wrote(name: str) -> None:
    contract = artifact.load(name)
    code = bytearray(contract.deployed)
    start, length = contract.immutables[0]
    code[start : start + length] = b"\xff" * length
    assert contract.is_code(bytes(code))
    at = next(
        n for n in range(len(code)) if all(n < s or n >= s + w for s, w in contract.immutables)
    )
    code[at] ^= 1
    assert not contract.is_code(bytes(code))
    assert not contract.is_code(b"")
    assert len(contract.deployed) < 24_576
