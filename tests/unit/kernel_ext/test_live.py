"""What a notebook shows while a job runs, and what is left of it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from gensyn_lightning.errors import CoordinatorUnavailable
from gensyn_lightning.launcher.board import Board
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.protocol.job import JobId
from kernel_ext import picture
from kernel_ext.live import LiveView, Still

HOSTILE = '<img src=x onerror="alert(1)">'


def running() -> Board:
    made = Board(JobId(Digest(b"\1" * 32)), 40, {"aa" * 20: HOSTILE})
    made.hear(1000, "leased", {"index": 0, "solver": "aa" * 20})
    made.hear(6000, "committed", {"index": 0, "end_event": 10, "batches": 10})
    made.hear(6000, "leased", {"index": 1, "solver": "aa" * 20})
    said = {"batch": 12, "step": 12, "epoch": 1, "metrics": {HOSTILE: "0.5"}}
    made.hear(7000, "progress", {"solve": {"index": 1, "said": said}})
    return made


class Handle:
    """Stands for the display of a notebook, which needs a kernel; keeps what it was given."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def update(self, value: Any) -> None:
        self.shown.append(value)


def html(view: LiveView) -> dict[str, Any]:
    assert view._widgets is not None
    return view._widgets._html


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> LiveView:
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    made = LiveView(lambda _: None)
    made.show()
    return made


def test_the_view_moves_with_the_job(view: LiveView) -> None:
    board = running()
    view.say("a network is started")
    view.follow(board)
    view.close()
    values = {name: each.value for name, each in html(view).items()}
    assert (
        "training · epoch 1 · batch 12 of 40 · 2.0 a second · 14 s left at most" in values["head"]
    )
    assert "a network is started" in values["log"]
    widgets = view._widgets
    assert widgets is not None
    assert (widgets._bar.value, widgets._bar.max) == (12, 40)
    assert "data:image/svg+xml" in values["curves"]
    assert HOSTILE not in "".join(values.values())


def test_a_network_that_does_not_answer_is_said(view: LiveView) -> None:
    view.follow(running())
    view.lost(CoordinatorUnavailable("nobody answers"))
    assert "reconnecting, last seen" in html(view)["head"].value


def test_the_button_stops_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    stopped: list[str] = []
    view = LiveView(stopped.append)
    view.show()
    view.follow(running())
    assert view._widgets is not None
    view._widgets.box.children[1].children[1].click()
    assert stopped == [running().name]


def test_what_stays_says_everything_without_a_widget() -> None:
    still = Still(running(), "no longer followed")
    shown = still._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html"}
    assert "no longer followed" in shown["text/html"]
    assert "<script" not in shown["text/html"]
    assert HOSTILE not in shown["text/html"]
    assert "batch 12" in shown["text/plain"]


def test_a_view_that_breaks_is_left_alone_and_says_so(
    view: LiveView, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> str:
        raise LookupError("shell_parent")

    monkeypatch.setattr(picture, "headline", broken)
    view.follow(running())
    view.update("more", always=True)
    assert capsys.readouterr().err.count("the view cannot be drawn, the job goes on") == 1
    handle = view._handle
    view.replace("the report")
    assert handle.shown == ["the report"]


def test_without_widgets_the_job_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    view = LiveView(lambda _: None)
    view.show()
    view.follow(running())
    view.freeze("over")
    assert "the view cannot be drawn" in capsys.readouterr().err


def test_another_state_is_shown_at_once(view: LiveView) -> None:
    board = Board(JobId(Digest(b"\1" * 32)))
    for at, kind in enumerate(("submitted", "escrowed")):
        board.hear(at, kind, {})
        view.follow(board)
    assert "waits for a machine" in html(view)["head"].value


@pytest.mark.parametrize(
    ("seconds", "said"), [(4.4, "4 s"), (75, "1 min 15 s"), (7380, "2 h 3 min")]
)
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert picture.duration(seconds) == said
