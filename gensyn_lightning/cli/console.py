"""What a verb says: sentences for people on stderr, documents for programs on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from gensyn_lightning.cli.failure import Failure
from gensyn_lightning.report.finding import printable


def people() -> Console:
    """Return the console for sentences; colours and spinners only on a terminal."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """Tell people something, in lines that cannot steer their terminal."""
    lines = (printable(each, chars_max=len(each)) for each in text.split("\n"))
    people().print("\n".join(lines), style=style, markup=False)


def show(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Show people a table."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    people().print(table)


def emit(schema: str, document: Mapping[str, Any]) -> None:
    """Print one document on stdout, on one line."""
    print(json.dumps({"schema": schema, **document}, default=str), flush=True)


def complain(failure: Failure, as_json: bool) -> None:
    """Say in one line what went wrong and what to do next."""
    text = " ".join(failure.message.split())
    hint = " ".join(failure.hint.split())
    say(f"error: {text} - {hint}" if hint else f"error: {text}", style="red")
    if as_json:
        fields = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        emit("gensyn-error/1", {"error": fields})


def wants_json() -> bool:
    """Whether this command line asks for documents, even if it cannot be carried out."""
    return "--json" in sys.argv[1:]


def _plain(cell: str) -> str:
    return printable(cell).replace("[", "\\[")
