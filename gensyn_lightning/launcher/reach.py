"""The network as a submitter reaches it: its coordinator, its chain, the account that pays."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.artifacts import FolderArtifacts
from gensyn_lightning.chain.ethereum import EthereumLedger
from gensyn_lightning.chain.ledger import Ledger
from gensyn_lightning.client import Client
from gensyn_lightning.config import Config
from gensyn_lightning.errors import GensynError
from gensyn_lightning.identity import Account
from gensyn_lightning.network.connection import known_network, submitter
from gensyn_lightning.network.embedded import Network
from gensyn_lightning.network.home import Home, NetworkInfo


@dataclass(frozen=True, slots=True)
class Reach:
    """An open connection to one network; `store` is its artifacts if they lie on this disk."""

    info: NetworkInfo
    client: Client
    ledger: Ledger
    account: Account
    store: FolderArtifacts | None


@contextlib.contextmanager
def reach(
    config: Config, say: Callable[[str], None], notice: Callable[[GensynError], None]
) -> Iterator[Reach]:
    """Find the network that `config` asks for, or start the embedded one, and connect to it.

    `notice` is told whenever the network does not answer and is asked again.
    """
    info = known_network(config) if config.coordinator else Network.ensure(config, say)
    identity = submitter(info)
    ledger = EthereumLedger(info.chain, identity.domain.escrow)
    # The chain library takes a second to import; it is needed only after the preflight.
    threading.Thread(target=ledger.prepare, daemon=True).start()
    with Client(info.coordinator, identity, notice=notice) as client:
        yield Reach(info, client, ledger, identity.account, _store(config, info))


def _store(config: Config, info: NetworkInfo) -> FolderArtifacts | None:
    """Return the artifacts of an embedded network; those of any other are its own business."""
    return None if config.coordinator else FolderArtifacts(Home(Path(info.home)).store)
