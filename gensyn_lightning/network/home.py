"""Where things lie in a home folder, and the record by which a running network is found."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gensyn_lightning.errors import ConfigError

SCHEMA = "gensyn-network/1"
LEAVE = "leave"  # in the folder of a node whose owner wants it to leave
INFO_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one user's keys, jobs and embedded network; nobody else may read it."""

    path: Path

    @property
    def info(self) -> Path:
        """The record of the running network."""
        return self.path / "network.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.path / "network.lock"

    @property
    def start_lock(self) -> Path:
        """Held by whoever is starting a network."""
        return self.path / "start.lock"

    @property
    def clients(self) -> Path:
        """Touched by whoever uses the network, so that it stays a while."""
        return self.path / "clients"

    @property
    def keys(self) -> Path:
        """Keystores of accounts."""
        return self.path / "keys"

    @property
    def trust(self) -> Path:
        """The accounts of this network, for pinning."""
        return self.path / "trust.json"

    @property
    def store(self) -> Path:
        """The coordinator's artifacts, which whoever owns this folder may share by file."""
        return self.data("coordinator") / "artifacts"

    def log(self, name: str) -> Path:
        """Return where the process called `name` writes what it says."""
        return self.path / "logs" / f"{name}.log"

    def data(self, name: str) -> Path:
        """Return the folder that belongs to the process called `name` alone."""
        return self.path / "data" / name

    def make(self) -> Home:
        """Create the folders that are missing, readable by their owner only."""
        for each in (self.path, self.path / "logs", self.path / "data"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.stat().st_uid != os.getuid():
            raise ConfigError(f"{self.path} belongs to someone else", hint="set GENSYN_HOME")
        self.path.chmod(0o700)
        return self


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """How to reach a running network; addresses stay the same while it runs.

    `processes` maps each process to its id at the last start, `trust` is the file that names the
    network's accounts, `submitter` the name of the account in `keys` that holds the balance.
    """

    home: str
    coordinator: str
    chain: str
    zygote: str
    trust: str
    keys: str
    submitter: str
    supervisor: int
    started_ms: int
    version: str
    domain: Mapping[str, Any]
    processes: Mapping[str, int]


def write_info(home: Home, info: NetworkInfo) -> None:
    """Replace the record in one step, so that a reader sees the old one or the new one."""
    write_json(home.info, {"schema": SCHEMA, **asdict(info)})


def read_info(home: Home) -> NetworkInfo | None:
    """Return the record of the network last started here, or None; it may have stopped since."""
    try:
        with home.info.open("rb") as file:
            value = json.loads(file.read(INFO_BYTES_MAX))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{home.info} cannot be read: {error}", hint="delete it") from error
    try:
        if value.pop("schema") != SCHEMA:
            raise ConfigError(f"{home.info} is of another version", hint="delete it")
        return NetworkInfo(**value)
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"{home.info} is damaged", hint="delete it") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file that is there whole or not at all, for its owner only."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file, indent=1, sort_keys=True)
    staged.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; wait for whoever holds it now."""
    with path.open("w") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield
