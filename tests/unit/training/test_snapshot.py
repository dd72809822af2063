"""What a state says of a program's objects stands in the section that it is about."""

from typing import Any

import pytest

from gensyn_lightning.errors import Malformed
from gensyn_lightning.training.snapshot import entries_of

SECTIONS = (
    "attributes",
    "callbacks",
    "loops",
    "metrics",
    "optimizers",
    "precision",
    "schedulers",
    "trainer",
)


def value(**sections: Any) -> dict[str, Any]:
    return {name: sections.get(name, {}) for name in SECTIONS}


def test_entries_of_all_sections_are_found() -> None:
    found = entries_of(
        value(
            callbacks={"callbacks/0/wait": {"value": 1}},
            optimizers={"optimizers/0": {"groups": []}},
            metrics={"training": [], "logs/loss": {"value": 2}},
        )
    )
    assert found == {"callbacks/0/wait": {"value": 1}, "logs/loss": {"value": 2}}


@pytest.mark.parametrize(
    "odd",
    [
        {"schedulers": {"callbacks/0/dirpath": {"value": "/etc"}}},
        {"callbacks": {"elsewhere/0": {"value": 1}}},
        {"callbacks": {"callbacks/0/wait": 1}},
        {"callbacks": [1]},
    ],
    ids=str,
)
def test_an_entry_in_another_section_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        entries_of(value(**odd))
