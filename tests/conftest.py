"""What every test starts from."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCHEMAS = Path(__file__).parent.parent / "gensyn_lightning/cli/schemas"

# A shell that runs us in the background has us ignore Ctrl-C, and every process we start would
# inherit that; tests that interrupt something need it to be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def documents() -> Callable[[str], list[dict[str, Any]]]:
    """Read what a verb printed with --json: every line is as the schema it names says."""
    from jsonschema import Draft202012Validator

    found = [json.loads(each.read_text()) for each in SCHEMAS.glob("*.json")]
    schemas = {each["$id"]: Draft202012Validator(each) for each in found}

    def read(printed: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
        for each in made:
            schemas[each["schema"]].validate(each)
        return made

    return read
