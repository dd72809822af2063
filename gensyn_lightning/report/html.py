"""A report as one HTML file, or as a fragment for a notebook: no scripts, nothing from the network.

Every text is escaped, because names and versions come from machines nobody trusts. Meaning never
hangs on colour: each status is a word and an icon as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from gensyn_lightning.report.curves import describe as told
from gensyn_lightning.report.curves import plot
from gensyn_lightning.report.finding import Result
from gensyn_lightning.report.story import ICONS, ROWS_MAX, Party, Row, Story
from gensyn_lightning.report.svg import COLOURS, data_uri, describe, timeline

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:780px;margin:2rem auto;padding:0 1rem;
color:#1f2328;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #d0d7de;
vertical-align:top;overflow-wrap:anywhere}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
svg{max-width:100%;height:auto}
@media print{body{margin:0;max-width:none}details{display:block}h2{break-after:avoid}
tr{break-inside:avoid}}
"""
_MARKS = {Result.PASS: "✔", Result.FAIL: "✘", Result.SKIP: "–", Result.OPEN: "?"}


def page(story: Story, *, path: str = "report.json") -> str:
    """Return a whole document that can be mailed, printed and opened without a network."""
    title = escape(f"{story.job}: {story.status}")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f"{_body(story, path, _drawn)}</body></html>\n"
    )


def fragment(story: Story, *, path: str = "report.json") -> str:
    """Return what a notebook shows; the picture is an image, which an untrusted notebook keeps."""
    return f'<div style="max-width:780px">{_body(story, path, image)}</div>'


def image(svg: str, described: str) -> str:
    """Return a picture as an image in itself, which a sanitizer keeps."""
    return f'<img src="{data_uri(svg)}" alt="{escape(described)}" style="max-width:100%">'


def _drawn(svg: str, described: str) -> str:
    return svg


def _body(story: Story, path: str, draw: Callable[[str, str], str]) -> str:
    rows, curves = story.rows, story.curves
    lines = draw(plot(curves, story.checkpoints), told(curves)) if curves else ""
    bars = draw(timeline(rows), describe(rows)) if rows else ""
    return "".join(
        (
            _banner(story),
            _section("Not checked", _list(story.not_checked)),
            _section("Logged while training", lines),
            _section("Segments", bars + _segments(rows)),
            _section("Contradictions", _list(story.disputes)),
            _section("Signed by", _parties(story.parties)),
            _section("Facts", _facts(story.facts)),
            _section("Check it yourself", f"<code>gensyn verify {escape(path)}</code>"),
            _checks(story),
        )
    )


def _banner(story: Story) -> str:
    colour = COLOURS[story.tone]
    return (
        f'<div style="border-left:6px solid {colour};padding:.3rem 1rem">'
        f'<h1><span style="color:{colour}">{ICONS[story.tone]} {escape(story.status)}</span> '
        f"<small>{escape(story.job)}</small></h1><p>{escape(story.statement)}</p>"
        f"<p>Check of the report: <b>{escape(story.check)}</b>.</p></div>"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>{content}" if content else ""


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in lines)}</ul>" if lines else ""


def _segments(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    cells = [
        (
            str(row.index),
            row.events,
            str(row.batches),
            row.solver,
            f"{ICONS[row.tone]} {row.word}",
            row.verifiers,
        )
        for row in rows[:ROWS_MAX]
    ]
    more = len(rows) - ROWS_MAX
    note = f"<p>… and {more} more in the file.</p>" if more > 0 else ""
    head = ("segment", "events", "batches", "trained by", "run again", "by")
    return _table(cells, head) + note


def _parties(parties: Sequence[Party]) -> str:
    cells = [
        (each.role, each.name, f"0x{each.account}", "✔ pinned" if each.known else "? unknown")
        for each in parties
    ]
    return _table(cells, ("role", "name", "account", "known")) if cells else ""


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return _table(facts) if facts else ""


def _checks(story: Story) -> str:
    cells = [
        (
            f"L{each.level.value}",
            f"{_MARKS[each.result]} {each.result.value}",
            each.name,
            each.detail,
        )
        for each in story.findings
    ]
    passed = sum(each.result is Result.PASS for each in story.findings)
    summary = f"{passed} of {len(story.findings)} checks passed"
    return f"<details><summary>{summary}</summary>{_table(cells)}</details>" if cells else ""


def _table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    top = "".join(f"<th>{escape(each)}</th>" for each in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(each)}</td>' for each in row)}</tr>" for row in rows
    )
    return f"<table>{f'<thead><tr>{top}</tr></thead>' if top else ''}<tbody>{body}</tbody></table>"
