"""How a job stands as a picture needs it: every segment's stage, who is at work, the curves.

It is built from a job's log alone, so it looks the same to whoever comes later. What runners say
of themselves in between (progress) adds the newest points of the curves; it is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from gensyn_lightning.launcher.standing import LOST, Standing
from gensyn_lightning.protocol.job import JobId, display_id
from gensyn_lightning.wire.jobs import PROGRESS

SERIES_MAX = 8
POINTS_MAX = 2000
LINES_MAX = 20
NAME_CHARS_MAX = 40


class Stage(Enum):
    """How far a segment is, in the words people see."""

    TRAINING = "is trained"
    HANDED_IN = "handed in"
    CHECKED = "is run again"
    DISPUTED = "disputed"
    LOST = "to be trained again"
    ACCEPTED = "accepted"
    SAME_BITS = "same bits"


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment; `batches` is 0 until it was handed in."""

    index: int
    stage: Stage
    solver: str = ""
    batches: int = 0
    verifiers: tuple[str, ...] = ()


@dataclass(slots=True)
class Board:
    """What a live view shows of one job.

    `batches_max` is how many training batches the fit has at most, 0 if that is unknown, `names`
    how people call the nodes, by account in hexadecimal.
    """

    job: JobId
    batches_max: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    state: str = "waits for the network"
    pieces: dict[int, Piece] = field(default_factory=dict)
    at_work: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    receipt: str = ""
    began_ms: int = 0
    seen_ms: int = 0

    @property
    def name(self) -> str:
        """The job's name as people see it."""
        return display_id(self.job)

    @property
    def batches(self) -> int:
        """How many batches are trained, as far as anybody has said."""
        return self.standing.batches_seen

    @property
    def rate(self) -> float:
        """Batches per second since training began, 0 before that can be said."""
        seconds = (self.seen_ms - self.began_ms) / 1000
        return self.batches / seconds if self.began_ms and seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """How many seconds are left at this rate, None if nobody can say."""
        if not self.batches_max or not self.rate or self.is_over:
            return None
        return max(self.batches_max - self.batches, 0) / self.rate

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.state in {"done", "stopped"}

    def hear(self, at_ms: int, kind: str, body: Mapping[str, Any]) -> str:
        """Take in an entry of the log or progress; return what is worth saying at once."""
        self.seen_ms = max(self.seen_ms, at_ms)
        if kind == PROGRESS:
            self.standing.progress(body)
            self._measure(body)
            return ""
        said = self.standing.hear(kind, body)
        if said:
            self.say(said)
        self._advance(at_ms, kind, body)
        return said

    def say(self, text: str) -> None:
        """Add a line to the tail of the log."""
        self.lines = [*self.lines, text][-LINES_MAX:]

    def draw(self, series: Mapping[str, list[tuple[int, float]]]) -> None:
        """Put whole curves in place of what progress has told of them."""
        self.series = {name: thin(points) for name, points in list(series.items())[:SERIES_MAX]}

    def called(self, account: str) -> str:
        """Return what people call a node."""
        return self.names.get(account) or f"{account[:6]}…" if account else "nobody"

    def _advance(self, at_ms: int, kind: str, body: Mapping[str, Any]) -> None:
        match kind:
            case "submitted":
                self.state = "waits for its deposit"
            case "escrowed":
                self.state = "waits for a machine"
            case "settling":
                self.state = "is being paid for"
            case "settled":
                self._end("done")
                self.receipt = f"0x{body['tx']}"
            case "stopped":
                self.state = "is being stopped"
            case "refunded":
                self._end("stopped")
            case _ if "index" in body or kind == "voided":
                self._move(at_ms, kind, body)

    def _end(self, state: str) -> None:
        self.state = state
        self.at_work.clear()

    def _move(self, at_ms: int, kind: str, body: Mapping[str, Any]) -> None:
        """Move one segment to another stage."""
        index = int(body.get("index", 0))
        match kind:
            case "leased":
                self.state = "training"
                self.began_ms = self.began_ms or at_ms
                self._sit_down(body["solver"], f"trains segment {index}")
                self._put(Piece(index, Stage.TRAINING, self.called(body["solver"])))
            case "committed":
                self._stand_up(f"trains segment {index}")
                self._turn(index, Stage.HANDED_IN, batches=int(body["batches"]))
            case "accepted":
                again = int(body.get("replayed", 0)) > 0
                self._turn(index, Stage.SAME_BITS if again else Stage.ACCEPTED)
            case "voided":
                first = int(body["first_index"])
                self.pieces = {at: each for at, each in self.pieces.items() if at < first}
            case _ if kind in LOST:
                self._stand_up(f"trains segment {index}")
                self._turn(index, Stage.LOST)
            case _:
                self._check(index, kind, body)

    def _check(self, index: int, kind: str, body: Mapping[str, Any]) -> None:
        """Take in what happens to the replay of one segment."""
        work = f"runs segment {index} again"
        match kind:
            case "drawn" | "replaying":
                who = self.called(body["verifier"])
                if kind == "replaying":
                    self._sit_down(body["verifier"], work)
                before = self.pieces[index].verifiers if index in self.pieces else ()
                self._turn(index, Stage.CHECKED, verifiers=tuple(dict.fromkeys((*before, who))))
            case "promised" | "audit_expired":
                self._stand_up(work)
            case "disputed":
                self._turn(index, Stage.DISPUTED)

    def _turn(self, index: int, stage: Stage, **changes: Any) -> None:
        piece = self.pieces.get(index) or Piece(index, stage)
        self._put(replace(piece, stage=stage, **changes))

    def _put(self, piece: Piece) -> None:
        self.pieces[piece.index] = piece

    def _sit_down(self, account: str, work: str) -> None:
        self.at_work[self.called(account)] = work

    def _stand_up(self, work: str) -> None:
        self.at_work = {who: what for who, what in self.at_work.items() if what != work}

    def _measure(self, body: Mapping[str, Any]) -> None:
        """Add what the runner that trains has measured to the curves."""
        solve = body.get("solve")
        if not isinstance(solve, Mapping) or not isinstance(solve.get("said"), Mapping):
            return
        at = self.standing.step
        for name, value in self.standing.metrics.items():
            if name not in self.series and len(self.series) >= SERIES_MAX:
                continue
            points = self.series.setdefault(name[:NAME_CHARS_MAX], [])
            if not points or at > points[-1][0]:
                points.append((at, value))
                self.series[name[:NAME_CHARS_MAX]] = thin(points)


def thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the points, every other one left out while there are too many; the last one stays."""
    while len(points) > POINTS_MAX:
        points = points[:-1:2] + points[-1:]
    return points
