"""The segments of a fit as a picture: a bar for each, as long as its batches, and words for it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from gensyn_lightning.report.story import ICONS, Row, Tone

COLOURS = {Tone.GOOD: "#1a7f37", Tone.PLAIN: "#6e7781", Tone.WARN: "#9a6700", Tone.BAD: "#cf222e"}
WIDTH, HEIGHT, BAR_TOP, BAR_HEIGHT = 760, 64, 8, 28
BARS_MAX = 400
LABEL_WIDTH_MIN = 22


def timeline(rows: Sequence[Row]) -> str:
    """Return an SVG document; many segments are drawn several to a bar, the worst of them shown."""
    bars = _bars(rows)
    total = sum(count for count, _, _ in bars) or 1
    parts, left = [], 0.0
    for count, row, label in bars:
        width = WIDTH * count / total
        parts.append(_bar(left, width, row, label))
        left += width
    words = sorted({(row.tone.value, ICONS[row.tone], row.word, row.tone) for row in rows})
    legend = "".join(
        f'<text x="{8 + 190 * place}" y="{HEIGHT - 8}" fill="{COLOURS[tone]}" font-size="13">'
        f"{icon} {escape(word)}</text>"
        for place, (_, icon, word, tone) in enumerate(words[:4])
    )
    return document(HEIGHT, describe(rows), "".join(parts) + legend)


def document(height: int, described: str, content: str) -> str:
    """Return an SVG document of the usual width that says in words what it shows."""
    said = escape(described)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="{said}" font-family="sans-serif">'
        f"<title>{said}</title>{content}</svg>"
    )


def data_uri(svg: str) -> str:
    """Return the picture as an address that needs no network."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def describe(rows: Sequence[Row]) -> str:
    """Return what the picture shows, in words."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.word] = counts.get(row.word, 0) + 1
    listed = ", ".join(f"{count} {word}" for word, count in counts.items())
    return f"{len(rows)} segments: {listed}" if rows else "no segments"


def _bars(rows: Sequence[Row]) -> list[tuple[int, Row, str]]:
    step = -(-len(rows) // BARS_MAX) or 1
    order = [Tone.BAD, Tone.WARN, Tone.PLAIN, Tone.GOOD]
    bars = []
    for start in range(0, len(rows), step):
        group = rows[start : start + step]
        worst = min(group, key=lambda each: order.index(each.tone))
        last = group[-1].index
        label = str(group[0].index) if len(group) == 1 else f"{group[0].index}–{last}"
        bars.append((sum(max(each.batches, 1) for each in group), worst, label))
    return bars


def _bar(left: float, width: float, row: Row, label: str) -> str:
    centre = left + width / 2
    shown = f"{ICONS[row.tone]}{label}" if width >= LABEL_WIDTH_MIN else ""
    return (
        f'<g><title>segment {label}: {escape(row.word)}</title><rect x="{left:.2f}" y="{BAR_TOP}"'
        f' width="{max(width - 1, 0.5):.2f}" height="{BAR_HEIGHT}" fill="{COLOURS[row.tone]}"/>'
        f'<text x="{centre:.2f}" y="{BAR_TOP + 19}" fill="#fff" font-size="11"'
        f' text-anchor="middle">{shown}</text></g>'
    )
