"""`gensyn config show`: every setting, its value and where it came from."""

from __future__ import annotations

from typing import Annotated

import typer

from gensyn_lightning import config
from gensyn_lightning.cli.console import emit, show

app = typer.Typer(no_args_is_help=True, help="Show the settings in force.")


@app.callback()
def _config() -> None:
    """Show the settings in force."""


@app.command("show")
def show_settings(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Show every setting, its value, and where the value came from."""
    rows = config.as_settings(config.resolve())
    show(
        "",
        ("setting", "value", "from", "meaning"),
        [
            (name, str(value), source, config.SETTINGS[name].help)
            for name, (value, source) in rows.items()
        ],
    )
    if as_json:
        settings = {
            name: {"value": value, "from": source} for name, (value, source) in rows.items()
        }
        emit("gensyn-config/1", {"settings": settings})
