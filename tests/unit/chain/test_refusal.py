"""Every refusal of a contract has a sentence."""

from gensyn_lightning.chain import abi, artifact
from gensyn_lightning.chain.refusal import explain

# Only a bug of ours or of OpenZeppelin's could make the contracts say these.
NEVER = {
    "AccessControlBadConfirmation",
    "InvalidShortString",
    "ReentrancyGuardReentrantCall",
    "StringTooLong",
}


def test_every_error_of_the_contracts_is_told_in_words() -> None:
    for contract in ("Escrow", "Receipts"):
        for each in artifact.load(contract).abi:
            if each["type"] == "error" and each["name"] not in NEVER:
                kinds = [kind["type"] for kind in each["inputs"]]
                said = str(explain(abi.selector(each["name"], kinds)))
                assert each["name"] not in said
                assert " " in said


def test_what_no_contract_of_ours_says_is_shown_as_it_is() -> None:
    assert "no reason" in str(explain(b""))
    assert "deadbeef" in str(explain(bytes.fromhex("deadbeef")))
