"""`gensyn report`: show what became of a job, from its report file or from the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gensyn_lightning import config
from gensyn_lightning.cli.console import emit, people, say
from gensyn_lightning.cli.verify import document, examine
from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.job import display_id
from gensyn_lightning.report import html as pages
from gensyn_lightning.report import story, text
from gensyn_lightning.report.finding import Exit

SCHEMA = "gensyn-report/1"


def report(
    job: Annotated[str, typer.Argument(help="a job's name, or a report.json")],
    html: Annotated[
        Path | None, typer.Option("--html", help="write the report as one HTML file")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="where report.json of a job goes")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Show a job's report; the file is checked first, and the view says what the check found."""
    path = Path(job) if Path(job).is_file() else _fetch(job, output)
    done, pins = examine(path, [])
    told = story.tell(done, pins)
    if html is not None:
        _write(html, pages.page(told, path=path.name).encode())
    people().print(text.render(told, path=str(path)))
    if as_json:
        emit(SCHEMA, document(done, pins))
    raise typer.Exit(Exit.VERIFIED if done.holds else Exit.MISMATCH)


def _fetch(name: str, output: Path | None) -> Path:
    """Make the report of a job of this machine's account from what the network knows."""
    from gensyn_lightning.network.connection import connected
    from gensyn_lightning.report.fetching import fetch

    job = jobs.find(Home(config.resolve().home), name)
    path = output or Path(f"{display_id(job)}.report.json")
    if path.exists():
        raise ConfigError(f"{path} exists", hint="show it with `gensyn report FILE`, or name -o")
    with connected() as client:
        _write(path, fetch(client, job))
    return path


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    say(f"written: {path}")
