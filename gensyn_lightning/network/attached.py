"""The chain of a home that did not start it: attached to once, and no other from then on.

What is recorded stands where the embedded chain would write its own address, so that coordinator
and nodes read either alike.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable
from typing import Any

from gensyn_lightning.chain.deployment import Deployment, deploy, recognize
from gensyn_lightning.chain.ethereum import PATIENCE_S
from gensyn_lightning.chain.reading import ChainReader
from gensyn_lightning.errors import ConfigError, InsufficientBalance, Malformed
from gensyn_lightning.identity import Account
from gensyn_lightning.network import keys
from gensyn_lightning.network.home import Home, locked, write_json
from gensyn_lightning.protocol.digest import Address

RECORD_BYTES_MAX = 1 << 16
_PORTS = {"http": 80, "https": 443}
_ELSEWHERE = "choose another home: --home DIR, or GENSYN_HOME"


def attach(home: Home, url: str, say: Callable[[str], None]) -> str:
    """Return the address of the chain this home uses, or nothing if it starts one of its own.

    `url` is empty, or the JSON-RPC of a chain. On the first use of a home the contracts are put
    there by its coordinator's account, which must have a balance; afterwards any address of the
    same chain will do, and without one the last is used. Raises `ConfigError` for another chain
    than the recorded one, `InsufficientBalance` with the account that needs money, `LedgerError`.
    """
    folder = home.data("chain")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / "attach.lock"):
        known = None if (folder / "chain.db").exists() else _read(home)
        if known is None and not url:
            return ""
        if (folder / "chain.db").exists():
            raise ConfigError(f"{home.path} has a chain of its own", hint=_ELSEWHERE)
        place = _with_port(url or known["url"])  # type: ignore[index]
        if known is None:
            deployment = _deploy(home, place, say)
        else:
            deployment = Deployment.from_json(known)
            _recognize(home, place, deployment)
        write_json(folder / "chain.json", {"url": place, **deployment.to_json()})
        return place


def _deploy(home: Home, url: str, say: Callable[[str], None]) -> Deployment:
    operator = keys.pin(home, keys.OPERATOR, ("coordinator",))
    submitter = keys.pin(home, keys.SUBMITTER, ("submitter",))
    _check_balances(url, {keys.OPERATOR: operator, keys.SUBMITTER: submitter})
    say(f"putting the contracts on the chain at {url}")
    deployment = deploy(url, operator, patience_s=PATIENCE_S)
    say(f"chain {deployment.chain_id}, escrow 0x{deployment.escrow.hex()}")
    return deployment


def _check_balances(url: str, accounts: dict[str, Account]) -> None:
    """Raise `InsufficientBalance` that names every account without money."""
    reader = ChainReader(url, Address(bytes(20)), patience_s=PATIENCE_S)
    chain_id = reader.domain().chain_id
    empty = [
        f"{name} 0x{each.address.hex()}"
        for name, each in accounts.items()
        if not reader.balance(each.address)
    ]
    if empty:
        raise InsufficientBalance(
            f"nothing is held on chain {chain_id} by {' and by '.join(empty)}",
            hint="send there what jobs and fees will cost, in the chain's own currency",
        )


def _recognize(home: Home, url: str, deployment: Deployment) -> None:
    try:
        recognize(url, deployment, patience_s=PATIENCE_S)
    except ConfigError as error:
        raise ConfigError(f"{home.path}: {error.args[0]}", hint=_ELSEWHERE) from None


def _read(home: Home) -> dict[str, Any] | None:
    """Return what was recorded, or None before anything was."""
    path = home.data("chain") / "chain.json"
    try:
        with path.open() as file:
            value = json.loads(file.read(RECORD_BYTES_MAX))
        if isinstance(value, dict) and "genesis" not in value:
            return None  # written by a chain of this home's own
        Deployment.from_json(value)
        if not isinstance(value["url"], str):
            raise Malformed("its url is no text")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, Malformed) as error:
        raise ConfigError(f"{path} is damaged: {error}", hint=_ELSEWHERE) from None
    found: dict[str, Any] = value
    return found


def _with_port(url: str) -> str:
    """Return the address with its port in it: whoever only wants to knock needs a number."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        host = parts.hostname or ""
    except (ValueError, KeyError):
        raise ConfigError(
            f"{url[:200]!r} is no address of a chain", hint="http://HOST:PORT"
        ) from None
    host = f"[{host}]" if ":" in host else host
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{host}:{port}"))
