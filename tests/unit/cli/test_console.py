"""People get sentences, programs get documents that keep to a schema."""

import ast
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gensyn_lightning import cli
from gensyn_lightning.cli.console import complain, emit, say, show
from gensyn_lightning.cli.failure import CODES as OURS
from gensyn_lightning.cli.failure import CRASHED, MISUSED, STOPPED, Failure

FOLDER = Path(cli.__file__).parent
SCHEMAS = {each.stem: json.loads(each.read_text()) for each in (FOLDER / "schemas").iterdir()}


def named_in_sources() -> set[str]:
    """Return every schema name that a verb may print."""
    return {
        node.value
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("gensyn-")
        and node.value.endswith("/1")
    }


def test_every_document_has_a_schema_and_every_schema_a_document() -> None:
    assert {each["$id"] for each in SCHEMAS.values()} == named_in_sources()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_bears_its_name(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert name == schema["$id"].replace("/", "-")
    assert schema["properties"]["schema"] == {"const": schema["$id"]}
    assert schema["additionalProperties"] is False


def test_the_schema_of_errors_knows_every_code() -> None:
    known = SCHEMAS["gensyn-error-1"]["properties"]["error"]["properties"]["code"]["enum"]
    assert known == [*OURS.values(), MISUSED, STOPPED, CRASHED]


def test_a_document_is_one_line_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    emit("gensyn-down/1", {"home": "/a\nb", "stopped": False})
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    assert printed.err == ""


def test_a_complaint_is_one_line_whatever_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    complain(Failure("state", "two\nlines [red]", "do\nthat"), as_json=False)
    printed = capsys.readouterr()
    assert printed.err == "error: two lines [red] - do that\n"
    assert printed.out == ""


def test_a_stranger_s_name_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show("", ("node",), [("evil\x1b[2J[red]",)])
    assert "\x1b" not in capsys.readouterr().err


def test_what_a_stranger_says_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("two\nlines \x1b[2J\x07")
    complain(Failure("network", "gone \x1b]0;owned\x07", "ask \u202e"), as_json=False)
    printed = capsys.readouterr().err
    assert printed == "two\nlines \ufffd[2J\ufffd\nerror: gone \ufffd]0;owned\ufffd - ask \ufffd\n"
