"""The network a home speaks to: the one that runs there, or the one that is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gensyn_lightning import config
from gensyn_lightning.config import Config
from gensyn_lightning.errors import ConfigError, GensynError
from gensyn_lightning.network.embedded import Network
from gensyn_lightning.network.home import Home, NetworkInfo, read_info

if TYPE_CHECKING:
    from gensyn_lightning.client import Client
    from gensyn_lightning.identity import Identity

PATIENCE_S = 10.0


def known_network(settings: Config | None = None) -> NetworkInfo:
    """Return how to reach the network that `settings`, or those in force, name. Starts none.

    Raise `ConfigError` when there is none.
    """
    settings = settings or config.resolve()
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


def submitter(info: NetworkInfo) -> Identity:
    """Return who submits from this home to that network."""
    from gensyn_lightning.identity import Identity, open_account
    from gensyn_lightning.protocol.canonical import Domain
    from gensyn_lightning.protocol.digest import parse_address

    domain = Domain(int(info.domain["chain_id"]), parse_address(str(info.domain["escrow"])))
    return Identity(open_account(Path(info.keys), info.submitter), domain)


@contextmanager
def connected(
    info: NetworkInfo | None = None,
    *,
    patience_s: float = PATIENCE_S,
    notice: Callable[[GensynError], None] = lambda _: None,
) -> Iterator[Client]:
    """Give a client of the network, by default of the known one, as its submitter.

    `notice` is told whenever the network does not answer and is asked again, for `patience_s`.
    """
    from gensyn_lightning.client import Client  # gRPC takes a moment

    info = info or known_network()
    with Client(info.coordinator, submitter(info), patience_s=patience_s, notice=notice) as client:
        yield client
