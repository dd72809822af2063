"""One question to a chain at a time: JSON-RPC over HTTP with nothing but the standard library."""

from __future__ import annotations

import http.client
import ipaddress
import itertools
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from gensyn_lightning.errors import ConfigError, LedgerError, LimitExceeded, Malformed
from gensyn_lightning.protocol.canonical import JSON_DEPTH_MAX, check_nesting

ANSWER_BYTES_MAX = 8 * 1024 * 1024
TIMEOUT_S = 10.0
_REVERTED = 3
# What gateways say for a moment: too many requests, or nobody behind them.
_PASSING = frozenset((429, 502, 503, 504))
_PAUSE_S = 0.05
_BUSY_PAUSE_S = 1.0


class Refused(LedgerError):
    """The chain answered with an error: its code, its words and, for a contract, its data."""

    def __init__(self, code: int, message: str, data: bytes) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    @property
    def reverted(self) -> bool:
        """Whether a contract refused the call, rather than the chain."""
        return self.code == _REVERTED or "execution reverted" in self.args[0]


class RpcClient:
    """Asks the chain at `url`.

    A chain that does not answer is asked again for `patience_s` seconds, because the embedded one
    may be starting again and others are busy at times; what is asked must bear being asked twice,
    as everything here does.
    """

    def __init__(self, url: str, *, patience_s: float = 0.0) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"{url[:200]!r} is no address of a chain", hint="http://HOST:PORT")
        # A proxy for the wide world cannot reach this machine's loopback.
        proxies: dict[str, str] | None = {} if _is_loopback(parts.hostname) else None
        self.url = url
        # What comes after the host may be a secret: public chains are sold by keys in paths.
        self._name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._patience_s = patience_s
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies), _NoRedirects
        )
        self._numbers = itertools.count(1)

    def ask(self, method: str, *parameters: Any) -> Any:
        """Return the answer; raise `Refused` for the chain's no, `LedgerError` for its silence."""
        body = {
            "jsonrpc": "2.0",
            "id": next(self._numbers),
            "method": method,
            "params": list(parameters),
        }
        answer = self._read(self._post(json.dumps(body).encode()))
        if "error" in answer:
            raise _refusal(answer["error"])
        if "result" not in answer:
            raise Malformed("an answer without a result")
        return answer["result"]

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self.url, body, {"Content-Type": "application/json"}
        )
        until = time.monotonic() + self._patience_s
        while True:
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                    return bytes(answer.read(ANSWER_BYTES_MAX + 1))
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in _PASSING or time.monotonic() >= until:
                    raise LedgerError(
                        f"the chain at {self._name} answers {error.code} {error.reason}",
                        hint="is its address right?",
                    ) from None
                time.sleep(_BUSY_PAUSE_S)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() >= until:
                    raise LedgerError(
                        f"the chain at {self._name} does not answer",
                        hint="is the network up? gensyn doctor",
                    ) from error
                time.sleep(_PAUSE_S)

    def _read(self, data: bytes) -> dict[str, Any]:
        if len(data) > ANSWER_BYTES_MAX:
            raise LimitExceeded(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        try:
            check_nesting(data, JSON_DEPTH_MAX)
            answer = json.loads(data)
        except (ValueError, LimitExceeded):
            raise Malformed("the chain's answer is not JSON") from None
        if not isinstance(answer, dict):
            raise Malformed("the chain's answer is no object")
        return answer


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _refusal(error: Any) -> Exception:
    if not isinstance(error, dict):
        return Malformed("an error that is no object")
    data = error.get("data")
    try:
        said = bytes.fromhex(data[2:]) if isinstance(data, str) else b""
    except ValueError:
        said = b""
    code = error.get("code")
    return Refused(code if isinstance(code, int) else 0, str(error.get("message"))[:500], said)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
