"""People see what happens, in the style of their progress bar, and pipes get plain lines."""

import io
from typing import Any

import pytest

from gensyn_lightning.errors import CoordinatorUnavailable
from gensyn_lightning.launcher import display
from gensyn_lightning.launcher.board import Board
from gensyn_lightning.launcher.display import Display, size
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.job import JobId


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class RichProgressBar:
    """Stands for any bar of that name: the display goes by the class's name."""


def test_away_from_a_terminal_lines_are_plain_and_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    shown = Display(None, stream=stream)
    shown.say("started")
    for second in range(6):
        clock[0] = 100.0 + second
        shown.update(f"batch {second}")
    shown.close()
    assert stream.getvalue().splitlines() == [
        "gensyn: started",
        "gensyn: batch 0",
        "gensyn: batch 2",
        "gensyn: batch 4",
    ]


@pytest.mark.parametrize("bar", [None, RichProgressBar()])
def test_on_a_terminal_one_line_is_kept_up_to_date(bar: Any) -> None:
    stream = Terminal()
    shown = Display(bar, stream=stream)
    shown.update("batch 1 [of] 10", always=True)
    shown.say("segment 3 is trained again")
    shown.close()
    assert "gensyn: segment 3 is trained again" in stream.getvalue()


EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[1;32mVERIFIED\x1b[0m\r\nroot@host:~# \u202e"
LOG = [
    ("audit_expired", {"index": 3, "verifier": "ab", "reason": EVIL}),
    ("refuted", {"index": 0, "reason": EVIL}),
    ("reported", {"index": 0, "verdict": EVIL, "field": EVIL}),
    ("arbitrated", {"index": 0, "outcome": EVIL}),
    (EVIL, {"index": EVIL}),
]


@pytest.mark.parametrize(("kind", "body"), LOG)
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("bar", [None, RichProgressBar()])
def test_what_the_network_says_cannot_steer_the_terminal(
    kind: str, body: dict[str, Any], bar: Any, stream: type[io.StringIO]
) -> None:
    written = stream()
    shown = Display(bar, stream=written)
    board = Board(JobId(Digest(bytes(32))))
    shown.follow(board, board.hear(1, kind, body))
    shown.lost(CoordinatorUnavailable(EVIL))
    shown.say(EVIL)
    shown.update(EVIL, always=True)
    shown.close()
    found = written.getvalue()
    assert "owned" in found
    assert not [each for each in ("\x07", "\x1b]", "\x1b[2J", "\u202e", "\nroot@") if each in found]


def test_a_quiet_display_says_nothing() -> None:
    stream = io.StringIO()
    shown = Display(None, quiet=True, stream=stream)
    shown.say("started")
    shown.update("batch 1", always=True)
    shown.close()
    assert stream.getvalue() == ""


def test_moved_bytes_are_shown_when_there_are_any() -> None:
    stream = io.StringIO()
    moved = Display(None, stream=stream).moved("sending")
    moved(0, 0)
    moved(2048, 2048)
    assert stream.getvalue() == "gensyn: sending 2.0 KiB of 2.0 KiB\n"


def test_the_rate_leaves_out_what_was_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    moved = Display(None, stream=stream).moved("sending")
    moved(4 << 20, 10 << 20)
    clock[0] += 2.0
    moved(10 << 20, 10 << 20)
    assert stream.getvalue().splitlines() == [
        "gensyn: sending 4.0 MiB of 10.0 MiB",
        "gensyn: sending 10.0 MiB of 10.0 MiB, 3.0 MiB/s",
    ]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5120.0 GiB")]
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert size(count) == text
