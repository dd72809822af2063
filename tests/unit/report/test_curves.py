"""Curves are pictures with words, and hold whatever was logged."""

from __future__ import annotations

import math
from xml.etree import ElementTree as Xml

from gensyn_lightning.report.curves import describe, plot, spark

SVG = "{http://www.w3.org/2000/svg}"
SERIES = {"loss": [(0, 2.0), (10, 0.5)], "val <b>": [(10, math.nan), (10, 0.75)]}


def test_every_curve_is_a_line_a_name_and_its_last_number() -> None:
    drawn = Xml.fromstring(plot(SERIES, [5, 99]))
    assert len(drawn.findall(f"{SVG}polyline")) == 2
    words = [each.text for each in drawn.iter(f"{SVG}text")]
    assert "loss 0.5" in words
    assert "val <b> 0.75" in words
    assert [each.text for each in drawn.iter(f"{SVG}title")][1:] == ["checkpoint after step 5"]


def test_the_picture_says_what_it_shows() -> None:
    assert describe({"loss": SERIES["loss"]}) == "loss from 2 to 0.5"
    assert describe({}) == "nothing logged"
    assert Xml.fromstring(plot({})).get("aria-label") == "nothing logged"


def test_names_and_numbers_of_strangers_leave_a_picture_that_can_be_read() -> None:
    drawn = Xml.fromstring(plot({"a\x08\x1bb": [(1, 1e308), (2, -1e308), (3, 1.0)]}))
    [line] = drawn.findall(f"{SVG}polyline")
    assert "nan" not in line.get("points", "")


def test_a_curve_of_one_value_has_a_place() -> None:
    for value in (0.0, -3.0, 1e300):
        places = Xml.fromstring(plot({"flat": [(4, value), (4, value)]}))
        [line] = places.findall(f"{SVG}polyline")
        assert all(
            math.isfinite(float(each)) for each in line.get("points", "").replace(",", " ").split()
        )


def test_a_curve_fits_into_a_few_letters() -> None:
    assert spark([(3, 8.0), (4, 1.0), (5, 4.5), (9, 8.0)], 40) == "█▁▅█"
    assert spark([(0, 0.0)], 40) == "▁"
    assert spark([(0, math.nan)], 40) == spark([], 40) == ""
    falling = spark([(at, 1000.0 - at) for at in range(1000)], 40)
    assert (len(falling), falling[0], falling[-1]) == (40, "█", "▁")
    assert len(spark([(0, 1.0), (-(2**60), 1e308), (2**60, -1e300)], 40)) <= 40
