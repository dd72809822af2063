"""A checked report as a cell's output: static HTML, with the same words as plain text beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gensyn_lightning.errors import GensynError


class Told(GensynError):
    """An error that a notebook shows in one line, without the path it took through our code."""

    def _render_traceback_(self) -> list[str]:
        return [f"gensyn: {self}"]


class ReportView:
    """What a cell shows of a report; `path` is its file, `status` its one word."""

    def __init__(self, path: Path) -> None:
        from gensyn_lightning.cli.verify import examine
        from gensyn_lightning.report.story import tell

        done, pins = examine(path, [])
        self.path = path
        self.story = tell(done, pins)

    @property
    def status(self) -> str:
        """The report's status, or what is wrong with it."""
        return self.story.status

    def save_html(self, path: Path) -> None:
        """Write the report as one HTML file."""
        from gensyn_lightning.report.html import page

        path.write_text(page(self.story, path=self.path.name), encoding="utf-8")

    def __repr__(self) -> str:
        from gensyn_lightning.report.text import plain

        return plain(self.story)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from gensyn_lightning.report.html import fragment

        return {
            "text/plain": repr(self),
            "text/html": fragment(self.story, path=self.path.name),
        }
