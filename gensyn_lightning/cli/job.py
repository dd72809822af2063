"""`gensyn job`: list jobs, look at one, read what it said, wait for it, stop it."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from gensyn_lightning import config
from gensyn_lightning.cli.completion import job_names
from gensyn_lightning.cli.console import emit, say, show
from gensyn_lightning.errors import GensynError, TimedOut
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.network.connection import connected
from gensyn_lightning.protocol.job import JobId, State, display_id
from gensyn_lightning.protocol.jsonform import to_json
from gensyn_lightning.report.finding import printable

JOB_SCHEMA, LIST_SCHEMA, EVENT_SCHEMA = "gensyn-job/1", "gensyn-jobs/1", "gensyn-event/1"
ENDED = frozenset({State.SETTLED, State.REFUNDED})
NOT_VERIFIED, INCONCLUSIVE = 3, 4
POLL_S = 0.5

Name = Annotated[
    str, typer.Argument(help="a job's name, as it was shown", autocompletion=job_names)
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout")]

app = typer.Typer(no_args_is_help=True, help="List, show, follow, wait for and stop jobs.")


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the jobs submitted from here, newest first."""
    home = Home(config.resolve().home)
    known = jobs.submitted(home)[:limit]
    rows: list[dict[str, Any]] = []
    if known:
        with connected() as client:
            for each in known:
                rows.append(_row(client, each))
    show(
        "",
        ("job", "submitted", "state", "segments", "replayed", "from"),
        [
            (
                row["name"],
                time.strftime("%Y-%m-%d %H:%M", time.localtime(row["submitted_ms"] / 1000)),
                row["state"] or f"unknown ({row['error']})",
                "-" if row["segments"] is None else f"{row['accepted']}/{row['segments']}",
                _text(row["replayed"]),
                row["folder"],
            )
            for row in rows
        ],
    )
    if as_json:
        emit(LIST_SCHEMA, {"jobs": rows})


@app.command("show")
def show_job(name: Name, as_json: AsJson = False) -> None:
    """Show how far a job has come."""
    with connected() as client:
        job = _find(name)
        found = _document(client, job)
    show("", ("", ""), [(key.replace("_", " "), _text(value)) for key, value in found.items()])
    if as_json:
        emit(JOB_SCHEMA, found)


@app.command("events")
def events(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until the job ends")] = False,
    since: Annotated[int, typer.Option(min=0, help="only entries after this number")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print a job's log, one line per entry; with --json one document per line."""
    with connected() as client:
        job = _find(name)
        last = client.job(job).cursor
        if not follow and last <= since:
            return
        for entry in client.events(job, since):
            at = time.strftime("%H:%M:%S", time.localtime(entry.at_ms / 1000))
            details = " ".join(f"{key}={_text(value)}" for key, value in entry.body.items())
            line = f"{entry.cursor:5d} {at} {entry.kind} {details}"
            say(printable(line, chars_max=len(line)))
            if as_json:
                fields = {"cursor": entry.cursor, "at_ms": entry.at_ms, "kind": entry.kind}
                emit(EVENT_SCHEMA, {**fields, "body": entry.body})
            if not follow and entry.cursor >= last:
                return


@app.command("logs")
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until the job ends")] = False,
    since: Annotated[int, typer.Option(min=0, help="only what came after this entry")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print what the program printed and logged, segment by segment as they are committed.

    The text goes to stdout, with --json as one document per line; what became of the segments
    goes to stderr. The cursors of --since are those of `gensyn job events`.
    """
    from gensyn_lightning.cli import joblog

    with connected() as client:
        joblog.tell(client, _find(name), since, follow=follow, as_json=as_json)


@app.command("wait")
def wait(
    name: Name,
    timeout: Annotated[float, typer.Option(min=0, help="seconds; 0 = as long as it takes")] = 0,
    as_json: AsJson = False,
) -> None:
    """Wait until a job has ended; the exit code says how: 0 verified, 3 not, 4 inconclusive."""
    deadline = time.monotonic() + timeout if timeout else None
    with connected() as client:
        job = _find(name)
        while client.job(job).state not in ENDED:
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(
                    f"{display_id(job)} has not ended after {timeout:g} s",
                    hint="wait longer, or stop it with `gensyn job cancel`",
                )
            time.sleep(POLL_S)
        found = _document(client, job)
    say(
        f"{display_id(job)}: {found['state']}"
        + (f" ({found['reason']})" if found["reason"] else "")
    )
    if as_json:
        emit(JOB_SCHEMA, found)
    raise typer.Exit(_exit_code(found))


@app.command("cancel")
def cancel(name: Name, as_json: AsJson = False) -> None:
    """Stop a job; what was accepted stays paid, the rest of the price comes back."""
    with connected() as client:
        job = _find(name)
        client.cancel(job)
        say(f"{display_id(job)} is being stopped")
        if as_json:
            emit(JOB_SCHEMA, _document(client, job))


def _find(name: str) -> JobId:
    return jobs.find(Home(config.resolve().home), name)


def _row(client: Any, known: jobs.Submitted) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": display_id(known.job),
        "job": known.job.hex(),
        "submitted_ms": known.submitted_ms,
        "folder": known.folder,
        **dict.fromkeys(("state", "segments", "accepted", "replayed")),
        "error": "",
    }
    try:
        found = client.job(known.job)
    except GensynError as error:
        return row | {"error": str(error)}
    return row | {
        "state": found.state.name,
        "segments": found.segments,
        "accepted": found.accepted,
        "replayed": found.replayed,
    }


def _document(client: Any, job: JobId) -> dict[str, Any]:
    found = client.job(job)
    return {
        "name": display_id(job),
        "job": job.hex(),
        "state": found.state.name,
        "reason": found.reason.name if found.reason else None,
        "events": found.events,
        "segments": found.segments,
        "accepted": found.accepted,
        "replayed": found.replayed,
        "receipt": to_json(found.receipt) if found.receipt else None,
        "transaction": found.transaction.hex() if found.transaction else None,
    }


def _exit_code(found: dict[str, Any]) -> int:
    if found["state"] == State.SETTLED.name:
        return 0
    return INCONCLUSIVE if found["reason"] == "INCONCLUSIVE" else NOT_VERIFIED


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_text(each)}" for key, each in value.items())
    return "-" if value is None else str(value)
