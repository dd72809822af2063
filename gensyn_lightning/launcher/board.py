"""How a job stands as a picture needs it: every segment's stage, who is at work, the curves.

It is built from a job's log alone, so it looks the same to whoever comes later. What runners say
of themselves in between (progress) adds the newest points of the curves; it is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from gensyn_lightning.launcher.remark import LOST, reason, remark
from gensyn_lightning.launcher.said import NAME_CHARS_MAX, Said
from gensyn_lightning.protocol.job import JobId, display_id
from gensyn_lightning.report.finding import printable
from gensyn_lightning.wire.jobs import PROGRESS

SERIES_MAX, METRICS_SHOWN = 8, 3
POINTS_MAX = 2000
LINES_MAX = 20
LINE_CHARS_MAX = 500


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
    """One segment; `batches` is 0 while nothing of it is handed in."""

    index: int
    stage: Stage
    solver: str = ""
    batches: int = 0
    verifiers: tuple[str, ...] = ()

    @property
    def is_handed_in(self) -> bool:
        """Whether there is a result of it that stands."""
        return self.stage not in {Stage.TRAINING, Stage.LOST}

    @property
    def is_accepted(self) -> bool:
        """Whether its solver is to be paid for it."""
        return self.stage in {Stage.ACCEPTED, Stage.SAME_BITS}


@dataclass(slots=True)
class Board:
    """What a live view shows of one job.

    `batches_max` is how many training batches the fit has at most, 0 if that is unknown, `names`
    how people call the nodes, by account in hexadecimal, as `at_work` names them. `said` is what
    the runner that trains said last, `trouble` why a segment was lost last.
    """

    job: JobId
    batches_max: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    said: Said = field(default_factory=Said)
    trouble: str = ""
    state: str = "waits for the network"
    pieces: dict[int, Piece] = field(default_factory=dict)
    at_work: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    began_ms: int = 0
    seen_ms: int = 0
    segments: int = 0
    accepted: int = 0
    checks_wanted: int = 0
    checks_done: int = 0
    _handed_in: int = 0
    _effort: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The job's name as people see it."""
        return display_id(self.job)

    @property
    def batches(self) -> int:
        """How many batches are trained, those of the segment under way as far as it is said."""
        return max(self._handed_in, self.said.batch)

    @property
    def effort(self) -> tuple[float, float]:
        """Seconds spent training and on digests, as runners last said of each segment."""
        spent = self._effort.values()
        return sum(each for each, _ in spent), sum(each for _, each in spent)

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
        """Take in an entry of the log or progress; return what is worth saying at once.

        An entry that makes no sense is said and left out: it comes off the network, and a job is
        not lost by what a view cannot show.
        """
        self.seen_ms = max(self.seen_ms, at_ms)
        try:
            said = self._hear(at_ms, kind, body)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            said = f"an entry of the log cannot be read ({kind}: {error!r})"
        if said:
            self.say(said)
        return said

    def _hear(self, at_ms: int, kind: str, body: Mapping[str, Any]) -> str:
        if kind == PROGRESS:
            self._progress(body)
            return ""
        self._advance(at_ms, kind, body)
        return remark(kind, body)

    def line(self) -> str:
        """Return where the job stands, for people."""
        parts = [] if self.said.epoch is None else [f"epoch {self.said.epoch}"]
        parts.append(f"batch {self.batches}")
        shown = list(self.said.metrics.items())[:METRICS_SHOWN]
        parts.extend(f"{name} {value:.4g}" for name, value in shown)
        text = ", ".join(parts)
        text += f" | {self.segments} segments, {self.accepted} accepted"
        if self.checks_wanted:
            text += f", {self.checks_done} of {self.checks_wanted} checks"
        return text

    def say(self, text: str) -> None:
        """Add a line to the tail of the log."""
        self.lines = [*self.lines, printable(text, chars_max=LINE_CHARS_MAX)][-LINES_MAX:]

    def draw(self, series: Mapping[str, list[tuple[int, float]]]) -> None:
        """Put whole curves in place of what progress has told of them."""
        self.series = {
            printable(name, chars_max=NAME_CHARS_MAX): thin(points)
            for name, points in list(series.items())[:SERIES_MAX]
        }

    def called(self, account: str) -> str:
        """Return what people call a node."""
        name = printable(self.names.get(account, ""), chars_max=NAME_CHARS_MAX)
        return name or (f"{account[:6]}…" if account else "nobody")

    @property
    def workers(self) -> list[tuple[str, str]]:
        """Who is at work on what, in the words people see."""
        return [(self.called(account), work) for account, work in sorted(self.at_work.items())]

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
                if self.state != "is being stopped":
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
                for lost in [at for at in self.pieces if at >= first]:
                    self._stand_up(f"trains segment {lost}")
                    self._count(self.pieces.pop(lost), -1)
                self.said = replace(self.said, batch=0)
            case _ if kind in LOST:
                self._stand_up(f"trains segment {index}")
                self._turn(index, Stage.LOST, batches=0)
                self.trouble = reason(kind, body)
                self.said = replace(self.said, batch=0)
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
                else:
                    self.checks_wanted += 1
                before = self.pieces[index].verifiers if index in self.pieces else ()
                self._turn(index, Stage.CHECKED, verifiers=tuple(dict.fromkeys((*before, who))))
            case "promised":
                self._stand_up(work)
            case "reported":
                self.checks_done += 1
            case "audit_expired":
                self._stand_up(work)
                self.checks_done += 1
            case "disputed":
                self._turn(index, Stage.DISPUTED)

    def _turn(self, index: int, stage: Stage, **changes: Any) -> None:
        piece = self.pieces.get(index) or Piece(index, stage)
        self._put(replace(piece, stage=stage, **changes))

    def _put(self, piece: Piece) -> None:
        before = self.pieces.get(piece.index)
        if before is not None:
            self._count(before, -1)
        self._count(piece, 1)
        self.pieces[piece.index] = piece

    def _count(self, piece: Piece, sign: int) -> None:
        """Count a segment, or with -1 no longer."""
        self.segments += sign * piece.is_handed_in
        self.accepted += sign * piece.is_accepted
        self._handed_in += sign * piece.batches

    def _sit_down(self, account: str, work: str) -> None:
        self.at_work[account] = work

    def _stand_up(self, work: str) -> None:
        self.at_work = {who: what for who, what in self.at_work.items() if what != work}

    def _progress(self, body: Mapping[str, Any]) -> None:
        """Add what the runner that trains has measured to the curves."""
        said = Said.read(body, self.said)
        if said is None:
            return
        self.said = said
        if said.index in self.pieces:
            self._effort[said.index] = (said.seconds, said.hash_seconds)
        for name, value in said.metrics.items():
            if name not in self.series and len(self.series) >= SERIES_MAX:
                continue
            # What was lost is trained again, from an earlier step on.
            before = [point for point in self.series.get(name, []) if point[0] < said.step]
            self.series[name] = thin([*before, (said.step, value)])


def thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the points, every other one left out while there are too many; the last one stays."""
    while len(points) > POINTS_MAX:
        points = points[:-1:2] + points[-1:]
    return points
