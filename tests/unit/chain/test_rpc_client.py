"""Whatever a chain answers is an answer, a refusal or an error of ours, and nothing else."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from gensyn_lightning.chain import rpc_client
from gensyn_lightning.chain.rpc_client import Refused, RpcClient
from gensyn_lightning.errors import ConfigError, GensynError, LedgerError, LimitExceeded, Malformed


class Oracle(HTTPServer):
    """Answers with what it is told, in order; the last answer stays. None hangs up."""

    answers: list[tuple[int, bytes] | None]
    asked: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next(self) -> tuple[int, bytes] | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    server: Oracle

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(json.loads(body))
        answer = self.server.next()
        if answer is None:
            return
        status, data = answer
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    made = Oracle(("127.0.0.1", 0), Handler)
    made.answers, made.asked = [], []
    serving = threading.Thread(target=made.serve_forever, args=(0.01,))
    serving.start()
    yield made
    made.shutdown()
    serving.join()
    made.server_close()


def test_an_answer_is_returned(oracle: Oracle) -> None:
    oracle.answers = [(200, b'{"jsonrpc":"2.0","id":1,"result":"0x7"}')]
    assert RpcClient(oracle.url).ask("eth_chainId", 1, "a") == "0x7"
    assert oracle.asked[0]["params"] == [1, "a"]


def test_a_refusal_keeps_what_the_contract_said(oracle: Oracle) -> None:
    error = {"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}
    oracle.answers = [(200, json.dumps({"error": error}).encode())]
    with pytest.raises(Refused) as caught:
        RpcClient(oracle.url).ask("eth_call")
    assert (caught.value.code, caught.value.data) == (3, bytes.fromhex("deadbeef"))
    assert caught.value.reverted


@pytest.mark.parametrize(
    ("status", "data", "expected"),
    [
        (200, b"", Malformed),
        (200, b"[]", Malformed),
        (200, b"{}", Malformed),
        (200, b"[" * 100_000, Malformed),
        (200, b'{"error":7}', Malformed),
        (200, b'{"error":{"code":"x","message":5,"data":"0xzz"}}', Refused),
        (500, b"{}", LedgerError),
        (307, b"{}", LedgerError),
    ],
)
def test_bad_answers_are_errors_with_names(
    oracle: Oracle, status: int, data: bytes, expected: type[GensynError]
) -> None:
    oracle.answers = [(status, data)]
    with pytest.raises(expected):
        RpcClient(oracle.url).ask("eth_chainId")
    assert len(oracle.asked) == 1


def test_an_endless_answer_is_cut(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_client, "ANSWER_BYTES_MAX", 1000)
    oracle.answers = [(200, b" " * 100_000)]
    with pytest.raises(LimitExceeded):
        RpcClient(oracle.url).ask("eth_chainId")


def test_a_chain_that_hangs_up_is_asked_again_for_as_long_as_stated(oracle: Oracle) -> None:
    oracle.answers = [None, None, (200, b'{"result":1}')]
    assert RpcClient(oracle.url, patience_s=30).ask("eth_chainId") == 1
    assert len(oracle.asked) == 3
    oracle.answers = [None]
    with pytest.raises(LedgerError, match="does not answer"):
        RpcClient(oracle.url).ask("eth_chainId")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_gateway_that_is_busy_is_asked_again(oracle: Oracle, status: int) -> None:
    oracle.answers = [(status, b"later"), (status, b"later"), (200, b'{"result":1}')]
    assert RpcClient(oracle.url, patience_s=30).ask("eth_chainId") == 1
    assert len(oracle.asked) == 3
    oracle.answers = [(status, b"later")]
    with pytest.raises(LedgerError, match=f"answers {status}"):
        RpcClient(oracle.url).ask("eth_chainId")


def test_no_error_repeats_what_follows_the_host(oracle: Oracle) -> None:
    for answer, path in ((None, "/v2/c4n4ry"), ((403, b""), "/?key=c4n4ry")):
        oracle.answers = [answer]
        with pytest.raises(LedgerError, match=oracle.url) as caught:
            RpcClient(oracle.url + path).ask("eth_chainId")
        assert "c4n4ry" not in str(caught.value)


def test_loopback_is_never_asked_through_a_proxy(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    oracle.answers = [(200, b'{"result":1}')]
    assert RpcClient(oracle.url).ask("eth_chainId") == 1


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "ftp://x", "http://", "127.0.0.1:8545"])
def test_only_addresses_of_chains_are_asked(url: str) -> None:
    with pytest.raises(ConfigError):
        RpcClient(url)
