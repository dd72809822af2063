"""What a job's program printed and logged, read from the outputs of its committed segments.

Lines are the solver's word: they are bound to a signed commitment's artifact, but a program may
print what differs from run to run, so nobody replays them. Calls to loggers are replayed.
"""

from __future__ import annotations

from collections.abc import Iterator

from gensyn_lightning.cli.console import emit, say
from gensyn_lightning.client import Client, LogEntry
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.report.finding import printable
from gensyn_lightning.report.logged import numbers
from gensyn_lightning.training import outputs
from gensyn_lightning.training.outputs import Call, Outputs
from gensyn_lightning.wire.jobs import PROGRESS

SCHEMA = "gensyn-log/1"
TOLD = {
    "voided": "segments {first_index} and later are void and trained again",
    "refuted": "segment {index} was refuted and is trained again",
    "stopped": "stopped: {why}",
    "settled": "settled",
    "refunded": "refunded",
}


def tell(client: Client, job: JobId, since: int, *, follow: bool, as_json: bool) -> None:
    """Print what was said after entry `since` of the job's log, until it ends if `follow`."""
    last = client.job(job).cursor
    if not follow and last <= since:
        return
    for entry in client.events(job, since):
        if entry.kind == "committed":
            _segment(client, job, entry, as_json=as_json)
        elif entry.kind in TOLD:
            told = {"why": "", "first_index": "?", **entry.body}
            say(printable(TOLD[entry.kind].format_map(told)))
        if not follow and entry.kind != PROGRESS and entry.cursor >= last:
            return


def _segment(client: Client, job: JobId, entry: LogEntry, *, as_json: bool) -> None:
    index = int(entry.body["index"])
    found = _outputs(client, job, entry)
    if found is None:
        say(f"segment {index}: what this attempt said is gone, another took its place")
        return
    for event, stream, text in _said(found):
        if as_json:
            place = {"cursor": entry.cursor, "at_ms": entry.at_ms, "segment": index}
            emit(SCHEMA, {**place, "event": event, "stream": stream, "text": text})
        else:
            line = text.expandtabs()
            print(printable(line, chars_max=len(line)), flush=True)


def _outputs(client: Client, job: JobId, entry: LogEntry) -> Outputs | None:
    """Return the outputs that an entry of the log is about, if they still stand."""
    for each in client.segments(job, int(entry.body["index"])):
        claim = each.commitment
        if claim.fence != entry.body["fence"]:
            return None
        found = outputs.parse(client.read(each.outputs, bytes_max=outputs.BYTES_MAX))
        return found if outputs.root(found) == claim.outputs_root else None
    return None


def _said(found: Outputs) -> Iterator[tuple[int, str, str]]:
    """Yield lines and logged metrics by the event they belong to."""
    lines = [(each.event, each.stream, each.text) for each in found.lines]
    calls = [(each.event, "log", text) for each in found.calls if (text := _metrics(each))]
    yield from sorted(lines + calls, key=lambda each: each[0])


def _metrics(call: Call) -> str:
    """Return the numbers a logger was told in one line; nothing for calls of another kind."""
    step, found = numbers([call.event, call.logger, call.method, call.given])
    if not found:
        return ""
    return " ".join(
        [
            *([] if step is None else [f"step {step}"]),
            *(f"{printable(name)}={value:.6g}" for name, value in found.items()),
        ]
    )
