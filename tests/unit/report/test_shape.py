from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.protocol.jsonform import to_json
from gensyn_lightning.protocol.parameters import EMBEDDED, Parameters
from gensyn_lightning.report.shape import (
    Amount,
    Count,
    Exactly,
    Flag,
    Hex,
    ListOf,
    MapOf,
    Maybe,
    Members,
    OneOf,
    Shape,
    Text,
    record,
)


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        (Exactly("a"), ["a"], ["b", 1, None]),
        (Text(2), ["", "ab"], ["abc", 1, None]),
        (Hex(2), ["00ff"], ["00FF", "00f", "00f ", "0x00ff", 1, None, ["0"] * 4]),
        (Amount(), ["0", "10"], ["01", "-1", "1.0", "", 1, "٣"]),
        (Count(), [0, 2**53 - 1], [-1, 2**53, 1.5, True, "1", None]),
        (Flag(), [True, False], [0, 1, "true", None]),
        (OneOf(("A", "B")), ["A"], ["a", 1, None]),
        (Maybe(Count()), [None, 1], ["", -1]),
        (ListOf(Count(), 2), [[], [1, 2]], [[1, 2, 3], [-1], {}, "ab", None]),
        (MapOf(Hex(1), Count(), 1), [{}, {"0a": 1}], [{"0a": 1, "0b": 1}, {"x": 1}, []]),
        (Members({"a": Count()}), [{"a": 1}], [{}, {"a": 1, "b": 2}, {"a": -1}, [], None]),
    ],
)
def test_a_shape_and_its_schema_accept_the_same(
    shape: Shape, good: list[Any], bad: list[Any]
) -> None:
    schema = jsonschema.Draft202012Validator(shape.schema())
    for value in good:
        shape.check(value, "it")
        assert schema.is_valid(value)
    for value in bad:
        with pytest.raises((Malformed, LimitExceeded), match="it"):
            shape.check(value, "it")
        assert not schema.is_valid(value), value


def test_a_records_shape_is_its_json_form() -> None:
    record(Parameters).check(to_json(EMBEDDED), "parameters")
    with pytest.raises(Malformed, match="surplus"):
        record(Parameters).check(to_json(EMBEDDED) | {"x": 1}, "parameters")


def test_what_is_wrong_is_named_by_its_place() -> None:
    shape = Members({"rows": ListOf(Members({"a": Count()}), 9)})
    with pytest.raises(Malformed, match=r"it\.rows\[1\]\.a"):
        shape.check({"rows": [{"a": 1}, {"a": "1"}]}, "it")
