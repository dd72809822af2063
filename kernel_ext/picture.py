"""A job under way as HTML: what a live view shows, and what stays of it when it cannot move.

Every text is escaped: names come from machines nobody trusts.
"""

from __future__ import annotations

from html import escape

from gensyn_lightning.launcher.board import Board, Piece, Stage
from gensyn_lightning.report.curves import describe as told
from gensyn_lightning.report.curves import plot
from gensyn_lightning.report.html import image
from gensyn_lightning.report.story import Row, Tone
from gensyn_lightning.report.svg import describe, timeline

_TONES = {
    Stage.TRAINING: Tone.PLAIN,
    Stage.HANDED_IN: Tone.PLAIN,
    Stage.CHECKED: Tone.PLAIN,
    Stage.ACCEPTED: Tone.PLAIN,
    Stage.DISPUTED: Tone.WARN,
    Stage.LOST: Tone.BAD,
    Stage.SAME_BITS: Tone.GOOD,
}
_LOG = "font:12px monospace;white-space:pre-wrap;margin:0;max-height:9em;overflow:auto"
_SMALL = "font-size:12px;color:#57606a"


def headline(board: Board, connection: str = "") -> str:
    """Return the job, what it is doing, how fast and for how long still."""
    parts = [board.state]
    if board.said.epoch is not None and not board.is_over:
        parts.append(f"epoch {board.said.epoch}")
    of = f" of {board.batches_max}" if board.batches_max else ""
    parts.append(f"batch {board.batches}{of}")
    if board.rate and not board.is_over:
        parts.append(f"{board.rate:.1f} a second")
    if board.left_s is not None:
        parts.append(f"{duration(board.left_s)} left at most")
    parts += [connection] if connection else []
    return f"<b>{escape(board.name)}</b> {escape(' · '.join(parts))}"


def segments(board: Board) -> str:
    """Return the timeline of the segments and who is at work."""
    rows = [_row(each) for _, each in sorted(board.pieces.items())]
    if not rows:
        return ""
    at_work = ", ".join(f"{who} {what}" for who, what in board.workers)
    text = f'<div style="{_SMALL}">{escape(at_work or "nobody is at work")}</div>'
    return image(timeline(rows), describe(rows)) + text


def drawn(board: Board) -> str:
    """Return the curves."""
    return image(plot(board.series), told(board.series)) if board.series else ""


def log(board: Board) -> str:
    """Return the last lines of the log."""
    lines = "\n".join(escape(each) for each in board.lines)
    return f'<pre style="{_LOG}">{lines}</pre>' if lines else ""


def still(board: Board, note: str = "") -> str:
    """Return everything at once, for a page that does not move."""
    parts = (headline(board, note), drawn(board), segments(board), log(board))
    return f'<div style="max-width:780px">{"".join(f"<div>{each}</div>" for each in parts)}</div>'


def words(board: Board) -> str:
    """Return the same as a few lines of plain text."""
    lines = [f"{board.name}: {board.state}, {board.line()}"]
    lines += [f"{who} {what}" for who, what in board.workers]
    return "\n".join([*lines, *board.lines])


def duration(seconds: float) -> str:
    """Return seconds for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _row(piece: Piece) -> Row:
    return Row(
        index=piece.index,
        events="",
        batches=piece.batches,
        solver=piece.solver,
        word=piece.stage.value,
        tone=_TONES[piece.stage],
        verifiers=", ".join(piece.verifiers),
    )
