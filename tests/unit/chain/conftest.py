"""An embedded chain in this process, on a clock of its own, behind its own HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gensyn_lightning.chain.daemon import ChainServer
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.chain.evm import EmbeddedChain, Genesis
from gensyn_lightning.identity import Account
from gensyn_lightning.protocol.digest import Digest, Money, Nonce, keccak
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.parameters import EMBEDDED


@dataclass
class Place:
    """A running chain, who holds what on it, and the hands of its clock."""

    chain: EmbeddedChain
    server: ChainServer
    operator: Account
    submitter: Account
    clock: list[int]
    minted: int = 1_000_000
    ledgers: list[EthereumLedger] = field(default_factory=list)

    def ledger(self) -> EthereumLedger:
        return EthereumLedger(self.server.url, self.chain.contracts.escrow, patience_s=0)

    def job(self, number: int = 0, budget: int = 1000) -> Job:
        return Job(
            program=keccak(b"program"),
            submitter=self.submitter.address,
            nonce=Nonce(number.to_bytes(16, "big")),
            numerics="native:0123456789abcdef",
            initial_root=Digest(bytes(32)),
            sandbox_tier="none",
            budget=Money(budget),
            value_at_stake=Money(0),
            parameters=EMBEDDED,
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    clock = [1_800_000_000]
    operator, submitter = Account(b"\1" * 32), Account(b"\2" * 32)
    genesis = Genesis(operator.address, {submitter.address: Place.minted})
    chain = EmbeddedChain(tmp_path / "chain.db", genesis, lambda: clock[0])
    server = ChainServer(chain, 0)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    yield Place(chain, server, operator, submitter, clock)
    server.shutdown()
    serving.join()
    server.server_close()
    chain.close()
