"""What every party of a network agrees on, and the coordinator's own account in it."""

from __future__ import annotations

from dataclasses import dataclass

from gensyn_lightning.identity import Account
from gensyn_lightning.protocol.canonical import Domain
from gensyn_lightning.protocol.digest import Address
from gensyn_lightning.protocol.parameters import Parameters


@dataclass(frozen=True)
class Network:
    """Where signatures count, where receipts are kept, who vouches, and the usual parameters."""

    domain: Domain
    receipts: Address
    account: Account
    parameters: Parameters
    single_operator: bool
