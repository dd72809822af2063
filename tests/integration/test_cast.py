"""The embedded chain as `cast` finds it, which knows nothing of us: a test per command."""

import calendar
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from receipts import make_receipt

from gensyn_lightning import __version__
from gensyn_lightning.chain import artifact
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.chain.evm import CHAIN_ID
from gensyn_lightning.chain.ledger import Transaction
from gensyn_lightning.identity import Account
from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import ZERO, Digest, Money, Nonce, keccak, parse_address
from gensyn_lightning.protocol.job import Job
from gensyn_lightning.protocol.parameters import EMBEDDED
from gensyn_lightning.protocol.receipt import Receipt
from gensyn_lightning.protocol.settlement import Payment, Settlement

MINTED, BUDGET, PAID = 1_000_000, 1000, 600
OPERATOR, SUBMITTER, PAYEE = (Account(bytes([n]) * 32) for n in (1, 2, 3))
ROOT, MODEL = keccak(b"commitments"), keccak(b"model")
SECRET = "0x" + "02" * 32
LISTED = json.dumps([{"address": "0x" + "de" * 20, "storageKeys": ["0x" + "01" * 32]}])
NOWHERE = "0x" + "ab" * 32


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


@dataclass(frozen=True)
class Settled:
    """A daemon whose chain holds a job: deposited, anchored and settled in a block each."""

    url: str
    escrow: str
    receipts: str
    job: Digest
    receipt: Receipt
    deposited: Transaction
    anchored: Transaction
    settled: Transaction


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settled]:
    home = tmp_path_factory.mktemp("chain")
    genesis = home / "genesis.json"
    balances = {SUBMITTER.address.hex(): str(MINTED)}
    genesis.write_text(json.dumps({"operator": OPERATOR.address.hex(), "balances": balances}))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gensyn_lightning.chain.daemon"),
            *("--home", str(home / "chain"), "--genesis", str(genesis)),
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield settled(json.loads(process.stdout.readline()))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


def settled(place: dict[str, Any]) -> Settled:
    ledger = EthereumLedger(place["url"], parse_address(place["escrow"]))
    job = Job(
        program=keccak(b"program"),
        submitter=SUBMITTER.address,
        nonce=Nonce(bytes(16)),
        numerics="repops-1",
        initial_root=ZERO,
        sandbox_tier="none",
        budget=Money(BUDGET),
        value_at_stake=Money(0),
        parameters=EMBEDDED,
    )
    share = Settlement((Payment(PAYEE.address, Money(PAID)),), Money(BUDGET - PAID))
    receipt = make_receipt(job, share, model=MODEL, commitments_root=ROOT)
    return Settled(
        place["url"],
        place["escrow"],
        place["receipts"],
        receipt.job,
        receipt,
        ledger.deposit(SUBMITTER, job),
        ledger.anchor(OPERATOR, receipt.job, ROOT),
        ledger.settle(OPERATOR, receipt.job, share, receipt),
    )


Ask = Callable[..., Any]


@pytest.fixture
def ask(chain: Settled, cast: Ask) -> Ask:
    def run(*arguments: str, fails: bool = False) -> Any:
        return cast(arguments[0], "--rpc-url", chain.url, *arguments[1:], fails=fails)

    return run


def test_chain_id(ask: Ask) -> None:
    assert ask("chain-id") == CHAIN_ID


def test_client(ask: Ask) -> None:
    assert ask("client") == f"gensyn-chain/v{__version__}"


def test_block_number(ask: Ask, chain: Settled) -> None:
    assert ask("block-number") >= chain.settled.block.number
    assert ask("block-number", "earliest") == 0


def test_block(ask: Ask, chain: Settled) -> None:
    made = chain.settled.block
    by_number = ask("block", str(made.number), "--json")
    assert by_number == ask("block", hexed(made.digest), "--json")
    assert by_number["hash"] == hexed(made.digest)
    assert int(by_number["timestamp"], 16) == made.timestamp_s
    assert by_number["transactions"] == [hexed(chain.settled.digest)]
    assert by_number["parentHash"] == hexed(chain.anchored.block.digest)
    assert int(by_number["size"], 16) > 500
    (transaction,) = ask("block", str(made.number), "--full", "--json")["transactions"]
    assert transaction["hash"] == hexed(chain.settled.digest)


@pytest.mark.parametrize("tag", ["latest", "pending", "safe", "finalized"])
def test_block_by_tag(ask: Ask, tag: str) -> None:
    assert ask("block", tag, "--field", "number") == ask("block-number")


def test_block_that_is_not_there(ask: Ask) -> None:
    for name in ("99999", NOWHERE):
        assert "not found" in ask("block", name, fails=True)


def test_find_block(ask: Ask, chain: Settled) -> None:
    for made in (chain.anchored.block, chain.settled.block):
        assert ask("find-block", str(made.timestamp_s)) == made.number


def test_age(ask: Ask, chain: Settled) -> None:
    said = time.strptime(ask("age", str(chain.anchored.block.number)), "%a %b %d %H:%M:%S %Y UTC")
    assert calendar.timegm(said) == chain.anchored.block.timestamp_s


def test_base_fee_and_gas_price(ask: Ask) -> None:
    assert ask("base-fee") == ask("gas-price") == 0


def test_receipt(ask: Ask, chain: Settled) -> None:
    found = ask("receipt", hexed(chain.settled.digest), "--json")
    assert found["status"] == "0x1"
    assert found["blockHash"] == hexed(chain.settled.block.digest)
    assert int(found["blockNumber"], 16) == chain.settled.block.number
    assert found["from"] == hexed(OPERATOR.address)
    assert found["to"] == chain.escrow
    assert found["contractAddress"] is None
    assert int(found["gasUsed"], 16) == int(found["cumulativeGasUsed"], 16) > 21_000
    assert [int(each["logIndex"], 16) for each in found["logs"]] == list(range(len(found["logs"])))
    assert len(found["logsBloom"]) == 2 + 512


def test_receipt_of_a_transaction_that_is_not_there(ask: Ask) -> None:
    assert "not found" in ask("receipt", NOWHERE, "--async", fails=True)


def test_tx(ask: Ask, chain: Settled) -> None:
    found = ask("tx", hexed(chain.deposited.digest), "--json")
    assert found["type"] == "0x2"
    assert int(found["chainId"], 16) == CHAIN_ID
    assert int(found["value"], 16) == BUDGET
    assert found["from"] == hexed(SUBMITTER.address)
    assert found["blockHash"] == hexed(chain.deposited.block.digest)
    # cast puts the transaction together again from its members, signature included.
    again = ask("tx", hexed(chain.deposited.digest), "--raw")
    assert keccak(bytes.fromhex(again[2:])) == chain.deposited.digest


def test_tx_that_is_not_there(ask: Ask) -> None:
    assert "not found" in ask("tx", NOWHERE, fails=True)


def test_logs(ask: Ask, chain: Settled) -> None:
    event = "ReceiptWritten(bytes32 indexed,bytes32 indexed,address indexed,bytes32)"
    whole = ("--from-block", "0", "--json")
    (found,) = ask("logs", *whole, "--address", chain.receipts, event)
    assert found["transactionHash"] == hexed(chain.settled.digest)
    assert found["topics"][1:3] == [hexed(chain.job), hexed(MODEL)]
    assert found["data"] == hexed(struct_hash(chain.receipt))
    assert ask("logs", *whole, event, hexed(chain.job)) == [found]
    assert ask("logs", *whole, event, NOWHERE) == []
    assert ask("logs", *whole, "--address", chain.escrow, event) == []
    made = str(chain.settled.block.number)
    assert found in ask("logs", "--from-block", made, "--to-block", made, "--json")
    assert found in ask("logs", "--from-block", made, "--to-block", "99999", "--json")
    before = str(chain.anchored.block.number)
    assert found not in ask("logs", "--from-block", "0", "--to-block", before, "--json")
    assert ask("logs", "--from-block", "99998", "--to-block", "99999", "--json") == []


def test_code_and_its_size(ask: Ask, chain: Settled) -> None:
    for name, address in (("Escrow", chain.escrow), ("Receipts", chain.receipts)):
        code = bytes.fromhex(ask("code", address)[2:])
        assert artifact.load(name).is_code(code)
        assert ask("codesize", address) == len(code)
    assert ask("code", hexed(SUBMITTER.address)) == "0x"


def test_storage(ask: Ask, cast: Ask, chain: Settled) -> None:
    places = [cast("index", "bytes32", hexed(chain.job), str(slot)) for slot in range(8)]
    found = [ask("storage", chain.escrow, place) for place in places]
    assert all(len(each) == 66 for each in found)
    assert any(each.endswith(SUBMITTER.address.hex()) for each in found)
    before = (chain.escrow, places[0], "--block", "1")
    assert ask("storage", *before) == "0x" + "00" * 32


def test_call(ask: Ask, chain: Settled) -> None:
    assert ask("call", chain.receipts, "countOf(bytes32)(uint256)", hexed(MODEL)) == 1
    digest = ask("call", chain.receipts, "digestOf(bytes32)(bytes32)", hexed(chain.job))
    assert digest == hexed(struct_hash(chain.receipt))
    before = str(chain.anchored.block.number)
    count = ("call", chain.receipts, "countOf(bytes32)(uint256)", hexed(MODEL), "--block", before)
    assert ask(*count) == 0


def test_call_that_is_refused(ask: Ask, chain: Settled) -> None:
    said = ask("call", chain.escrow, "reclaim(bytes32)", hexed(chain.job), fails=True)
    assert "error code 3: execution reverted" in said
    assert keccak(b"NotOpen(bytes32)")[:4].hex() + chain.job.hex() in said


def test_balance(ask: Ask, chain: Settled) -> None:
    assert ask("balance", hexed(PAYEE.address)) == PAID
    at = str(chain.deposited.block.number)
    assert ask("balance", hexed(SUBMITTER.address), "--block", at) == MINTED - BUDGET
    assert ask("balance", chain.escrow, "--block", at) == BUDGET
    assert "no such block" in ask("balance", chain.escrow, "--block", "99999", fails=True)


def test_nonce(ask: Ask, chain: Settled) -> None:
    assert ask("nonce", hexed(OPERATOR.address)) == 2
    at = str(chain.anchored.block.number)
    assert ask("nonce", hexed(OPERATOR.address), "--block", at) == 1


def test_estimate(ask: Ask, chain: Settled) -> None:
    who = ("--from", hexed(SUBMITTER.address))
    assert ask("estimate", *who, hexed(PAYEE.address), "--value", "5") == 21_000
    data = "0x" + "ff" * 5000
    assert ask("estimate", *who, hexed(PAYEE.address), data) >= 21_000 + 16 * 5000
    said = ask("estimate", *who, chain.escrow, "--value", "5", fails=True)
    assert "execution reverted" in said


@pytest.mark.parametrize(
    ("flags", "kind"),
    [((), "0x2"), (("--legacy", "--gas-price", "0"), "0x0"), (("--access-list", LISTED), "0x2")],
)
def test_send(ask: Ask, chain: Settled, flags: tuple[str, ...], kind: str) -> None:
    to, before = "0x" + "de" * 20, ask("balance", "0x" + "de" * 20)
    made = ask("send", "--private-key", SECRET, *flags, to, "--value", "7", "--json")
    assert (made["status"], made["type"]) == ("0x1", kind)
    assert ask("balance", to) == before + 7
    again = ask("tx", made["transactionHash"], "--raw")
    assert hexed(keccak(bytes.fromhex(again[2:]))) == made["transactionHash"]


def test_send_that_creates_a_contract(ask: Ask) -> None:
    # Returns one byte of code: stop.
    made = ask("send", "--private-key", SECRET, "--json", "--create", "0x60015f8160095f39f300")
    assert ask("code", made["contractAddress"]) == "0x00"


def test_publish_of_what_is_no_transaction(ask: Ask) -> None:
    assert "error code -32602" in ask("publish", "0x03c0", fails=True)


def test_rpc(ask: Ask, chain: Settled) -> None:
    assert ask("rpc", "net_version") == str(CHAIN_ID)
    assert ask("rpc", "net_listening") is True
    assert ask("rpc", "eth_syncing") is False
    assert ask("rpc", "web3_sha3", "0x6869") == hexed(keccak(b"hi"))
    assert ask("rpc", "eth_accounts") == []
    said = ask("rpc", "eth_sendTransaction", "{}", fails=True)
    assert "error code -32601: there is no method eth_sendTransaction" in said
    assert "error code -32602" in ask("rpc", "eth_getBalance", "0x00", fails=True)


def test_rpc_of_the_transactions_in_a_block(ask: Ask, chain: Settled) -> None:
    number, name = hex(chain.settled.block.number), hexed(chain.settled.block.digest)
    (receipt,) = ask("rpc", "eth_getBlockReceipts", number)
    assert receipt["transactionHash"] == hexed(chain.settled.digest)
    for by, block in (("Number", number), ("Hash", name)):
        assert ask("rpc", f"eth_getBlockTransactionCountBy{by}", block) == "0x1"
        found = ask("rpc", f"eth_getTransactionByBlock{by}AndIndex", block, "0x0")
        assert found["hash"] == hexed(chain.settled.digest)
        assert ask("rpc", f"eth_getTransactionByBlock{by}AndIndex", block, "0x1") is None
    for named in ({"blockHash": name}, {"blockNumber": number}):
        held = ask("rpc", "eth_getBalance", hexed(PAYEE.address), json.dumps(named))
        assert int(held, 16) == PAID


def test_rpc_of_the_history_of_fees(ask: Ask, chain: Settled) -> None:
    newest = hex(chain.settled.block.number)
    found = ask("rpc", "eth_feeHistory", "0x2", newest, "[25, 75]")
    assert int(found["oldestBlock"], 16) == chain.anchored.block.number
    assert found["baseFeePerGas"] == ["0x0"] * 3
    assert found["reward"] == [["0x0", "0x0"]] * 2
    assert all(0 < each < 0.5 for each in found["gasUsedRatio"])
    whole = ask("rpc", "eth_feeHistory", "0x400", newest, "[]")
    assert whole["oldestBlock"] == "0x0"
    assert len(whole["gasUsedRatio"]) == chain.settled.block.number + 1


def test_run(ask: Ask, chain: Settled) -> None:
    said = ask("run", "--quick", hexed(chain.settled.digest))
    assert "Transaction successfully executed" in said
