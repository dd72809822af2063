"""What a shell offers after Tab: names from the files of this home, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable

from gensyn_lightning import config
from gensyn_lightning.errors import GensynError
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.job import display_id

OFFERED_MAX = 50


def job_names(incomplete: str) -> list[str]:
    """Return the jobs submitted from here that begin so, newest first."""
    try:
        known = jobs.submitted(Home(config.resolve().home))
    except GensynError:
        return []  # a line that is being typed is no place for complaints
    return _beginning(incomplete, (display_id(each.job) for each in known))


def node_names(incomplete: str) -> list[str]:
    """Return the nodes with files in this home that begin so."""
    try:
        home = Home(config.resolve().home)
        folders = sorted(home.data("").iterdir())
    except (GensynError, OSError):
        return []
    return _beginning(incomplete, (each.name for each in folders if (each / "memory").is_dir()))


def setting_names(incomplete: str) -> list[str]:
    """Return the settings that begin so."""
    return _beginning(incomplete, config.SETTINGS)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [each for each in names if each.startswith(incomplete)][:OFFERED_MAX]
