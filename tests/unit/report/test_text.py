from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from gensyn_lightning.report import text
from gensyn_lightning.report.story import Story, tell
from gensyn_lightning.report.trust import Pins
from gensyn_lightning.report.verify import verify


def shown(story: Story) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=200, color_system=None)
    console.print(text.render(story))
    console.print(text.checks(story))
    return stream.getvalue()


def test_the_terminal_shows_status_sentence_gaps_and_checks(paper: Any) -> None:
    played = paper(cheats=frozenset({1}))
    pins = played.pins()
    lines = shown(tell(verify(played.report(), pins), pins))
    assert lines.startswith("✔ VERIFIED")
    assert lines.index("Not checked") < lines.index("Segments") < lines.index("Signed by")
    assert "solver-2" in lines
    assert "FAIL" not in lines


def test_the_terminal_shows_what_was_logged(paper: Any) -> None:
    played = paper()
    pins = played.pins()
    story = tell(verify(played.report(), pins), pins)
    told = replace(story, curves={"loss": [(1, 4.0), (9, 0.5)], "never": []}, checkpoints=range(9))
    lines = [line.split() for line in shown(told).splitlines()]
    assert ["loss", "4", "█▁", "0.5"] in lines
    assert "checkpoints after step 0, 1, 2, 3, 4, 5 and 3 more" in shown(told)
    assert not any("never" in line for line in lines)


def test_unknown_signers_are_never_shown_as_verified(paper: Any) -> None:
    lines = shown(tell(verify(paper().report(), Pins()), Pins()))
    assert lines.startswith("? UNCONFIRMED")
    assert "If the signers are who they seem" in lines
    assert "? unknown" in lines


def test_a_broken_report_shows_what_broke(paper: Any) -> None:
    played = paper()
    report = played.report()
    lines = shown(tell(verify(report[:-1] + b" ", played.pins()), played.pins()))
    assert lines.startswith("✘ DOES NOT HOLD")
    assert "VERIFIED" not in lines


def test_nothing_from_a_report_steers_the_terminal(paper: Any) -> None:
    played = paper()

    def hostile(records: Any) -> None:
        records["segments"][0]["attempts"][0]["task"]["index"] = 7
        records["nodes"][0]["tier"] = "\x1b[2J\u202e"

    story = tell(verify(played.report(hostile), played.pins()), played.pins())
    assert "\x1b" not in shown(story)
    assert "\u202e" not in shown(story)
