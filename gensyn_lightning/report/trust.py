"""Whose signatures count: accounts pinned by role, from files a reader chose.

A trust file is JSON: `{"schema": "gensyn-trust/1", "accounts": [{"account": 40 hex digits,
"name": text, "roles": ["submitter" | "coordinator" | "solver" | "verifier", ...]}, ...]}`. A role
matters: whoever is pinned as a solver cannot vouch for a solver.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import ConfigError, GensynError
from gensyn_lightning.protocol.digest import Address, parse_address
from gensyn_lightning.report.case import Case
from gensyn_lightning.report.verdicts import matches

SCHEMA = "gensyn-trust/1"
ROLES = ("submitter", "coordinator", "solver", "verifier")
BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Signer:
    """An account in the role in which a report relies on it."""

    role: str
    account: Address


@dataclass(frozen=True, slots=True)
class Pins:
    """The accounts a reader knows; `sources` says from where."""

    names: Mapping[Signer, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    def __or__(self, other: Pins) -> Pins:
        """Return what is pinned by either; a name given first stays."""
        return Pins({**other.names, **self.names}, (*self.sources, *other.sources))

    def unknown(self, signers: Iterable[Signer]) -> list[Signer]:
        """Return the signers that are not pinned."""
        return [each for each in signers if each not in self.names]


def read(path: Path) -> Pins:
    """Read a trust file; raise `ConfigError` if it is none."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(BYTES_MAX))
        return Pins(dict(_accounts(value)), (str(path),))
    except (OSError, ValueError, KeyError, TypeError, GensynError) as error:
        raise ConfigError(
            f"{path} is no trust file: {error}", hint="`gensyn verify` prints one to start from"
        ) from None


def signers(case: Case) -> list[Signer]:
    """Return everyone whose word a report's statement rests on, each role once."""
    found = [Signer("submitter", case.job.submitter), Signer("coordinator", case.coordinator)]
    for attempt, _ in case.standing:
        found.append(Signer("solver", attempt.solver))
        found.extend(Signer("verifier", each.verifier) for each in matches(attempt))
    return list(dict.fromkeys(found))


def _accounts(value: Any) -> Iterator[tuple[Signer, str]]:
    if value["schema"] != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    for each in value["accounts"]:
        account, name = parse_address(each["account"]), str(each["name"])[:64]
        for role in each["roles"]:
            if role not in ROLES:
                raise ValueError(f"{role!r} is no role")
            yield Signer(role, account), name
