"""Contracts on a chain that others run: whose they are, who paid, and how they are known again."""

from dataclasses import replace
from typing import Any

import pytest

from gensyn_lightning.chain.deployment import Deployment, deploy, recognize
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.errors import ConfigError, InsufficientBalance, LedgerError, Malformed
from gensyn_lightning.identity import Account
from gensyn_lightning.protocol.digest import Address, keccak
from gensyn_lightning.protocol.job import job_id


def test_deployed_contracts_do_what_the_ledger_promises(place: Any) -> None:
    operator = Account.generate()
    made = deploy(place.server.url, operator, patience_s=0)
    recognize(place.server.url, made, patience_s=0)
    assert made.escrow != place.chain.contracts.escrow
    ledger = EthereumLedger(place.server.url, made.escrow, patience_s=0)
    ledger.deposit(place.submitter, place.job())
    ledger.anchor(operator, job_id(place.job()), keccak(b"root"))
    with pytest.raises(LedgerError, match="only an operator"):
        ledger.anchor(place.operator, job_id(place.job()), keccak(b"other"))


def test_a_record_of_contracts_reads_back(place: Any) -> None:
    made = deploy(place.server.url, place.operator, patience_s=0)
    assert Deployment.from_json(made.to_json()) == made
    for member, wrong in (
        ("genesis", 7),
        ("escrow", "0x00"),
        ("chain_id", "x"),
        ("receipts", None),
    ):
        with pytest.raises(Malformed):
            Deployment.from_json(made.to_json() | {member: wrong})


def test_a_chain_that_takes_fees_says_what_an_account_lacks(anvil: Any) -> None:
    node, account = anvil(), Account.generate()
    node.fund(account.address, 7)
    with pytest.raises(InsufficientBalance, match=f"0x{account.address.hex()}.*balance is 7"):
        deploy(node.url, account, patience_s=0)


def test_another_chain_or_other_contracts_are_not_recognized(place: Any, anvil: Any) -> None:
    made = deploy(place.server.url, place.operator, patience_s=0)
    url = place.server.url
    for change, error, words in (
        ({"chain_id": 5}, ConfigError, "belongs to chain 5"),
        ({"genesis": keccak(b"x")}, ConfigError, "first block"),
        ({"escrow": Address(b"\7" * 20)}, LedgerError, "not the published"),
    ):
        with pytest.raises(error, match=words):
            recognize(url, replace(made, **change), patience_s=0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="chain 31337"):
        recognize(anvil().url, made, patience_s=0)
