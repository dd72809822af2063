"""Our contracts on a chain that is not ours: put there once, recognized ever after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gensyn_lightning.chain.ethereum import PATIENCE_S
from gensyn_lightning.chain.ledger import Signer
from gensyn_lightning.chain.reading import ChainReader, to_number
from gensyn_lightning.chain.rpc_client import Refused, RpcClient
from gensyn_lightning.chain.transacting import WAIT_S, Transactor
from gensyn_lightning.errors import ConfigError, InsufficientBalance, LedgerError, Malformed
from gensyn_lightning.protocol.digest import Address, Digest, parse_address, parse_digest


@dataclass(frozen=True, slots=True)
class Deployment:
    """A chain, told from others by its id and its first block, and where our contracts are on it.

    Two chains may share an id, as every fresh test chain does; none shares a first block.
    """

    chain_id: int
    genesis: Digest
    escrow: Address
    receipts: Address

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object."""
        return {
            "chain_id": self.chain_id,
            "genesis": "0x" + self.genesis.hex(),
            "escrow": "0x" + self.escrow.hex(),
            "receipts": "0x" + self.receipts.hex(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Deployment:
        """Read a record back; raise `Malformed` if it is none."""
        try:
            return cls(
                int(value["chain_id"]),
                parse_digest(value["genesis"].removeprefix("0x")),
                parse_address(value["escrow"]),
                parse_address(value["receipts"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"no record of contracts: {error}") from None


def deploy(
    url: str, account: Signer, *, patience_s: float = PATIENCE_S, wait_s: float = WAIT_S
) -> Deployment:
    """Put the contracts on the chain at `url`; `account` pays, and is their admin and operator.

    Raises `InsufficientBalance`, or `LedgerError` when the chain does not take them. A kill before
    the answer leaves contracts that nobody uses, and nothing else.
    """
    rpc = RpcClient(url, patience_s=patience_s)
    transactor = Transactor(rpc, wait_s=wait_s)
    who = "0x" + account.address.hex()
    called = transactor.contract("Escrow").constructor(account.address, account.address)
    try:
        receipt = transactor.send(transactor.sign(account, called))
    except InsufficientBalance as error:
        raise InsufficientBalance(f"{who}: {error.args[0]}", hint="add to its balance") from None
    except Refused as error:
        raise LedgerError(f"the chain refused the contracts: {error.args[0]}") from None
    if to_number(receipt.get("status")) == 0:
        raise LedgerError(f"the chain refused the contracts of {who} in their block")
    escrow = parse_address(str(receipt.get("contractAddress")))
    reader = ChainReader(url, escrow, patience_s=patience_s)
    reader.check_contracts()
    return Deployment(reader.domain().chain_id, reader.genesis(), escrow, reader.receipts_address())


def recognize(url: str, known: Deployment, *, patience_s: float = PATIENCE_S) -> None:
    """Raise `ConfigError` unless the chain at `url` is the known one and holds the contracts."""
    reader = ChainReader(url, known.escrow, patience_s=patience_s)
    found = reader.domain().chain_id
    if found != known.chain_id:
        raise ConfigError(f"this is chain {found}; the home belongs to chain {known.chain_id}")
    if reader.genesis() != known.genesis:
        raise ConfigError(f"this is another chain {found} than the home's: its first block differs")
    reader.check_contracts()
