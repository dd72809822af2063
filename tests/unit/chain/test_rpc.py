"""The embedded chain's answers, read by the client everybody uses."""

from typing import Any

import pytest
from web3 import Web3

from gensyn_lightning.chain import rpc
from gensyn_lightning.errors import LimitExceeded
from gensyn_lightning.protocol.digest import keccak
from gensyn_lightning.protocol.job import job_id


@pytest.fixture
def web3(place: Any) -> Web3:
    return Web3(Web3.HTTPProvider(place.server.url))


def test_web3_reads_blocks_transactions_receipts_and_logs(place: Any, web3: Web3) -> None:
    made = place.ledger().deposit(place.submitter, place.job())
    assert web3.is_connected()
    assert web3.eth.chain_id == 68_568_500
    block = web3.eth.get_block("latest", full_transactions=True)
    assert block["hash"] == made.block.digest
    assert web3.eth.get_block(block["hash"]) == web3.eth.get_block(block["number"])
    (transaction,) = block["transactions"]
    assert transaction == web3.eth.get_transaction(made.digest)
    assert transaction["value"] == 1000
    assert bytes.fromhex(transaction["from"][2:].lower()) == place.submitter.address
    receipt = web3.eth.get_transaction_receipt(made.digest)
    assert (receipt["status"], receipt["blockNumber"]) == (1, block["number"])
    logs = web3.eth.get_logs({"fromBlock": 0, "toBlock": "latest", "address": receipt["to"]})
    assert logs[-1] == receipt["logs"][-1]
    assert logs[-1]["topics"][1] == job_id(place.job())


def test_logs_are_found_by_address_block_and_topics(place: Any, web3: Web3) -> None:
    ledger, name = place.ledger(), job_id(place.job())
    ledger.deposit(place.submitter, place.job())
    roots = [keccak(bytes([n])) for n in range(3)]
    made = [ledger.anchor(place.operator, name, root) for root in roots]
    anchored = keccak(b"Anchored(bytes32,bytes32,uint64)")
    everything: dict[str, Any] = {"fromBlock": 0, "toBlock": "latest"}

    def found(**changes: Any) -> list[bytes]:
        return [bytes(each["transactionHash"]) for each in web3.eth.get_logs(everything | changes)]

    assert found(topics=[anchored]) == [each.digest for each in made]
    assert found(topics=[[anchored], None, roots[1]]) == [made[1].digest]
    assert found(topics=[None, None, [roots[0], roots[2]]]) == [made[0].digest, made[2].digest]
    assert found(topics=[None, None, None, None, None]) == []
    assert found(address=Web3.to_checksum_address(place.submitter.address)) == []
    only = web3.eth.get_logs({"blockHash": made[2].block.digest})
    assert [bytes(each["transactionHash"]) for each in only] == [made[2].digest]


def test_a_query_over_too_many_blocks_is_refused(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "BLOCKS_PER_QUERY_MAX", 1)
    methods = rpc.Methods(place.chain)
    with pytest.raises(LimitExceeded):
        methods.answer("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}])
    monkeypatch.setattr(rpc, "LOGS_PER_ANSWER_MAX", 0)
    with pytest.raises(LimitExceeded):
        methods.answer("eth_getLogs", [{"fromBlock": "0x1", "toBlock": "0x1"}])


def test_the_state_of_old_blocks_can_still_be_asked(place: Any, web3: Web3) -> None:
    who = Web3.to_checksum_address(place.submitter.address)
    before = place.ledger().block().number
    place.ledger().deposit(place.submitter, place.job())
    assert web3.eth.get_balance(who, before) == place.minted
    assert web3.eth.get_balance(who) == place.minted - 1000
