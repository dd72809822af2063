"""The embedded chain as a process: JSON-RPC on loopback for whoever runs the network.

    python -m gensyn_lightning.chain.daemon --home DIR --port 0 --genesis FILE

`FILE` is read once, when the home has no chain yet: {"operator": address, "balances": {address:
decimal amount}}. Where the daemon listens is printed as one line of JSON and kept in
`DIR/chain.json`; after a restart it listens there again if it can. It holds no key and unlocks
none: transactions arrive signed. Whoever can reach the port may spend only what they can sign for.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gensyn_lightning.errors import ConfigError, GensynError, LimitExceeded, Malformed
from gensyn_lightning.protocol.canonical import JSON_DEPTH_MAX, check_nesting
from gensyn_lightning.protocol.digest import parse_address

if TYPE_CHECKING:
    from gensyn_lightning.chain.evm import EmbeddedChain, Genesis

BODY_BYTES_MAX = 512 * 1024
GENESIS_BYTES_MAX = 1 << 20
CONNECTIONS_MAX = 64
BATCH_MAX = 32
IDLE_S = 60
# JSON-RPC's error codes, and geth's for a call that a contract refused.
_REVERTED = 3
_SERVER = -32000
_INVALID = -32600
_NO_METHOD = -32601
_PARAMETERS = -32602
_INTERNAL = -32603
_UNREADABLE = -32700


def main(arguments: list[str] | None = None) -> int:
    """Serve the chain of one home until told to stop."""
    parser = argparse.ArgumentParser(prog="gensyn-chain", description=__doc__.split("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help="folder of the chain's files")
    parser.add_argument("--port", type=int, default=0, help="0 means any, or the one before")
    parser.add_argument("--genesis", type=Path, help="what a new chain starts with")
    chosen = parser.parse_args(arguments)
    try:
        _serve(chosen.home, chosen.port, chosen.genesis)
    except GensynError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


class ChainServer(ThreadingHTTPServer):
    """A chain behind HTTP on 127.0.0.1; as many threads as connections, and those are bounded."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, chain: EmbeddedChain, port: int) -> None:
        from gensyn_lightning.chain.rpc import Methods

        self.chain = chain
        self.methods = Methods(chain)
        self._seats = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """Where the chain answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, or close it when all are taken."""
        if not self._seats.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection, then give the seat back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._seats.release()


class _Handler(BaseHTTPRequestHandler):
    server: ChainServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S

    def do_POST(self) -> None:
        refusal = self._refusal()
        if refusal:
            self.close_connection = True
            self._send(403, {"error": refusal})
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 12 or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._send(413, {"error": f"a body of at most {BODY_BYTES_MAX} bytes is needed"})
            return
        self._send(200, _answer(self.server, self.rfile.read(int(length))))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what is asked here is nobody's news."""

    def _refusal(self) -> str | None:
        # A page in the user's browser can reach loopback: by a name that resolves here (Host),
        # or across origins (Origin; and JSON's content type needs a preflight we never answer).
        port = self.server.server_port
        if self.headers.get("Host") not in {f"127.0.0.1:{port}", f"localhost:{port}"}:
            return "unknown host"
        if self.headers.get("Origin") is not None:
            return "not for browsers"
        if self.headers.get_content_type() != "application/json":
            return "JSON only"
        return None

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self._headers_buffer.append(b"\r\n" + body)  # type: ignore[attr-defined]
        self.flush_headers()


def _answer(server: ChainServer, body: bytes) -> Any:
    """Answer a request, or each of a batch."""
    try:
        check_nesting(body, JSON_DEPTH_MAX)  # the EVM has raised the recursion limit
        asked = json.loads(body)
    except (ValueError, LimitExceeded):
        return _refused(_UNREADABLE, "not JSON")
    if not isinstance(asked, list):
        return _reply(server, asked)
    if not 0 < len(asked) <= BATCH_MAX:
        return _refused(_INVALID, f"a batch is of 1 to {BATCH_MAX} requests")
    return [_reply(server, each) for each in asked]


def _reply(server: ChainServer, request: Any) -> dict[str, Any]:
    if not isinstance(request, dict):
        return _refused(_INVALID, "a request is an object")
    name, method = request.get("id"), request.get("method")
    reply = {"jsonrpc": "2.0", "id": name if isinstance(name, str | int) else None}
    parameters = request.get("params", [])
    if not isinstance(method, str) or not isinstance(parameters, list):
        return _refused(_INVALID, "a request has a method and a list of params", reply)
    if method not in server.methods:
        return _refused(_NO_METHOD, f"there is no method {method[:100]}", reply)
    try:
        return reply | {"result": server.methods.answer(method, parameters)}
    except GensynError as error:
        return reply | {"error": _error(error)}
    except Exception:
        # A fault of ours: say so here, and keep serving the others.
        traceback.print_exc()
        return _refused(_INTERNAL, "internal error", reply)


def _refused(code: int, message: str, reply: dict[str, Any] | None = None) -> dict[str, Any]:
    reply = reply or {"jsonrpc": "2.0", "id": None}
    return reply | {"error": {"code": code, "message": message}}


def _error(error: GensynError) -> dict[str, Any]:
    from gensyn_lightning.chain.evm import Reverted

    if isinstance(error, Reverted):
        return {"code": _REVERTED, "message": str(error), "data": "0x" + error.data.hex()}
    code = _PARAMETERS if isinstance(error, Malformed | LimitExceeded) else _SERVER
    return {"code": code, "message": str(error)}


def _serve(home: Path, port: int, genesis: Path | None) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(home):
        from gensyn_lightning.chain.evm import EmbeddedChain

        start = _read_genesis(genesis) if genesis else None
        chain = EmbeddedChain(home / "chain.db", start, lambda: int(time.time()))
        server = _listen(chain, port, home / "chain.json")

        def stop(*_: Any) -> None:
            # `shutdown` waits for the loop, which this very thread runs.
            threading.Thread(target=server.shutdown).start()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        # Whoever has heard of us may tell us to stop, so only now.
        place = _address(server)
        _write(home / "chain.json", place)
        print(place, flush=True)
        server.serve_forever(poll_interval=0.5)
        server.server_close()
        chain.close()


def _address(server: ChainServer) -> str:
    from gensyn_lightning.chain.evm import CHAIN_ID

    contracts = server.chain.contracts
    value = {
        "url": server.url,
        "chain_id": CHAIN_ID,
        "escrow": "0x" + contracts.escrow.hex(),
        "receipts": "0x" + contracts.receipts.hex(),
        "pid": os.getpid(),
    }
    return json.dumps(value)


def _listen(chain: EmbeddedChain, port: int, before: Path) -> ChainServer:
    if port == 0 and before.exists():
        # Whoever knows the old place finds the chain again after a kill.
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = int(json.loads(before.read_text())["url"].rpartition(":")[2])
            return ChainServer(chain, known)
    return ChainServer(chain, port)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "chain.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another process serves the chain in {home}", hint="stop it with: gensyn down"
            ) from None
        yield


def _read_genesis(path: Path) -> Genesis:
    from gensyn_lightning.chain.evm import Genesis

    if path.stat().st_size > GENESIS_BYTES_MAX:
        raise LimitExceeded(f"{path} is longer than {GENESIS_BYTES_MAX} bytes")
    try:
        value = json.loads(path.read_bytes())
        balances = {parse_address(who): int(held) for who, held in value["balances"].items()}
        return Genesis(parse_address(value["operator"]), balances)
    except (Malformed, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"{path} is no genesis: {error}") from None


def _write(path: Path, text: str) -> None:
    staged = path.with_suffix(".new")
    with staged.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.rename(path)


if __name__ == "__main__":
    sys.exit(main())
