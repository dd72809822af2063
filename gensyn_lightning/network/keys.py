"""The accounts of a home's network: made on first use, pinned in a file, funded at genesis."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.identity import Account, open_or_create
from gensyn_lightning.network.home import Home, write_json

SUBMITTER = "submitter"
OPERATOR = "coordinator"
BALANCE = 1_000_000_000_000
TRUST_SCHEMA = "gensyn-trust/1"
TRUST_BYTES_MAX = 1 << 20
_WORDS = {"solve": "solver", "verify": "verifier"}


def prepare(home: Home, nodes: Mapping[str, str]) -> None:
    """Make and pin the accounts of a network; `nodes` maps names to roles, as in "solve,verify"."""
    pin(home, SUBMITTER, ("submitter",))
    pin(home, OPERATOR, ("coordinator",))
    for name, roles in nodes.items():
        pin_node(home, name, roles)


def genesis(home: Home) -> Path:
    """Return the file that the home's embedded chain starts from, written once per home."""
    folder = home.data("chain")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "genesis.json"
    if not path.exists():
        submitter, operator = (open_or_create(home.keys, each) for each in (SUBMITTER, OPERATOR))
        balances = {submitter.address.hex(): str(BALANCE)}
        write_json(path, {"operator": operator.address.hex(), "balances": balances})
    return path


def pin_node(home: Home, name: str, roles: str) -> Account:
    """Return the account of a node, made and pinned under its roles if it is new."""
    return pin(home, name, tuple(_WORDS[each] for each in roles.split(",")))


def pin(home: Home, name: str, roles: tuple[str, ...]) -> Account:
    """Return the account called `name`, and see that the trust file names it."""
    account = open_or_create(home.keys, name)
    entry = {"account": account.address.hex(), "name": name, "roles": list(roles)}
    with _locked(home.trust):
        known = _read_trust(home.trust)
        before = [role for e in known if e["account"] == entry["account"] for role in e["roles"]]
        entry["roles"] = sorted({*before, *roles})
        others = [each for each in known if each.get("account") != entry["account"]]
        write_json(home.trust, {"schema": TRUST_SCHEMA, "accounts": [*others, entry]})
    return account


def _read_trust(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open() as file:
            value = json.loads(file.read(TRUST_BYTES_MAX))
        found: list[dict[str, Any]] = value["accounts"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error}", hint="delete it") from error
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        flock(lock.fileno(), LOCK_EX)
        yield
