"""A call has one effect, whoever else sends and whatever answer is lost."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gensyn_lightning.chain.deployment import deploy, recognize
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.errors import InsufficientBalance, LedgerError, TransactionReverted
from gensyn_lightning.protocol.digest import keccak
from gensyn_lightning.protocol.job import job_id


class Relay(ThreadingHTTPServer):
    """Passes requests on to a chain and loses the answers to chosen methods, once each."""

    daemon_threads = True
    target: int
    lose: list[str]
    passed: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Relay

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        method = json.loads(body)["method"]
        self.server.passed.append(method)
        there = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=30)
        there.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = there.getresponse().read()
        there.close()
        if method in self.server.lose:
            self.server.lose.remove(method)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def relay(place: Any) -> Iterator[Relay]:
    made = Relay(("127.0.0.1", 0), Handler)
    made.target, made.lose, made.passed = place.server.server_port, [], []
    serving = threading.Thread(target=made.serve_forever, args=(0.01,))
    serving.start()
    yield made
    made.shutdown()
    serving.join()
    made.server_close()


def ledger_over(relay: Relay, place: Any, patience_s: float) -> EthereumLedger:
    return EthereumLedger(relay.url, place.chain.contracts.escrow, patience_s=patience_s)


def test_a_lost_answer_to_a_sent_call_is_found_again(place: Any, relay: Relay) -> None:
    relay.lose = ["eth_sendRawTransaction", "eth_getTransactionReceipt"]
    made = ledger_over(relay, place, 30).deposit(place.submitter, place.job())
    assert relay.passed.count("eth_sendRawTransaction") == 2
    assert made == place.ledger().deposit(place.submitter, place.job())
    assert place.ledger().balance(place.submitter.address) == place.minted - 1000


def test_a_process_killed_before_the_answer_finds_what_it_sent(place: Any, relay: Relay) -> None:
    relay.lose = ["eth_sendRawTransaction"]
    with pytest.raises(LedgerError):
        ledger_over(relay, place, 0).deposit(place.submitter, place.job())
    height = place.chain.head().block_number
    made = ledger_over(relay, place, 0).deposit(place.submitter, place.job())
    assert made.block.number == height == place.chain.head().block_number


def test_two_processes_with_one_account_do_not_disturb_each_other(place: Any) -> None:
    name = job_id(place.job())
    place.ledger().deposit(place.submitter, place.job())
    roots = [keccak(bytes([n])) for n in range(8)]
    failed: list[Exception] = []

    def work(order: list[Any]) -> None:
        ledger = place.ledger()
        try:
            for root in order:
                ledger.anchor(place.operator, name, root)
        except Exception as error:
            failed.append(error)

    orders = [roots, roots[::-1], roots[4:] + roots[:4]]
    threads = [threading.Thread(target=work, args=(each,)) for each in orders]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    escrow = place.ledger().escrow(name)
    assert escrow is not None
    assert escrow.anchors == len(roots)


def test_prices_above_the_balance_name_both(place: Any) -> None:
    with pytest.raises(InsufficientBalance, match=r"1000000.*1000001") as caught:
        place.ledger().deposit(place.submitter, place.job(budget=place.minted + 1))
    assert "balance" in caught.value.hint


def test_a_refusal_is_told_in_words(place: Any) -> None:
    place.ledger().deposit(place.submitter, place.job())
    with pytest.raises(TransactionReverted, match="only an operator"):
        place.ledger().anchor(place.submitter, job_id(place.job()), keccak(b"root"))


def test_contracts_whose_answer_was_lost_are_put_there_once(place: Any, relay: Relay) -> None:
    relay.lose = ["eth_sendRawTransaction", "eth_getTransactionReceipt"]
    before = place.chain.head().block_number
    made = deploy(relay.url, place.operator, patience_s=30)
    recognize(relay.url, made)
    assert place.chain.head().block_number == before + 1


def test_a_balance_that_pays_the_price_but_not_the_fees_is_too_little(
    place: Any, anvil: Any
) -> None:
    node = anvil()
    node.fund(place.operator.address, 10**18)
    node.fund(place.submitter.address, 1010)
    escrow = deploy(node.url, place.operator).escrow
    ledger = EthereumLedger(node.url, escrow, patience_s=0)
    with pytest.raises(InsufficientBalance, match="balance is 1010"):
        ledger.deposit(place.submitter, place.job(budget=1000))
    node.fund(place.submitter.address, 10**18)
    ledger.deposit(place.submitter, place.job(budget=1000))
