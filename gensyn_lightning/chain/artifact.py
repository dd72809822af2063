"""The compiled contracts that ship with the library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from gensyn_lightning.protocol.digest import Digest, keccak


@dataclass(frozen=True)
class Contract:
    """What is needed to deploy, call and recognize a contract.

    `immutables` are the places, [start, length] in bytes, that its constructor fills in.
    """

    name: str
    abi: list[Any]
    bytecode: bytes
    deployed: bytes
    immutables: tuple[tuple[int, int], ...]

    def is_code(self, code: bytes) -> bool:
        """Whether `code`, found on a chain, is this contract, whatever its immutables hold."""
        return len(code) == len(self.deployed) and self._mask(code) == self._mask(self.deployed)

    def code_digest(self) -> Digest:
        """Return the digest of the code without its immutables."""
        return keccak(self._mask(self.deployed))

    def _mask(self, code: bytes) -> bytes:
        masked = bytearray(code)
        for start, length in self.immutables:
            masked[start : start + length] = bytes(length)
        return bytes(masked)


@cache
def load(name: str) -> Contract:
    """Return the shipped contract `Escrow` or `Receipts`."""
    value = json.loads((resources.files(__package__) / "artifacts" / f"{name}.json").read_bytes())
    return Contract(
        name=name,
        abi=value["abi"],
        bytecode=bytes.fromhex(value["bytecode"][2:]),
        deployed=bytes.fromhex(value["deployedBytecode"][2:]),
        immutables=tuple((start, length) for start, length in value["immutables"]),
    )
