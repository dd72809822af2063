"""The `gensyn` command: train on machines you do not own, and check the result."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer

from gensyn_lightning import __version__
from gensyn_lightning.cli import configuration, doctor, down, job, node, report, train, up, verify
from gensyn_lightning.cli.console import complain, wants_json
from gensyn_lightning.cli.failure import (
    FAILED,
    INTERRUPTED,
    Failure,
    crash,
    failure_of,
    interruption,
    misuse,
)
from gensyn_lightning.errors import GensynError

# What typer raises for a command line it cannot read; the class itself has no public name.
UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="gensyn",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("down")(down.down)
app.command("doctor")(doctor.doctor)
app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    train.train
)
app.add_typer(job.app, name="job")
app.add_typer(node.app, name="node")
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.add_typer(configuration.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _gensyn(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Train with Lightning on machines you do not own, and check the result."""


def main() -> None:
    """Run the command line; every failure is one line and an exit code (2 usage, 130 Ctrl-C)."""
    try:
        status = app(standalone_mode=False, prog_name=app.info.name)
    except UsageError as error:
        _fail(misuse(error))
    except GensynError as error:
        _fail(failure_of(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except Exception as error:
        traceback.print_exc()
        _fail(crash(error))
    if status == INTERRUPTED:
        _fail(interruption())
    sys.exit(status)


def _fail(failure: Failure) -> NoReturn:
    complain(failure, wants_json())
    sys.exit(failure.status)


if __name__ == "__main__":
    main()
