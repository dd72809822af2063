from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import gensyn_lightning.report
from gensyn_lightning.errors import GensynError
from gensyn_lightning.report import form
from gensyn_lightning.report.trust import Pins

SHIPPED = Path(gensyn_lightning.report.__file__).parent / form.SCHEMA_FILE


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(SHIPPED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_shipped_schema_is_the_one_that_is_checked() -> None:
    """Write it anew with `python -m gensyn_lightning.report.form`."""
    assert json.loads(SHIPPED.read_text()) == form.json_schema()


def test_reports_fit_the_shipped_schema(paper: Any, validator: Any) -> None:
    for how in ({}, {"cheats": frozenset({1})}, {"rate_ppm": 0}, {"settle": False}):
        validator.validate(json.loads(paper(**how).report()))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for name, each in items:
        found += places(each, (*path, name))
    return found


def with_at(value: Any, path: tuple[Any, ...], put: Any) -> Any:
    changed = json.loads(json.dumps(value))
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = put
    return changed


@pytest.mark.parametrize("put", [[], {"surplus": 1}, 1.5, -1, "surplus \ud800"])
def test_no_member_takes_what_the_schema_refuses(
    honest: tuple[bytes, Pins], validator: Any, put: Any
) -> None:
    """Our own check refuses at least what the schema refuses, at every place of a report."""
    report = json.loads(honest[0])
    report["body"]["dossier"]["segments"] = report["body"]["dossier"]["segments"][:1]
    for path in places(report)[1:]:
        changed = with_at(report, path, put)
        ours, schemas = True, validator.is_valid(changed)
        try:
            form.REPORT.check(changed, "report")
        except (GensynError, UnicodeEncodeError):
            ours = False
        assert schemas or not ours, path


@pytest.mark.parametrize("name", ["body", "signature"])
def test_no_member_may_be_missing(honest: tuple[bytes, Pins], name: str) -> None:
    report = json.loads(honest[0])
    del report[name]
    with pytest.raises(GensynError, match=name):
        form.REPORT.check(report, "report")
