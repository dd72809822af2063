"""`gensyn config`: every setting and where it came from, and a way to change the personal ones."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gensyn_lightning import config
from gensyn_lightning.cli import personal
from gensyn_lightning.cli.completion import setting_names
from gensyn_lightning.cli.console import emit, say, show
from gensyn_lightning.errors import ConfigError

SCHEMA, SETTING_SCHEMA = "gensyn-config/1", "gensyn-setting/1"

Name = Annotated[str, typer.Argument(help="a setting", autocompletion=setting_names)]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]

app = typer.Typer(no_args_is_help=True, help="Show and change settings.")


@app.command("show")
def show_settings(as_json: AsJson = False) -> None:
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
        emit(SCHEMA, {"settings": settings})


@app.command("get")
def get(name: Name, as_json: AsJson = False) -> None:
    """Print the value of one setting; where it came from goes to stderr."""
    found = _setting(name)
    say(f"{name} comes from {found['from']}")
    if as_json:
        emit(SETTING_SCHEMA, found)
    else:
        print(found["value"])


@app.command("set")
def set_one(
    name: Name,
    value: Annotated[str, typer.Argument(help="its new value")],
    as_json: AsJson = False,
) -> None:
    """Change a setting in the personal config.toml; every other line there stays as it is."""
    path = config.personal_file()
    personal.change(path, name, value)
    found = _setting(name)
    say(f"written: {path}")
    if found["from"] != str(path):
        say(f"{name} is {found['value']} here all the same: {found['from']} goes first", "yellow")
    if as_json:
        emit(SETTING_SCHEMA, found)


def _setting(name: str) -> dict[str, Any]:
    rows = config.as_settings(config.resolve())
    if name not in rows:
        raise ConfigError(f"there is no setting {name!r}", hint=f"there are {', '.join(rows)}")
    value, source = rows[name]
    return {"name": name, "value": value, "from": source}
