"""The embedded network: chain, coordinator, solvers and verifiers as local processes."""

from __future__ import annotations

from gensyn_lightning.network.embedded import Network
from gensyn_lightning.network.home import Home, NetworkInfo

__all__ = ["Home", "Network", "NetworkInfo"]
