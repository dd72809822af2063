"""A report in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gensyn_lightning.report.curves import CURVES_MAX, spark
from gensyn_lightning.report.finding import Result, printable
from gensyn_lightning.report.story import ICONS, ROWS_MAX, Story, Tone

CURVE_COLUMNS, STEPS_SHOWN = 48, 6
STYLES = {
    Tone.GOOD: "bold green",
    Tone.PLAIN: "bold",
    Tone.WARN: "bold yellow",
    Tone.BAD: "bold red",
}
_RESULTS = {
    Result.PASS: ("✔", "green"),
    Result.FAIL: ("✘", "bold red"),
    Result.SKIP: ("–", "dim"),
    Result.OPEN: ("?", "yellow"),
}


def render(story: Story, *, path: str = "report.json") -> RenderableType:
    """Return the whole story, to be printed by a rich console."""
    return Group(*_parts(story, path))


def headline(story: Story) -> Text:
    """Return the status as icon and word, and the sentence that says what it means."""
    line = Text(f"{ICONS[story.tone]} {story.status}", style=STYLES[story.tone])
    return Text.assemble(line, f"  {story.job}\n", story.statement)


def checks(story: Story) -> Table:
    """Return a line for every check that was made."""
    table = Table.grid(padding=(0, 2))
    for each in story.findings:
        icon, style = _RESULTS[each.result]
        table.add_row(
            Text(f"L{each.level.value}", style="dim"),
            Text(f"{icon} {each.result.value}", style=style),
            Text(each.name),
            Text(each.detail, "dim" if each.result is Result.PASS else style, overflow="fold"),
        )
    return table


def plain(story: Story) -> str:
    """Return the story in a few lines of plain text."""
    lines = [f"{ICONS[story.tone]} {story.status}  {story.job}", story.statement]
    lines += [f"check: {story.check}"]
    lines += [f"not checked: {each}" for each in story.not_checked]
    return "\n".join(lines)


def _parts(story: Story, path: str) -> Iterator[RenderableType]:
    yield headline(story)
    yield Text(f"Check of the report: {story.check}.\n")
    if story.not_checked:
        yield Text("Not checked", style="bold")
        for note in story.not_checked:
            yield Text(f"  · {note}")
        yield Text("")
    if any(story.curves.values()):
        yield _curves(story)
        yield from _checkpoints(story)
    if story.rows:
        yield _segments(story)
    for line in story.disputes:
        yield Text(f"  {line}")
    if story.parties:
        yield _parties(story)
    if story.facts:
        yield _facts(story)
        yield Text(f"\nCheck it yourself: gensyn verify {path}", style="dim")


def _curves(story: Story) -> Table:
    table = Table(title="Logged", title_justify="left", box=None, pad_edge=False)
    for column in ("name", "first", "", "last"):
        table.add_column(column, justify="right" if column == "first" else "left")
    for name, points in list(story.curves.items())[:CURVES_MAX]:
        if points:
            ends = (
                f"{points[0][1]:.4g}",
                Text(spark(points, CURVE_COLUMNS)),
                f"{points[-1][1]:.4g}",
            )
            table.add_row(Text(printable(name)), *ends)
    return table


def _checkpoints(story: Story) -> Iterator[RenderableType]:
    steps = [str(each) for each in story.checkpoints]
    if steps:
        more = f" and {len(steps) - STEPS_SHOWN} more" if len(steps) > STEPS_SHOWN else ""
        yield Text(f"checkpoints after step {', '.join(steps[:STEPS_SHOWN])}{more}")
    yield Text("")


def _segments(story: Story) -> Table:
    table = Table(title="Segments", title_justify="left", box=None, pad_edge=False)
    for column in ("segment", "events", "batches", "trained by", "run again", "by"):
        table.add_column(column, justify="right" if column in {"segment", "batches"} else "left")
    for row in story.rows[:ROWS_MAX]:
        word = Text(f"{ICONS[row.tone]} {row.word}", style=STYLES[row.tone])
        cells = (str(row.index), row.events, str(row.batches), row.solver)
        table.add_row(*(Text(each) for each in cells), word, Text(row.verifiers))
    if len(story.rows) > ROWS_MAX:
        table.caption = f"… and {len(story.rows) - ROWS_MAX} more in the file"
    return table


def _parties(story: Story) -> Table:
    table = Table(title="\nSigned by", title_justify="left", box=None, pad_edge=False)
    for column in ("role", "name", "account", "known"):
        table.add_column(column)
    for each in story.parties:
        known = Text("✔ pinned", "green") if each.known else Text("? unknown", "yellow")
        account = Text(f"0x{each.account}", overflow="fold")
        table.add_row(Text(each.role), Text(each.name), account, known)
    return table


def _facts(story: Story) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in story.facts:
        table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    return table
