"""Logged numbers as a picture: a line for each, over steps, with words and numbers for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from gensyn_lightning.report.finding import printable
from gensyn_lightning.report.svg import WIDTH, document

Points = Sequence[tuple[int, float]]

LINE_COLOURS = (
    "#0969da",
    "#bc4c00",
    "#8250df",
    "#1a7f37",
    "#bf3989",
    "#57606a",
    "#9a6700",
    "#cf222e",
)
CURVES_MAX = len(LINE_COLOURS)
DASHES = ("", "7 3", "2 3", "9 3 2 3")
HEIGHT = 190
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
NAME_CHARS_MAX = 24
VALUE_MAX = 1e300
LEGEND_PER_ROW = 4
BARS = "▁▂▃▄▅▆▇█"


def plot(series: Mapping[str, Points], checkpoints: Sequence[int] = ()) -> str:
    """Return an SVG document of at most eight curves over the optimizer step.

    Values that are not finite, or so large that their differences are not, are left out.
    `checkpoints` are steps after which a checkpoint was written; each is a mark on the axis.
    """
    shown = {
        printable(name): kept for name, points in series.items() if (kept := _drawable(points))
    }
    shown = dict(list(shown.items())[:CURVES_MAX])
    if not shown:
        nothing = '<text x="8" y="24" font-size="13">nothing logged yet</text>'
        return document(HEIGHT, describe(shown), nothing)
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    frame = _Frame(min(xs), max(xs), min(ys), max(ys))
    lines = "".join(
        _line(frame, place, name, points) for place, (name, points) in enumerate(shown.items())
    )
    marks = "".join(_mark(frame, each) for each in checkpoints if min(xs) <= each <= max(xs))
    return document(HEIGHT, describe(shown), frame.axes() + lines + marks)


def describe(series: Mapping[str, Points]) -> str:
    """Return what the picture shows, in words: where every curve begins and ends."""
    parts = [
        f"{printable(name)} from {points[0][1]:.4g} to {points[-1][1]:.4g}"
        for name, points in series.items()
        if points
    ]
    return "; ".join(parts) if parts else "nothing logged"


def spark(points: Points, columns: int) -> str:
    """Return one curve in at most `columns` letters, each as high as the last value under it."""
    shown = _drawable(points)
    if not shown:
        return ""
    low, high = min(y for _, y in shown), max(y for _, y in shown)
    first, last = min(x for x, _ in shown), max(x for x, _ in shown)
    letters: dict[int, str] = {}
    for x, y in shown:
        level = (y - low) / (high - low) if high > low else 0.0
        column = (x - first) * columns // max(last - first + 1, columns)
        letters[column] = BARS[round(level * (len(BARS) - 1))]
    return "".join(letter for _, letter in sorted(letters.items()))


class _Frame:
    """Where numbers lie in the picture."""

    def __init__(self, left: float, right: float, low: float, high: float) -> None:
        self.left, self.right = left, right if right > left else left + 1
        margin = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
        self.low, self.high = low - margin, high + margin

    def x(self, value: float) -> float:
        """Return the horizontal place of a step."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.left) / (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the vertical place of a number."""
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - value) / (self.high - self.low)

    def axes(self) -> str:
        """Return the two axes with their ends, and a line half way up."""
        base, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        middle = (self.low + self.high) / 2
        grid = "".join(
            f'<line x1="{LEFT}" y1="{self.y(each):.1f}" x2="{right}" y2="{self.y(each):.1f}"'
            f' stroke="#d0d7de"/><text x="{LEFT - 6}" y="{self.y(each) + 4:.1f}" font-size="11"'
            f' text-anchor="end" fill="#57606a">{each:.3g}</text>'
            for each in (self.low, middle, self.high)
        )
        return (
            f'{grid}<text x="{LEFT}" y="{base + 14}" font-size="11" fill="#57606a">step'
            f' {self.left:g}</text><text x="{right}" y="{base + 14}" font-size="11"'
            f' text-anchor="end" fill="#57606a">{self.right:g}</text>'
        )


def _line(frame: _Frame, place: int, name: str, points: Points) -> str:
    colour, dash = LINE_COLOURS[place], DASHES[place % len(DASHES)]
    path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    x, y = points[-1]
    column, row = place % LEGEND_PER_ROW, place // LEGEND_PER_ROW
    left, top = LEFT + column * 176, HEIGHT - 18 + row * 14
    label = escape(f"{name[:NAME_CHARS_MAX]} {y:.4g}")
    style = f'stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}"'
    return (
        f'<polyline points="{path}" fill="none" {style}/>'
        f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.5" fill="{colour}"/>'
        f'<line x1="{left}" y1="{top}" x2="{left + 18}" y2="{top}" {style}/>'
        f'<text x="{left + 23}" y="{top + 4}" font-size="12">{label}</text>'
    )


def _mark(frame: _Frame, step: int) -> str:
    x, base = frame.x(step), HEIGHT - BOTTOM
    return (
        f"<g><title>checkpoint after step {step}</title>"
        f'<path d="M{x:.1f} {base - 7} l4 7 h-8 z" fill="#1f2328"/></g>'
    )


def _drawable(points: Points) -> list[tuple[int, float]]:
    return [(x, y) for x, y in points if abs(y) <= VALUE_MAX]
