"""The daemon serves one home, and whatever arrives at its port leaves it serving."""

import contextlib
import fcntl
import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.chain import daemon

JSON = {"Content-Type": "application/json"}


def post(place: Any, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", place.server.server_port, timeout=30)
    connection.request(
        "POST", "/", body, JSON | {k.replace("_", "-"): v for k, v in headers.items()}
    )
    answer = connection.getresponse()
    read = answer.status, json.loads(answer.read() or b"null")
    connection.close()
    return read


def ask(place: Any, method: Any, *parameters: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    status, answer = post(place, json.dumps(body).encode())
    assert status == 200
    return answer


def raw(place: Any, data: bytes) -> bytes:
    read = b""
    address = ("127.0.0.1", place.server.server_port)
    # A server that hangs up on what it has not read resets the connection, wherever we are in it.
    with socket.create_connection(address, timeout=30) as peer, contextlib.suppress(OSError):
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        while piece := peer.recv(65_536):
            read += piece
    return read


def still_serves(place: Any) -> bool:
    return bool(ask(place, "eth_chainId")["result"] == hex(68_568_500))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Content_Type": "text/plain"}, 403),
        ({"Content_Length": "99999999"}, 413),
        ({"Content_Length": "0" * 12 + "99999999"}, 413),
        ({"Content_Length": "-1"}, 413),
        ({"Content_Length": "x"}, 413),
    ],
)
def test_browsers_and_long_bodies_are_turned_away(
    place: Any, headers: dict[str, str], status: int
) -> None:
    assert post(place, b"{}", **headers)[0] == status
    assert still_serves(place)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"[" + b",".join([b"{}"] * (daemon.BATCH_MAX + 1)) + b"]", -32600),
        (b'"eth_chainId"', -32600),
        (b'{"method":"eth_chainId","params":{}}', -32600),
        (b"{}", -32600),
        (b'{"method":["eth_chainId"]}', -32600),
        (b'{"method":"eth_sendTransaction","params":[{}]}', -32601),
        (b'{"method":"eth_sign","params":[]}', -32601),
        (b'{"method":"eth_chainId","params":[1]}', -32602),
        (b'{"method":"eth_getBalance","params":["0x00"]}', -32602),
        (b'{"method":"eth_getBalance","params":[[]]}', -32602),
        (b'{"method":"eth_getBlockByNumber","params":[{}]}', -32602),
        (b'{"method":"eth_getBlockByNumber","params":["0x_1"]}', -32602),
        (b'{"method":"eth_getBlockByNumber","params":["0x 1"]}', -32602),
        (
            b'{"method":"eth_getCode","params":["0x 111111111111111111111111111111111111111"]}',
            -32602,
        ),
        (b'{"method":"eth_getLogs","params":[{"blockHash":"0x00","fromBlock":"0x0"}]}', -32602),
        (b'{"method":"eth_call","params":[[]]}', -32602),
        (b'{"method":"eth_call","params":[{"to":7}]}', -32602),
        (b'{"method":"eth_getLogs","params":[{"topics":7}]}', -32602),
        (b'{"method":"eth_getLogs","params":[{"address":[[]]}]}', -32602),
        (b'{"method":"eth_sendRawTransaction","params":["0x"]}', -32602),
        (b'{"method":"eth_sendRawTransaction","params":["0xc0"]}', -32602),
        (b'{"method":"eth_sendRawTransaction","params":["0x03c0"]}', -32602),
        (b'{"method":"eth_sendRawTransaction","params":["zz"]}', -32602),
    ],
)
def test_requests_that_make_no_sense_are_refused_by_code(
    place: Any, body: bytes, code: int
) -> None:
    status, answer = post(place, body)
    assert status == 200
    assert answer["error"]["code"] == code
    assert still_serves(place)


def test_a_batch_is_answered_in_order_one_by_one(place: Any) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": 7, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": "x", "method": "eth_nothing"},
        5,
    ]
    status, (first, second, third) = post(place, json.dumps(batch).encode())
    assert status == 200
    assert (first["id"], first["result"]) == (7, hex(68_568_500))
    assert (second["id"], second["error"]["code"]) == ("x", -32601)
    assert "eth_nothing" in second["error"]["message"]
    assert (third["id"], third["error"]["code"]) == (None, -32600)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: " + b"a" * 100_000,
        b"POST / HTTP/9.9\r\n\r\n",
    ],
)
def test_what_is_not_our_http_leaves_the_daemon_serving(place: Any, data: bytes) -> None:
    raw(place, data)
    assert still_serves(place)


def test_more_connections_than_seats_are_closed_and_seats_come_back(place: Any) -> None:
    address = ("127.0.0.1", place.server.server_port)
    crowd = [socket.create_connection(address, timeout=30) for _ in range(daemon.CONNECTIONS_MAX)]
    late = socket.create_connection(address, timeout=30)
    assert late.recv(1) == b""
    for each in (*crowd, late):
        each.close()
    for each in crowd:
        assert each.fileno() == -1
    # A seat is free as soon as its thread has seen the other side leave.
    for _ in range(1000):
        try:
            assert still_serves(place)
            break
        except (ConnectionError, http.client.HTTPException):
            continue
    else:
        pytest.fail("no seat came back")


def test_a_home_has_one_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "chain.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert daemon.main(["--home", str(tmp_path)]) == 1
    assert "another process" in capsys.readouterr().err


def test_a_new_home_needs_a_genesis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert daemon.main(["--home", str(tmp_path)]) == 1
    assert "genesis" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"operator":"0x00","balances":{}}',
        '{"operator":"0x1111111111111111111111111111111111111111","balances":{"x":1}}',
        '{"operator":"0x1111111111111111111111111111111111111111","balances":[]}',
    ],
)
def test_what_is_no_genesis_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "genesis.json").write_text(text)
    arguments = ["--home", str(tmp_path / "home"), "--genesis", str(tmp_path / "genesis.json")]
    assert daemon.main(arguments) == 1
    assert "no genesis" in capsys.readouterr().err
