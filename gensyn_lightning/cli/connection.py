"""The network a verb speaks to: the one that runs in this home, or the one that is configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gensyn_lightning import config
from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network import Home, Network, NetworkInfo
from gensyn_lightning.network.home import read_info

if TYPE_CHECKING:
    from gensyn_lightning.client import Client

PATIENCE_S = 10.0


def known_network() -> NetworkInfo:
    """Return how to reach the network; raise `ConfigError` when there is none. Starts none."""
    settings = config.resolve()
    if settings.coordinator:
        info = read_info(Home(settings.home))
        if info is None or info.coordinator != settings.coordinator:
            raise ConfigError(
                f"nothing is known here about the network at {settings.coordinator}",
                hint=f"put its network.json into {settings.home}",
            )
        return info
    found = Network.find(settings.home)
    if found is None:
        raise ConfigError(
            f"no network runs in {settings.home}", hint="start it with `gensyn up --detach`"
        )
    Network.keep(settings.home)
    return found


@contextmanager
def connected(info: NetworkInfo | None = None) -> Iterator[Client]:
    """Give a client of the network as its submitter."""
    from gensyn_lightning.client import Client
    from gensyn_lightning.identity import Identity, open_account
    from gensyn_lightning.protocol.canonical import Domain
    from gensyn_lightning.protocol.digest import parse_address

    info = info or known_network()
    domain = Domain(int(info.domain["chain_id"]), parse_address(str(info.domain["escrow"])))
    account = open_account(Path(info.keys), info.submitter)
    with Client(info.coordinator, Identity(account, domain), patience_s=PATIENCE_S) as client:
        yield client
