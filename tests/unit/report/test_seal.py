from __future__ import annotations

from typing import Any

from gensyn_lightning.report.seal import sealed_by


def test_a_seal_names_the_coordinator(paper: Any) -> None:
    played = paper()
    assert sealed_by(played.dossier(), played.domain) == played.coordinator.address


def test_any_change_breaks_the_seal(paper: Any) -> None:
    played = paper()
    changed = played.dossier() | {"single_operator": False}
    assert sealed_by(changed, played.domain) != played.coordinator.address
