"""A reader without any chain library sees what is there, and only believes its own contracts."""

import subprocess
import sys
from typing import Any

import pytest
from receipts import make_receipt

from gensyn_lightning.chain.reading import ChainReader
from gensyn_lightning.errors import LedgerError
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address, Money, keccak
from gensyn_lightning.protocol.job import job_id
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Payment, Settlement

ROOT = keccak(b"commitments")


def settled(place: Any) -> tuple[Receipt, Any]:
    job, ledger = place.job(), place.ledger()
    name = job_id(job)
    settlement = Settlement((Payment(Address(b"\xaa" * 20), Money(400)),), Money(600))
    receipt = make_receipt(job, settlement, commitments_root=ROOT)
    ledger.deposit(place.submitter, job)
    ledger.anchor(place.operator, name, ROOT)
    return receipt, ledger.settle(place.operator, name, settlement, receipt)


def test_a_reader_needs_only_a_url_and_an_address(place: Any) -> None:
    receipt, made = settled(place)
    reader = ChainReader(place.server.url, place.chain.contracts.escrow)
    reader.check_contracts()
    assert reader.receipt(receipt.job) == receipt
    assert reader.receipt_digest(receipt.job) == struct_hash(receipt)
    assert reader.closed(receipt.job) == made
    assert reader.domain().chain_id == 68_568_500


def test_reading_loads_no_chain_library(place: Any) -> None:
    receipt, _ = settled(place)
    code = (
        "import sys; from gensyn_lightning.chain.reading import ChainReader\n"
        f"r = ChainReader({place.server.url!r}, {bytes(place.chain.contracts.escrow)!r})\n"
        f"r.check_contracts(); assert r.receipt({bytes(receipt.job)!r})\n"
        "assert not {'web3', 'eth', 'eth_utils', 'torch', 'requests'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("which", ["nothing", "account", "receipts"])
def test_addresses_without_our_code_are_not_believed(place: Any, which: str) -> None:
    escrow = {
        "nothing": Address(bytes(20)),
        "account": place.submitter.address,
        "receipts": place.chain.contracts.receipts,
    }[which]
    reader = ChainReader(place.server.url, escrow)
    with pytest.raises(LedgerError, match="not the published Escrow"):
        reader.check_contracts()


def test_an_escrow_that_names_foreign_receipts_is_not_believed(place: Any) -> None:
    class Lying(ChainReader):
        """Takes another chain's receipts for those of this escrow."""

        def receipts_address(self) -> Address:
            return place.chain.contracts.escrow  # type: ignore[no-any-return]

    with pytest.raises(LedgerError, match="not the published Receipts"):
        Lying(place.server.url, place.chain.contracts.escrow).check_contracts()
