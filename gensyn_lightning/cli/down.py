"""`gensyn down`: stop the network of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gensyn_lightning import config
from gensyn_lightning.cli.console import emit, say
from gensyn_lightning.network import Network


def down(
    home: Annotated[Path | None, typer.Option(help="where the network's data is")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Stop the network of this machine; its jobs go on when it is started again."""
    settings = config.resolve({"home": home})
    stopped = Network.stop(settings.home)
    say("stopped" if stopped else f"no network runs in {settings.home}")
    if as_json:
        emit("gensyn-down/1", {"home": str(settings.home), "stopped": stopped})
