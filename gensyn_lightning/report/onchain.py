"""Whether the chain says the same: the receipt, the escrow and the anchors, read without a library.

Reading says nothing about which chain this is: the reader chose its address and its escrow.
"""

from __future__ import annotations

from collections.abc import Mapping

from gensyn_lightning.chain.reading import ChainReader
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address
from gensyn_lightning.report.case import Case, Closing
from gensyn_lightning.report.finding import Findings, Left, Level, must
from gensyn_lightning.report.trust import Pins, Signer, signers

WAIT_S = 5.0


def check(findings: Findings, case: Case, url: str, escrow: Address) -> Pins:
    """Compare a report with the chain at `url`; return whom that chain vouches for."""
    chain = ChainReader(url, escrow, patience_s=WAIT_S)
    level = Level.RECORDS
    held = [
        findings.run(level, "the chain is the report's", lambda: _domain(case, chain)),
        findings.run(level, "the budget is in escrow", lambda: _escrow(case, chain)),
        findings.run(level, "anchors are on the chain", lambda: _anchors(case, chain)),
        findings.run(level, "the receipt is on the chain", lambda: _receipt(case, chain)),
    ]
    settled = case.closing is not None and case.closing.kind == "SETTLE"
    return _vouched(case, url) if all(held) and settled else Pins()


def _domain(case: Case, chain: ChainReader) -> str:
    must(chain.domain() == case.domain, "the report is about another chain or escrow")
    chain.check_contracts()
    must(chain.receipts_address() == case.receipts, "the report names another receipts contract")
    return f"chain {case.domain.chain_id}, escrow 0x{case.domain.escrow.hex()}"


def _escrow(case: Case, chain: ChainReader) -> str:
    found = chain.escrow(case.job_id)
    if found is None:
        must(False, "nothing was ever deposited for this job")
        return ""
    must(found.submitter == case.job.submitter, "another submitter deposited")
    must(found.amount == case.job.budget, "another amount was deposited")
    must(found.job_digest == struct_hash(case.job), "it was deposited for another job")
    if case.closing is not None:
        must(found.settle_root == case.closing.settle_root, "other payments were settled")
    return f"{found.amount}, {found.state.name.lower()}"


def _anchors(case: Case, chain: ChainReader) -> str:
    for anchor in case.anchors.values():
        found = chain.anchored(case.job_id, anchor.root)
        if found is None:
            must(False, "an anchor is not on the chain")
            return ""
        must(found.digest == anchor.block.tx, "an anchor stands in another transaction")
        must(found.block.digest == anchor.block.digest, "an anchor stands in another block")
    return f"{len(case.anchors)} anchors"


def _receipt(case: Case, chain: ChainReader) -> str | Left:
    closing: Closing | None = case.closing
    found = chain.receipt(case.job_id)
    if closing is None or closing.receipt is None:
        must(found is None, "the chain has a receipt that the report does not show")
        return Left("there is none")
    must(found == closing.receipt, "the chain has another receipt")
    transaction = chain.closed(case.job_id)
    must(
        transaction is not None and transaction.digest == closing.block.tx,
        "the receipt stands in another transaction",
    )
    return f"0x{closing.block.tx.hex()}"


def _vouched(case: Case, url: str) -> Pins:
    """Return whom the chain names: the submitter, its operator, and everyone it paid."""
    closing = case.closing
    paid = {each.to for each in closing.settlement.payments} if closing else set()
    names: Mapping[Signer, str] = {
        each: ""
        for each in signers(case)
        if each.role in {"submitter", "coordinator"} or each.account in paid
    }
    return Pins(names, (url,))
