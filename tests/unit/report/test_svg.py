from __future__ import annotations

from xml.etree import ElementTree

from gensyn_lightning.report.story import Row, Tone
from gensyn_lightning.report.svg import BARS_MAX, WIDTH, data_uri, describe, timeline

NAMESPACE = "{http://www.w3.org/2000/svg}"


def row(index: int, tone: Tone = Tone.GOOD, word: str = "same bits", batches: int = 1) -> Row:
    return Row(index, "0–9", batches, "solver", word, tone, "verifier")


def bars(rows: list[Row]) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(timeline(rows)).iter(f"{NAMESPACE}rect"))


def test_a_bar_is_as_long_as_its_batches() -> None:
    first, second = bars([row(0, batches=3), row(1, batches=1)])
    assert float(first.get("width", 0)) == WIDTH * 3 / 4 - 1
    assert float(second.get("x", 0)) == WIDTH * 3 / 4


def test_many_segments_share_bars_and_the_worst_shows() -> None:
    rows = [row(each) for each in range(5 * BARS_MAX)]
    rows[7] = row(7, Tone.BAD, "wrong")
    drawn = bars(rows)
    assert len(drawn) == BARS_MAX
    assert len({each.get("fill") for each in drawn}) == 2


def test_the_picture_is_described_in_words() -> None:
    rows = [row(0), row(1), row(2, Tone.PLAIN, "not run again")]
    assert describe(rows) == "3 segments: 2 same bits, 1 not run again"
    assert describe(rows) in timeline(rows)


def test_no_segments_are_no_bars() -> None:
    assert bars([]) == []


def test_the_picture_needs_no_network() -> None:
    assert data_uri(timeline([row(0)])).startswith("data:image/svg+xml;base64,")
