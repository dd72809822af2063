"""Makes the report of a job that this machine submitted from what the network knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gensyn_lightning.client import Client
from gensyn_lightning.config import Config
from gensyn_lightning.errors import ConfigError, GensynError
from gensyn_lightning.identity import Identity, open_account
from gensyn_lightning.network.embedded import Network
from gensyn_lightning.network.home import Home, NetworkInfo, read_info
from gensyn_lightning.protocol.canonical import Domain, parse_json
from gensyn_lightning.protocol.digest import parse_address
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.report import case, form, leaves, written
from gensyn_lightning.report.build import build
from gensyn_lightning.training.leaf import Leaf

STRUCTURE_BYTES_MAX = 256 << 20


def fetch(client: Client, job: JobId) -> bytes:
    """Return report.json of a job as it stands now, signed by the client's identity."""
    dossier = client.dossier(job)
    records = parse_json(dossier, bytes_max=form.REPORT_BYTES_MAX)
    form.DOSSIER.check(records, "dossier")
    standing = [attempt for attempt, _ in case.read(records).standing]
    outputs = [
        client.read(each.outputs, bytes_max=written.OUTPUTS_BYTES_MAX)
        for each in standing
        if each.outputs is not None
    ]
    return build(dossier, _end_leaves(client, standing), client.identity, outputs)


def _end_leaves(client: Client, standing: Sequence[case.Attempt]) -> tuple[Leaf, ...] | None:
    """Return the leaves of the last state that stands, or None when none does."""
    if not standing or standing[-1].refs is None:
        return None
    structure, _ = standing[-1].refs
    return leaves.read_structure(client.read(structure, bytes_max=STRUCTURE_BYTES_MAX))


@contextmanager
def connected(
    config: Config, notice: Callable[[GensynError], None] = lambda _: None
) -> Iterator[tuple[Client, NetworkInfo]]:
    """Give a client of the network that runs here or is configured, as its submitter.

    `notice` is told whenever the network does not answer and is asked again.
    """
    info = read_info(Home(config.home)) if config.coordinator else Network.find(config.home)
    if info is None or config.coordinator not in {"", info.coordinator}:
        raise ConfigError(
            f"no network runs in {config.home}", hint="start it with `gensyn up --detach`"
        )
    Network.keep(config.home)
    domain = Domain(int(info.domain["chain_id"]), parse_address(str(info.domain["escrow"])))
    identity = Identity(open_account(Path(info.keys), info.submitter), domain)
    with Client(info.coordinator, identity, notice=notice) as client:
        yield client, info
