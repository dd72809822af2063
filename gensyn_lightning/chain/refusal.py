"""Why a contract refused a call, in words people know."""

from __future__ import annotations

from functools import cache

from gensyn_lightning.chain import abi, artifact
from gensyn_lightning.errors import TransactionReverted

_SENTENCES = {
    "AccessControlUnauthorizedAccount": "only an operator may do this",
    "AlreadyAnchored": "this root was anchored before",
    "AlreadyDeposited": "deposited otherwise before",
    "AlreadyWritten": "the job has a receipt",
    "LastsTooLong": "the job may last too long",
    "NeverAnchored": "commitments that were never anchored",
    "NoRoot": "no root",
    "NotAccepted": "the account does not accept money",
    "NotOpen": "the job's budget has left escrow",
    "NotTheSubmitter": "only the submitter deposits",
    "NothingDeposited": "nothing was deposited for this job",
    "NothingOwed": "nothing is owed to this account",
    "NothingToDeposit": "a budget of nothing",
    "OnlyTheEscrow": "only the escrow writes receipts",
    "OtherJob": "the receipt names another job",
    "OtherNumerics": "the receipt names other numerics",
    "OtherPayments": "the receipt names other payments",
    "OtherProgram": "the receipt names another program",
    "OtherSubmitter": "the receipt names another submitter",
    "OtherSum": "the receipt names another sum",
    "PaymentOfNothing": "a payment of nothing",
    "PaymentToNobody": "a payment to nobody",
    "PaymentsOutOfOrder": "payments out of order",
    "SumMismatch": "payments do not sum to the escrow",
    "TextTooLong": "a text is too long",
    "TooEarly": "the deadline has not passed",
    "TooManyPayments": "too many payments",
    "WrongAmount": "the amount is not the budget",
}


def explain(data: bytes) -> TransactionReverted:
    """Return the error for what a contract said when it refused."""
    name = _names().get(data[:4], "")
    if not name:
        return TransactionReverted(f"the contract refused: {data[:64].hex() or 'no reason given'}")
    return TransactionReverted(_SENTENCES.get(name, name))


@cache
def _names() -> dict[bytes, str]:
    errors = [
        each
        for contract in ("Escrow", "Receipts")
        for each in artifact.load(contract).abi
        if each["type"] == "error"
    ]
    return {
        abi.selector(each["name"], [kind["type"] for kind in each["inputs"]]): each["name"]
        for each in errors
    }
