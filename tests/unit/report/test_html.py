from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from gensyn_lightning.report import html
from gensyn_lightning.report.story import Party, Row, Story, Tone, tell
from gensyn_lightning.report.verify import verify

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def story(paper: Any) -> Story:
    played = paper(segments=4, cheats=frozenset({1}), slanders=frozenset({3}))
    pins = played.pins()
    return tell(verify(played.report(), pins), pins)


@pytest.mark.parametrize("view", [html.page, html.fragment])
def test_nothing_comes_from_the_network_and_nothing_runs(story: Story, view: Any) -> None:
    text = view(story)
    for tag, attributes in Tags(text).tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "form", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href"}:
                assert (value or "").startswith("data:image/")
    assert "http:" not in re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", text)
    assert "https:" not in text


def test_the_page_forbids_everything_but_its_own_style(story: Story) -> None:
    text = html.page(story)
    assert "default-src 'none'" in text
    assert "@media print" in text


@pytest.mark.parametrize("view", [html.page, html.fragment])
def test_hostile_names_stay_text(story: Story, view: Any) -> None:
    bad = replace(
        story,
        job=HOSTILE,
        statement=HOSTILE,
        check=HOSTILE,
        not_checked=[HOSTILE],
        rows=[Row(0, HOSTILE, 1, HOSTILE, HOSTILE, Tone.GOOD, HOSTILE)],
        disputes=[HOSTILE],
        parties=[Party(HOSTILE, HOSTILE, HOSTILE, True)],
        facts=[(HOSTILE, HOSTILE)],
    )
    allowed = {tag for tag, _ in Tags(view(story)).tags}
    assert {tag for tag, _ in Tags(view(bad, path=HOSTILE)).tags} <= allowed
    assert "alert(1)</script>" not in view(bad, path=HOSTILE)


def test_every_status_is_a_word_and_an_icon(story: Story) -> None:
    text = html.page(story)
    assert "✔ VERIFIED" in text
    assert "same bits" in text
    assert "accused, then upheld" in text
    assert "the solver was wrong, and the segment was trained again" in text


def test_what_was_not_checked_stands_before_the_details(story: Story) -> None:
    text = html.page(story)
    assert text.index("Not checked") < text.index("Segments") < text.index("Signed by")
