"""How the network and the jobs of a notebook stand, and where a job's report is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gensyn_lightning import config
from gensyn_lightning.client import Client
from gensyn_lightning.errors import ConfigError, CoordinatorUnavailable, NotFound
from gensyn_lightning.network import Home, jobs
from gensyn_lightning.protocol.job import JobId, display_id

JOBS_SHOWN = 20


def lines(outcomes: Sequence[Any]) -> Iterator[str]:
    """Yield what `%gensyn_status` prints of the network and the last jobs."""
    from gensyn_lightning.network.connection import connected, known_network

    settings = config.resolve()
    known = [each.job for each in jobs.submitted(Home(settings.home))][:JOBS_SHOWN]
    verdicts = {each.job: each.verdict for each in outcomes}
    try:
        info = known_network(settings)
        with connected(info) as client:
            yield f"network: {info.coordinator}, {len(client.network().nodes)} nodes"
            for job in known:
                yield _line(client, job, verdicts.get(job))
    except (ConfigError, CoordinatorUnavailable) as error:
        yield f"network: {error}"
        yield from (f"{display_id(job)}: {verdicts.get(job, 'unknown')}" for job in known)
    if not known:
        yield "no jobs yet: %gensyn_train MODEL"


def _line(client: Client, job: JobId, verdict: str | None) -> str:
    try:
        found = client.job(job)
    except NotFound:
        return f"{display_id(job)}: not known to this network"
    return (
        f"{display_id(job)}: {found.state.name.lower()}"
        f"{f' ({found.reason.name.lower()})' if found.reason else ''},"
        f" {found.accepted} of {found.segments} segments accepted,"
        f" {found.replayed} run again{f', {verdict}' if verdict else ''}"
    )


def watch(name: str) -> None:
    """Show a job as its log tells it; one that still runs keeps moving, until its report."""
    from IPython.display import display

    from gensyn_lightning.network.connection import connected
    from kernel_ext.following import board_of
    from kernel_ext.job import Job, cancel
    from kernel_ext.live import LiveView, Still
    from kernel_ext.sent import find

    job = find(name)
    with connected() as client:
        seen = board_of(client, job)
    board, _ = seen
    if board.is_over:
        shown = Still(board, f"%gensyn_report {name} shows its report")
        display(shown)  # type: ignore[no-untyped-call]
        return
    view = LiveView(lambda _: cancel(job))
    view.show()
    view.follow(board)
    Job(job, view, seen=seen)


def report_file(source: str | None, outcomes: Sequence[Any]) -> Path:
    """Return the report that `source` names: a file, a job, or None for the last one here."""
    if source is None:
        kept = [each.report for each in outcomes]
        if not kept:
            raise ConfigError("nothing was trained in this notebook", hint="name a report.json")
        return Path(kept[-1])
    if Path(source).is_file():
        return Path(source)
    from gensyn_lightning.network.connection import connected
    from kernel_ext.job import write_report
    from kernel_ext.sent import find

    job = find(source)
    with connected() as client:
        return write_report(client, job)
