"""Draws docs/states.md from the transition tables, so that the pictures cannot drift."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from gensyn_lightning.protocol import attempt, audit, job, task

HOME = Path(__file__).parent / "states.md"
HEAD = "# State machines\n\nDrawn from the tables in `gensyn_lightning/protocol/` by `make docs`.\n"


def diagram(machine: ModuleType) -> str:
    """Return one machine as a Mermaid state diagram."""
    arrows = [
        f"    {before.name} --> {after.name}: {event.__name__}"
        for before, row in machine.TRANSITIONS.items()
        for event, after in row.items()
    ]
    final = [f"    {each.name} --> [*]" for each, row in machine.TRANSITIONS.items() if not row]
    first = next(iter(machine.TRANSITIONS)).name
    lines = ["stateDiagram-v2", f"    [*] --> {first}", *arrows, *final]
    title = machine.__name__.rpartition(".")[2]
    return f"## {title}\n\n```mermaid\n" + "\n".join(lines) + "\n```\n"


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(diagram(each) for each in (job, task, attempt, audit))])


if __name__ == "__main__":
    HOME.write_text(page())
