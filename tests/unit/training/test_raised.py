"""A user's exception comes back as itself, without any of its code running."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.errors import ProgramRaised
from gensyn_lightning.training import state
from gensyn_lightning.training.raised import Raised, describe, read

LOUD: list[str] = []


class Broken(RuntimeError):
    def __init__(self, code: int, *, detail: str) -> None:
        LOUD.append(detail)
        super().__init__(f"broken with {code}")
        self.code = code


def test_a_class_that_is_loaded_here_is_raised_as_itself() -> None:
    kind = f"{Broken.__module__}:Broken"
    resolve = {kind: Broken}.get
    found = Raised(kind, "broken with 7", ("broken with 7",), {"code": 7}, "line 1\nline 2")
    with pytest.raises(Broken, match="broken with 7") as caught:
        raise found.rebuild(resolve)
    assert caught.value.code == 7
    assert "line 2" in str(caught.value.__cause__)
    assert LOUD == []


def test_builtin_exceptions_come_back() -> None:
    assert isinstance(Raised("builtins:KeyError", "'x'", ("x",)).rebuild(), KeyError)


@pytest.mark.parametrize("name", ["table.csv", None])
def test_a_missing_file_is_named(name: str | None) -> None:
    told = (2, "No such file or directory")
    thrown = FileNotFoundError(*told, name) if name else FileNotFoundError(*told)
    found = Raised("builtins:FileNotFoundError", str(thrown), thrown.args).rebuild()
    assert isinstance(found, FileNotFoundError)
    assert (str(found), found.errno, found.filename) == (str(thrown), 2, name)


@pytest.mark.parametrize("kind", ["nowhere:Broken", "builtins:int", "os:system", "", ":"])
def test_what_is_no_exception_here_is_told_in_words(kind: str) -> None:
    error = Raised(kind, "broken").rebuild()
    assert type(error) is ProgramRaised
    assert "broken" in str(error)


class Loud(SystemExit):
    """Runs code wherever an exception can."""

    def __new__(cls, *_: Any) -> "Loud":
        LOUD.append("made")
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        LOUD.append(name)


def travelled(error: BaseException) -> BaseException:
    """Return an exception as it comes back from a state."""
    kind = f"{type(error).__module__}:{type(error).__qualname__}"
    encoded = state.encode({"raised": describe((kind, str(error)), error)})
    return read(state.decode(encoded)["raised"], "").rebuild()


def thrown(program: Callable[[], object]) -> BaseException:
    try:
        program()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("given", [(3,), ("why",), (), (None,), (1, 2), (True,)])
def test_the_exit_status_comes_back(given: tuple[Any, ...]) -> None:
    error = SystemExit(*given)
    found = travelled(error)
    assert isinstance(found, SystemExit)
    assert (found.code, found.args) == (error.code, error.args)


@pytest.mark.parametrize(
    ("program", "names"),
    [
        (lambda: b"a\xff".decode(), ("encoding", "object", "start", "end", "reason")),
        (lambda: "a\xe9".encode("ascii"), ("encoding", "object", "start", "end", "reason")),
        (lambda: __import__("nowhere.at_all"), ("name", "msg")),
        (lambda: compile("a = (\n", "x.py", "exec"), ("msg", "filename", "lineno", "text")),
        (lambda: eval("unheard_of"), ("name",)),
        (lambda: object().unheard_of, ("name",)),  # type: ignore[attr-defined]
        (lambda: next(iter(())), ("value",)),
        (lambda: json.loads("{"), ("pos", "lineno", "doc")),
        (lambda: os.rename("/nowhere/a", "/nowhere/b"), ("errno", "filename", "filename2")),
        (lambda: Path("/nowhere").stat(), ("errno", "strerror", "filename", "filename2")),
        (lambda: {}["x"], ()),
    ],
)
def test_what_python_keeps_of_an_exception_comes_back(
    program: Callable[[], object], names: tuple[str, ...]
) -> None:
    error = thrown(program)
    found = travelled(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert [getattr(found, each) for each in names] == [getattr(error, each) for each in names]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"start": -9, "end": -8},
        {"start": 0, "end": 1 << 70},
        {"start": 2, "end": 1},
        {"object": "text"},
        {"object": None},
        {"start": "0"},
    ],
)
def test_fields_that_do_not_fit_are_left_out(fields: dict[str, Any]) -> None:
    given = {"encoding": "utf-8", "object": b"ab", "start": 0, "end": 1, "reason": "why"}
    given = given | fields if fields else {}
    found = Raised("builtins:UnicodeDecodeError", "m", ("m",), {}, "", given).rebuild()
    assert isinstance(found, UnicodeDecodeError)
    assert str(found) == ""
    other = Raised("builtins:ImportError", "m", ("m",), {}, "", {"name": 5, "args": 1}).rebuild()
    assert isinstance(other, ImportError)
    assert (other.name, str(other)) == (None, "m")


def test_no_code_of_a_class_runs() -> None:
    kind = f"{Loud.__module__}:Loud"
    del LOUD[:]
    found = Raised(kind, "3", (3,), {"more": 1}, "", {"code": 3}).rebuild({kind: Loud}.get)
    assert isinstance(found, Loud)
    assert (found.code, found.args, vars(found)["more"]) == (3, (3,), 1)
    assert isinstance(found.__cause__, ProgramRaised)
    assert LOUD == []


def test_a_group_of_exceptions_is_told_in_words() -> None:
    error = Raised("builtins:ExceptionGroup", "two of them (2 sub-exceptions)").rebuild()
    assert type(error) is ProgramRaised
    assert "two of them" in str(error)
